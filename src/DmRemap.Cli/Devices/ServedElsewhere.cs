using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Control.Registry;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Devices;

/// <summary>A member, and the process that has it.</summary>
internal sealed record HeldMember(string Path, ClaimHolder Holder);

/// <summary>
/// A device for which no control socket of this run directory answers may be served all the same: from
/// another run directory, or the socket's file was removed. Its members tell, since a server claims them. One
/// that is missing, that cannot be opened or that does not answer tells nothing; exports know no claims.
/// </summary>
internal sealed class ServedElsewhere(DeviceRecord record, string runPath, TimeProvider time)
{
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(100);

    /// <summary>A server that was stopped by a deadline answers before it has ended.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private IEnumerable<string> Paths =>
        MemberPath.Files([record.MainPath, .. record.Spares.Select(spare => spare.Path)]);

    /// <summary>The server that holds a member. Looks only: nobody who claims is hindered.</summary>
    public async Task<HeldMember?> FindAsync(CancellationToken cancellation)
    {
        long began = time.GetTimestamp();
        HeldMember? held;
        do
        {
            try
            {
                held = await Task.Run(Look, cancellation).WaitAsync(s_patience, time, cancellation);
            }
            catch (TimeoutException)
            {
                return null;
            }
        }
        while (held is not null && await IsWorthAnotherLookAsync(began, cancellation));
        return held;
    }

    /// <exception cref="RefusalException">DMR-MEMBER-IN-USE (exit 4).</exception>
    public async Task RequireNoneAsync(CancellationToken cancellation)
    {
        if (await FindAsync(cancellation) is HeldMember held)
        {
            throw new RefusalException(InUse(held));
        }
    }

    public Refusal InUse(HeldMember held) =>
        InUse(held.Path, $"held by process {held.Holder.ProcessId} ({held.Holder.Command})");

    /// <summary>
    /// Claims what is here, so that nobody begins to serve it until the claims are given up. Where the holder
    /// cannot be seen, it may be a server of another container.
    /// </summary>
    /// <exception cref="RefusalException">DMR-MEMBER-IN-USE (exit 4).</exception>
    public async Task<MemberClaims> ClaimAsync(CancellationToken cancellation)
    {
        MemberClaims claims = new();
        try
        {
            long began = time.GetTimestamp();
            foreach (string path in Paths)
            {
                await ClaimAsync(path, claims, began, cancellation);
            }
            return claims;
        }
        catch
        {
            claims.Dispose();
            throw;
        }
    }

    private async Task ClaimAsync(
        string path, MemberClaims claims, long began, CancellationToken cancellation)
    {
        while (true)
        {
            ClaimResult result;
            try
            {
                result = await Task.Run(() => TryClaim(path), cancellation)
                    .WaitAsync(s_patience, time, cancellation);
            }
            catch (Exception e) when (e is RefusalException or TimeoutException)
            {
                return;
            }
            if (result.Member is not null)
            {
                claims.Add(result.Member);
                return;
            }
            if (!await IsWorthAnotherLookAsync(began, cancellation))
            {
                bool isOfEnded = result.Holders.Count > 0 && !result.HasLivingHolder;
                if (!isOfEnded)
                {
                    throw new RefusalException(InUse(path, result.DescribeHolders()));
                }
                return;
            }
        }
    }

    private ClaimResult TryClaim(string path) => MemberFile.TryClaim(
        path, new MemberOptions { Access = MemberAccess.ReadOnly, BlockBytes = record.BlockBytes });

    private HeldMember? Look()
    {
        foreach (string path in Paths)
        {
            foreach (ClaimHolder holder in MemberInspection.FindHolders(path))
            {
                if (!holder.IsEnding && holder.Command.StartsWith("dmremap serve ", StringComparison.Ordinal))
                {
                    return new HeldMember(path, holder);
                }
            }
        }
        return null;
    }

    private async Task<bool> IsWorthAnotherLookAsync(long began, CancellationToken cancellation)
    {
        if (time.GetElapsedTime(began) >= s_patience)
        {
            return false;
        }
        await Task.Delay(s_poll, time, cancellation);
        return true;
    }

    private Refusal InUse(string path, string holders) => new(
        "DMR-MEMBER-IN-USE",
        ExitCode.InUse,
        record.Name,
        $"{path} is in use: {holders}; no control socket in {runPath} answers for \"{record.Name}\": a "
            + "server of it has another run directory, or its socket's file was removed.",
        "Set DMREMAP_RUN_DIR to the directory that its server was started with, and repeat this. Where the "
            + "socket's file is gone, SIGTERM stops the server (`kill` and its number); then repeat.");
}

/// <summary>Members that are kept from everybody until this is disposed of.</summary>
internal sealed class MemberClaims : IDisposable
{
    private readonly List<MemberFile> _claimed = [];

    public void Add(MemberFile member) => _claimed.Add(member);

    public void Dispose() => _claimed.ForEach(member => member.Dispose());
}
