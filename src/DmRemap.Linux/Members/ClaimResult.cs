using System.Collections.Generic;
using System.Text;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Members;

/// <summary>A process that has the member open in a way that can be a claim.</summary>
/// <param name="ProcessId">In this process's PID namespace.</param>
/// <param name="Command">Its command line, shortened.</param>
/// <param name="IsEnding">Killed or exiting: it only waits for the kernel.</param>
public sealed record ClaimHolder(int ProcessId, string Command, bool IsEnding);

/// <summary>The member, or who holds it.</summary>
/// <param name="Path">As given.</param>
/// <param name="Member">Null when the claim is held.</param>
/// <param name="Holders">Processes that can be seen; empty when there is none (then it is the kernel, or hidden).</param>
public sealed record ClaimResult(string Path, MemberFile? Member, IReadOnlyList<ClaimHolder> Holders)
{
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
            text.Append(holder.IsEnding ? ", which has ended but for a write that the kernel still holds" : string.Empty);
        }
        return text.ToString();
    }

    internal Refusal ToRefusal() => MemberRefusals.InUse(Path, DescribeHolders());
}
