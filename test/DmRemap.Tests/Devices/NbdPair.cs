using System;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.FrontEnds.Nbd;
using DmRemap.Nbd;
using DmRemap.Tests.Nbd;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>The client and our own server, joined by memory, on a simulated disk.</summary>
internal sealed class NbdPair : IStreamConnector, ILoopMessage
{
    private IStreamConnectOwner? _asking;
    private MemoryByteStream? _ofClient;
    private MemoryByteStream? _ofServer;

    public NbdPair(DeviceGeometry geometry, int seed)
    {
        Disk = new SimulatedDisk(Loop, geometry, seed);
        Server = new NbdServer(
            Loop, new BufferPool(16, Limits.SliceBytes), Disk, new NbdServerOptions { ExportName = "disk" });
        NbdExport export = new("disk", "", geometry, NbdAccess.ReadWrite);
        ClientExport found = new()
        {
            SizeBytes = export.SizeBytes,
            Flags = export.Flags,
            MinimumBlockBytes = export.BlockSize.Bytes,
        };
        Client = new NbdClient(
            Loop,
            this,
            new NbdClientOptions
            {
                Name = "pair",
                ExportName = "disk",
                Export = found,
                Geometry = found.ToGeometry(export.BlockSize.Bytes, 0, NbdAccess.ReadWrite),
            },
            null);
    }

    public SimulatedLoop Loop { get; } = new();

    public SimulatedDisk Disk { get; }

    public NbdServer Server { get; }

    public NbdClient Client { get; }

    /// <summary>How many bytes either side gets at once, at most.</summary>
    public Func<int>? Cut { get; set; }

    public void Connect(IStreamConnectOwner owner)
    {
        _asking = owner;
        Loop.Post(this);
    }

    public void Retire()
    {
    }

    void ILoopMessage.Run()
    {
        _ofClient = new MemoryByteStream(Loop) { Owner = _asking, Cut = Cut };
        _ofServer = new MemoryByteStream(Loop) { Cut = Cut };
        _ofServer.Owner = Server.OnAccepted(_ofServer);
        Assert.NotNull(_ofServer.Owner);
        _asking!.OnConnected(_ofClient);
    }

    /// <summary>The server's process has died.</summary>
    public void Break()
    {
        _ofServer!.Break();
        _ofClient!.Break();
    }

    /// <summary>One event, and what it made either side say.</summary>
    public bool Step()
    {
        bool isMore = Loop.Step();
        if (_ofClient is null)
        {
            return isMore;
        }
        return Carry(_ofClient, _ofServer!) | Carry(_ofServer!, _ofClient) | isMore;
    }

    public void RunUntil(Func<bool> condition)
    {
        while (!condition())
        {
            Invariant.Check(Step());
        }
    }

    private static bool Carry(MemoryByteStream from, MemoryByteStream to)
    {
        bool isAny = from.Said > 0 && !to.IsCloseCalled;
        if (isAny)
        {
            to.Write(from.Output);
        }
        from.ClearOutput();
        if (from.IsClosed && !to.IsCloseCalled)
        {
            to.End();
        }
        return isAny;
    }
}
