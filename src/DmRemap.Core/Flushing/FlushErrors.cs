using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Core.Flushing;

/// <summary>
/// Who was told that acknowledged writes may be lost (F-9), as the kernel's errseq_t keeps it for files: each
/// failure raises a number, each client carries the number that it was told of, and a flush of a client that
/// lags behind fails, once, also where every disk has done it.
///
/// A flush that was asked for before a failure says nothing of writes that were answered between: where there
/// may be such writes the number is raised by two, so that the client's next flush fails as well. Asked for
/// afterwards, a failing flush covers all.
/// </summary>
public sealed class FlushErrors
{
    private long _toldEarlier;

    /// <summary>Stamp a flush with it when it is asked for.</summary>
    public long Failures { get; private set; }

    /// <summary>Up to here a person, or rewriting, has ended the doubt.</summary>
    public long Cleared { get; private set; }

    public bool IsUncertain => Failures > Cleared;

    /// <param name="hasMore">
    /// Writes may be lost that were answered after the flush in question was asked for, or are still out.
    /// </param>
    public void OnFailure(bool hasMore)
    {
        Failures += hasMore ? 2 : 1;
        _toldEarlier = hasMore ? Failures - 1 : Failures;
    }

    /// <summary>One that comes later has nothing to do with it. Who was there is still told.</summary>
    public void Clear() => Cleared = Failures;

    /// <summary>A client comes: what is still in doubt it will be told.</summary>
    public void Introduce(FlushClient client) => client.Told = Cleared;

    /// <summary>
    /// Of a flush that every disk has done: must it fail all the same? Of nobody in particular (a stop, say):
    /// for as long as there is doubt.
    /// </summary>
    public bool MustFail(FlushClient? client, long asked) =>
        asked < Failures || (client is null ? IsUncertain : client.Told < Failures);

    /// <summary>
    /// The client's flush is answered with an error. Of a failure after it was asked for it tells all only if
    /// nothing else was in flight then: what was answered later, and before the disks were flushed, may be
    /// among what is lost, and the client's next flush tells of it.
    /// </summary>
    /// <param name="client">Null: nobody in particular.</param>
    /// <param name="asked">The failures by when it was asked for.</param>
    /// <param name="wasAlone">It was the only request then.</param>
    public void Tell(FlushClient? client, long asked, bool wasAlone)
    {
        if (client is null)
        {
            return;
        }
        long earlier = wasAlone ? _toldEarlier : Failures - 1;
        client.Told = Math.Max(client.Told, asked < Failures ? earlier : Failures);
    }
}
