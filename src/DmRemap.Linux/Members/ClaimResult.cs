using System;
using System.Collections.Generic;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Members;

/// <summary>A process that has the member open in a way that can be a claim.</summary>
/// <param name="ProcessId">In this process's PID namespace.</param>
/// <param name="Command">
/// Its name; for one of our own the whole command line. Others' arguments may hold secrets, and this is
/// printed.
/// </param>
/// <param name="IsEnding">Killed or exiting: it only waits for the kernel.</param>
public sealed record ClaimHolder(int ProcessId, string Command, bool IsEnding);

/// <summary>The member, or who holds it.</summary>
public sealed class ClaimResult
{
    private readonly Func<IReadOnlyList<ClaimHolder>> _findHolders;
    private IReadOnlyList<ClaimHolder>? _holders;

    private ClaimResult(string path, MemberFile? member, Func<IReadOnlyList<ClaimHolder>> findHolders)
    {
        Path = path;
        Member = member;
        _findHolders = findHolders;
    }

    /// <summary>As given.</summary>
    public string Path { get; }

    /// <summary>Null when the claim is held.</summary>
    public MemberFile? Member { get; }

    /// <summary>
    /// Processes that can be seen; empty when there is none (then it is the kernel, or hidden). Looked for on
    /// first use, in all of /proc.
    /// </summary>
    public IReadOnlyList<ClaimHolder> Holders => _holders ??= _findHolders();

    /// <summary>True when a process that goes on living holds the claim: waiting would not end.</summary>
    public bool HasLivingHolder
    {
        get
        {
            foreach (ClaimHolder holder in Holders)
            {
                if (!holder.IsEnding)
                {
                    return true;
                }
            }
            return false;
        }
    }

    /// <summary>For a sentence: "held by process 4711 (dmremap serve disk1)".</summary>
    public string DescribeHolders()
    {
        if (Holders.Count == 0)
        {
            return "held by no process that can be seen: a dead instance whose write the kernel still holds"
                + " (or a process of another user or container)";
        }
        StringBuilder text = new("held by ");
        for (int i = 0; i < Holders.Count; i++)
        {
            ClaimHolder holder = Holders[i];
            text.Append(i == 0 ? string.Empty : ", ");
            text.Append($"process {holder.ProcessId} ({holder.Command})");
            if (holder.IsEnding)
            {
                text.Append(", which has ended but for a write that the kernel still holds");
            }
        }
        return text.ToString();
    }

    internal static ClaimResult Claimed(MemberFile member) => new(member.Path, member, () => []);

    internal static ClaimResult Held(string path, Func<IReadOnlyList<ClaimHolder>> findHolders) =>
        new(path, null, findHolders);

    internal Refusal ToRefusal() => MemberRefusals.InUse(Path, DescribeHolders());
}
