using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Devices;
using DmRemap.Linux.Loop;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Composition;

/// <summary>Opening members: once each, claimed on the very description that carries the I/O (F-1).</summary>
internal static class OpenedMember
{
    /// <summary>
    /// Waits off the caller's thread while a dead instance's write is with the kernel, and says so.
    /// </summary>
    public static Task<MemberFile> ClaimAsync(
        string path, MemberOptions options, Action<string> onWaiting, CancellationToken cancellation) =>
        Task.Run(() => MemberFile.WaitForClaim(path, options, onWaiting, cancellation), cancellation);

    /// <summary>On the loop's thread, or before it runs.</summary>
    public static UringFile Attach(UringLoop loop, MemberFile member, BlockSize blockSize)
    {
        DeviceGeometry geometry = member.Geometry;
        Invariant.Check(geometry.LogicalBlockSize == blockSize);
        return new UringFile(loop, member.Handle, geometry, new UringFileOptions
        {
            Name = member.Path,
            Kind = member.Kind,
            CacheMode = member.IsDirect ? CacheMode.Direct : CacheMode.PageCache,
            MemoryAlignment = member.DirectMemoryAlignment,
        });
    }
}
