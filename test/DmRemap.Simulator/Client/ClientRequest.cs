using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.Client;

/// <summary>One request of the client, with its buffer: used again when it has been answered.</summary>
internal sealed class ClientRequest
{
    public ClientRequest() => Io = new IoRequest { Context = this };

    public IoRequest Io { get; private set; }

    public BufferSlice Buffer { get; } = AlignedMemory.Allocate(Limits.SliceBytes);

    public bool IsUnderWay { get; set; }

    /// <summary>The model's time.</summary>
    public int Began { get; set; }

    public long FirstSector { get; set; }

    public int Sectors { get; set; }

    public long Version { get; set; }

    /// <summary>The process was killed: what the request was is forgotten, and its slot is new.</summary>
    public void Abandon()
    {
        Io = new IoRequest { Context = this };
        IsUnderWay = false;
    }
}
