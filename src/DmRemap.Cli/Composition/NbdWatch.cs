using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;

namespace DmRemap.Cli.Composition;

/// <summary>
/// The connections to NBD members: waits for the first of each, which must come, and says of the later ones
/// when they are lost and made again.
/// </summary>
/// <param name="say">A line for people; never blocks.</param>
internal sealed class NbdWatch(Action<string> say) : INbdClientWatcher
{
    private readonly Dictionary<string, TaskCompletionSource> _first = [];
    private readonly Dictionary<string, string> _said = [];
    private readonly Dictionary<string, long> _losses = [];

    /// <summary>On the loop's thread: an export is there again.</summary>
    public Action<NbdClient>? Returned { get; set; }

    /// <summary>On the loop's thread, just after they were attached.</summary>
    public Task ExpectAllAsync(IEnumerable<IMemberDevice> members)
    {
        List<Task> awaited = [];
        foreach (IMemberDevice member in members)
        {
            if (member is NbdClient)
            {
                TaskCompletionSource first = new(TaskCreationOptions.RunContinuationsAsynchronously);
                _first.Add(member.Name, first);
                awaited.Add(first.Task);
            }
        }
        return Task.WhenAll(awaited);
    }

    public void OnConnected(NbdClient client)
    {
        _said.Remove(client.Name);
        if (_first.TryGetValue(client.Name, out TaskCompletionSource? first) && first.TrySetResult())
        {
            return;
        }
        Returned?.Invoke(client);
        say($"DMR-EVENT-MEMBER-BACK {client.Name}: connected again"
            + (HasLostMore(client)
                ? "; what it acknowledged since its last flush is uncertain: the next flush of each client "
                    + "fails, and `dmremap status` lists it"
                : ""));
    }

    private bool HasLostMore(NbdClient client)
    {
        long before = _losses.GetValueOrDefault(client.Name);
        _losses[client.Name] = client.CacheLosses;
        return client.CacheLosses > before;
    }

    public void OnDisconnected(NbdClient client)
    {
        if (_first.TryGetValue(client.Name, out TaskCompletionSource? first) && !first.Task.IsCompleted)
        {
            first.TrySetException(new RefusalException(new Refusal(
                "DMR-NBD-UNREACHABLE",
                ExitCode.NoSuchDevice,
                client.Name,
                $"{client.Name} answered at first, and then did not: {client.Problem}.",
                "Look at the server; then try again.")));
            return;
        }
        // Each new reason once: attempts go on for as long as it takes.
        if (!_said.TryGetValue(client.Name, out string? said) || said != client.Problem)
        {
            _said[client.Name] = client.Problem;
            if (client.IsStranger)
            {
                say($"DMR-EVENT-STRANGER {client.Name}: {client.Problem}; nothing is sent there. Bring back "
                    + "the right one, or leave it out at the next start");
                return;
            }
            say($"DMR-EVENT-MEMBER-GONE {client.Name}: {client.Problem}; what needs it waits or fails as "
                + "--on-gone says, and nothing is remapped for that");
        }
    }
}
