using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Devices;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Members;
using DmRemap.Linux.Sockets;
using DmRemap.Nbd;

namespace DmRemap.Cli.Composition;

/// <summary>
/// A member before it is a device on the loop. A file or disk is opened once and claimed, on the very
/// description that carries the I/O (F-1). An NBD export is only asked what it is: the protocol has no claim,
/// nothing tells us of another client, and what a dead instance had sent may still land. What is left of F-1
/// for it is the client's fence after a lost connection.
/// </summary>
internal sealed class OpenedMember : IDisposable
{
    private readonly ClientExport? _export;
    private NbdSession? _session;

    private OpenedMember(string path, MemberFile file)
    {
        Path = path;
        File = file;
        Geometry = file.Geometry;
        SizeBytes = file.SizeBytes;
        Kind = file.Kind;
    }

    private OpenedMember(NbdUri uri, NbdSession session, DeviceGeometry geometry)
    {
        Path = uri.Text;
        Uri = uri;
        _session = session;
        _export = session.Export;
        Geometry = geometry;
        SizeBytes = session.Export.SizeBytes;
        Kind = MemberKind.Nbd;
    }

    private OpenedMember(string memory, DeviceGeometry geometry)
    {
        Path = memory;
        Geometry = geometry;
        SizeBytes = geometry.Bytes.Value;
        Kind = MemberKind.Memory;
    }

    /// <summary>Or the URI, in its canonical form, or the size of memory.</summary>
    public string Path { get; }

    /// <summary>Null for an export, and for memory.</summary>
    public MemberFile? File { get; }

    /// <summary>Null for anything but an export.</summary>
    public NbdUri? Uri { get; }

    public DeviceGeometry Geometry { get; }

    /// <summary>Exactly; the geometry counts whole blocks only.</summary>
    public long SizeBytes { get; }

    public MemberKind Kind { get; }

    /// <summary>Errors are reported on the request that meets them.</summary>
    public bool IsDirect => File?.IsDirect ?? Kind != MemberKind.Memory;

    /// <summary>
    /// What it acknowledged may be lost with its power until it is flushed. The client of an export keeps
    /// account of that itself.
    /// </summary>
    public bool HasVolatileCache => Kind != MemberKind.Nbd && !IsCacheOff;

    /// <summary>
    /// What it has answered is on its medium: the kernel, or the server, says so, or it was switched off.
    /// </summary>
    public bool IsCacheOff =>
        WasCacheSwitchedOff || File?.HasWriteThroughCache == true || _export?.CanFlush == false;

    /// <summary>By `serve --write-cache=off`.</summary>
    public bool WasCacheSwitchedOff { get; set; }

    /// <summary>
    /// Waits off the caller's thread while a dead instance's write is with the kernel, and says so.
    /// </summary>
    public static async Task<OpenedMember> ClaimAsync(
        string path, MemberOptions options, Action<string> onWaiting, CancellationToken cancellation)
    {
        if (NbdUri.IsMeant(path))
        {
            return await Task.Run(() => OpenExport(MemberPath.ParseUri(path), options), cancellation);
        }
        if (MemoryDisk.IsMeant(path))
        {
            return new OpenedMember(path, MemoryDisk.GeometryOf(path, options));
        }
        return new OpenedMember(
            path,
            await Task.Run(
                () => MemberFile.WaitForClaim(path, options, onWaiting, cancellation), cancellation));
    }

    /// <summary>
    /// What tells this primary from another when it is found again. An export has its name, which the server
    /// gives it, and its size.
    /// </summary>
    public PrimaryFingerprint Fingerprint() => Kind switch
    {
        MemberKind.Nbd => PrimaryFingerprint.OfExport(SizeBytes, Uri!.ExportName),
        // There is nothing to recognise: no second start gets as far as comparing.
        MemberKind.Memory => PrimaryFingerprint.OfExport(SizeBytes, "memory"),
        _ => PrimaryFingerprint.Of(File!),
    };

    /// <summary>
    /// Read a little, on the control plane and before the member is attached. False: it cannot be read.
    /// </summary>
    public bool TryRead(long offset, Span<byte> into)
    {
        if (Kind == MemberKind.Memory)
        {
            // It is made when it is attached, of zeros.
            into.Clear();
            return true;
        }
        if (File is null)
        {
            return _session!.TryRead(offset, into);
        }
        try
        {
            return RandomAccess.Read(File.Handle, into, offset) == into.Length;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>
    /// No more TryRead. Before an export is attached: many a server takes one client at a time. May block.
    /// </summary>
    public void EndSession()
    {
        _session?.Dispose();
        _session = null;
    }

    /// <summary>On the loop's thread, or before it runs.</summary>
    /// <param name="loop">Whose device it becomes.</param>
    /// <param name="blockSize">As it was opened with.</param>
    /// <param name="watch">Told of an export's connections.</param>
    public IMemberDevice Attach(KernelLoop loop, BlockSize blockSize, INbdClientWatcher watch)
    {
        Invariant.Check(Geometry.LogicalBlockSize == blockSize);
        if (Kind == MemberKind.Memory)
        {
            return new MemoryDevice(loop, Geometry, Path);
        }
        if (File is null)
        {
            Invariant.Check(_session is null);
            return AttachExport(loop, watch);
        }
        return new LinuxFile(loop, File.Handle, Geometry, LinuxFileOptions.Of(File));
    }

    public void Dispose()
    {
        EndSession();
        File?.Dispose();
    }

    private static OpenedMember OpenExport(NbdUri uri, MemberOptions options)
    {
        NbdSession session = NbdSession.Open(uri);
        ClientExport export = session.Export;
        int logical = options.BlockBytes ?? export.LogicalBlockBytes;
        string problem = export.FindProblem(logical);
        if (export.IsReadOnly && options.Access != MemberAccess.ReadOnly)
        {
            problem = "it is read-only";
        }
        if (problem.Length > 0)
        {
            session.Dispose();
            throw new RefusalException(new Refusal(
                "DMR-NBD-UNSUITABLE",
                ExitCode.Usage,
                uri.Text,
                $"{uri.Text} cannot be a member: {problem}.",
                "Give another export, or serve this one differently; a read-only main device can be served "
                    + "with --read-only."));
        }
        NbdAccess access = options.Access == MemberAccess.ReadOnly ? NbdAccess.ReadOnly : NbdAccess.ReadWrite;
        return new OpenedMember(
            uri, session, export.ToGeometry(logical, options.FilePhysicalBlockBytes, access));
    }

    private NbdClient AttachExport(KernelLoop loop, INbdClientWatcher watch)
    {
        SocketConnector connector = new(loop, NbdSession.AddressOf(Uri!), Path);
        NbdClient client = new(
            loop,
            connector,
            new NbdClientOptions
            {
                Name = Path,
                ExportName = Uri!.ExportName,
                Export = _export!,
                Geometry = Geometry,
            },
            watch);
        client.Start();
        return client;
    }
}
