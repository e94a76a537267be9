using System;
using DmRemap.Core.Metadata;

namespace DmRemap.Cli.Composition;

/// <summary>
/// What a person agreed to go on without, as it was read for the question. The claims are let go while it is
/// asked, so what is read for the answer may lack more.
/// </summary>
/// <param name="lost">Shown in the question.</param>
/// <param name="kept">The records that the question said nothing about.</param>
internal sealed class AgreedLoss(JournalDamage lost, JournalChain kept)
{
    public JournalDamage Lost { get; } = lost;

    /// <summary>
    /// The range alone does not tell: where the last records go too, nothing is left that proves them to have
    /// been acknowledged, and the range becomes shorter.
    /// </summary>
    public bool Covers(JournalDamage? damage, JournalChain left) =>
        damage is null
            || (damage.First >= Lost.First
                && damage.Last <= Lost.Last
                && Array.TrueForAll(kept.Records, record => IsGivenUp(record) || IsIn(left, record)));

    private bool IsGivenUp(FoundRecord record) =>
        record.Header.Sequence >= Lost.First && record.Header.Sequence <= Lost.Last;

    private static bool IsIn(JournalChain chain, FoundRecord record) =>
        Array.Exists(chain.Records, other => other.Header.Link == record.Header.Link);
}
