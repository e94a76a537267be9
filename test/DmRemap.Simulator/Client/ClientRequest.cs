using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.Client;

/// <summary>One request of the client, with its buffer: used again when it has been answered.</summary>
internal sealed class ClientRequest
{
    /// <summary>Connections whose flushes are told apart.</summary>
    public const int FlushClients = 3;

    public ClientRequest() => Io = new IoRequest { Context = this };

    public IoRequest Io { get; private set; }

    public BufferSlice Buffer { get; } = AlignedMemory.Allocate(Limits.SliceBytes);

    public bool IsUnderWay { get; set; }

    /// <summary>The model's time.</summary>
    public int Began { get; set; }

    public long FirstSector { get; set; }

    public int Sectors { get; set; }

    public long Version { get; set; }

    /// <summary>Of a flush: which connection asks for it.</summary>
    public int FlushClient => (int)(Version % FlushClients);

    /// <summary>The process was killed: what the request was is forgotten, and its slot is new.</summary>
    public void Abandon()
    {
        Io = new IoRequest { Context = this };
        IsUnderWay = false;
    }
}
