using DmRemap.Simulator.Client;
using DmRemap.Simulator.Disks;

namespace DmRemap.Simulator.World;

/// <summary>What one thread's runs use again: memory for pages and for the client's requests.</summary>
internal sealed class Workshop
{
    public const int RequestsMax = 24;

    public Workshop()
    {
        for (int i = 0; i < RequestsMax; i++)
        {
            Requests[i] = new ClientRequest();
        }
    }

    public PagePool Pages { get; } = new();

    public ClientRequest[] Requests { get; } = new ClientRequest[RequestsMax];
}
