using DmRemap.Core.Abstractions;

namespace DmRemap.Simulator.Disks;

/// <summary>
/// What is wrong with a disk as a whole at the moment, and what it has answered since the last start: the
/// checkers excuse with it, and with nothing else.
/// </summary>
internal sealed class DiskTroubles
{
    private const int Gone = 6;

    private long _silentUntil;
    private long _goneUntil;
    private long _failedRead;

    /// <summary>Until when it was silent, slow or away, at the latest, so far.</summary>
    public long LastTroubleAt { get; private set; }

    /// <summary>Nothing lands before this time.</summary>
    public long SilentUntil
    {
        get => _silentUntil;
        set
        {
            _silentUntil = value;
            NoteTrouble(value);
        }
    }

    /// <summary>Everything of the data path fails until this time, as a pulled disk does.</summary>
    public long GoneUntil
    {
        get => _goneUntil;
        set
        {
            _goneUntil = value;
            NoteTrouble(value);
        }
    }

    /// <summary>So many operations of the data path fail, with this errno.</summary>
    public int FailuresLeft { get; set; }

    public int FailureErrno { get; set; }

    /// <summary>They fail only after the kernel's own time-out.</summary>
    public bool AreFailuresSlow { get; set; }

    /// <summary>So many writes take very long.</summary>
    public int SlowWritesLeft { get; set; }

    public long SlowWriteNanoseconds { get; set; }

    /// <summary>Metadata reads that fail; those that return something else.</summary>
    public int MetadataReadsFailing { get; set; }

    public int MetadataReadsStrange { get; set; }

    public int MetadataWritesFailing { get; set; }

    public int MetadataFlushesFailing { get; set; }

    /// <summary>An error that is no bad sector's was answered since the start.</summary>
    public bool HasAnsweredOther { get; set; }

    /// <summary>Of those, one that does not say that the disk is gone.</summary>
    public bool HasAnsweredNotGone { get; set; }

    /// <summary>A read, write or flush failed for the medium since the start.</summary>
    public int MediumReadErrors { get; set; }

    /// <summary>Reads have failed for the medium at two places since the start.</summary>
    public bool HasFailedReadsElsewhere { get; private set; }

    public int MediumWriteErrors { get; set; }

    public bool HasFailedFlush { get; set; }

    public bool HasFailedMetadata { get; set; }

    /// <summary>A metadata read of this start returned something else.</summary>
    public bool HasMisread { get; set; }

    public void NoteMediumRead(long sector)
    {
        _failedRead = MediumReadErrors == 0 ? sector : _failedRead;
        HasFailedReadsElsewhere |= System.Math.Abs(sector - _failedRead) >= Page.Sectors;
        MediumReadErrors++;
    }

    public void NoteTrouble(long until) => LastTroubleAt = System.Math.Max(LastTroubleAt, until);

    public void OnStart()
    {
        HasAnsweredOther = false;
        HasAnsweredNotGone = false;
        MediumReadErrors = 0;
        HasFailedReadsElsewhere = false;
        MediumWriteErrors = 0;
        HasFailedFlush = false;
        HasFailedMetadata = false;
        HasMisread = false;
    }

    /// <summary>Everything heals, but for bad sectors.</summary>
    public void Calm()
    {
        SilentUntil = 0;
        GoneUntil = 0;
        FailuresLeft = 0;
        SlowWritesLeft = 0;
        MetadataReadsFailing = 0;
        MetadataReadsStrange = 0;
        MetadataWritesFailing = 0;
        MetadataFlushesFailing = 0;
    }

    /// <summary>The errno of an error that is not the medium's; -1: none.</summary>
    public int TakeFailure(IoOrigin origin, IoOperation operation, long now)
    {
        if (origin == IoOrigin.Metadata)
        {
            return TakeMetadataFailure(operation);
        }
        if (now < GoneUntil)
        {
            HasAnsweredOther = true;
            // Its cache counts as lost, whatever was asked of it.
            HasFailedFlush = true;
            return Gone;
        }
        if (FailuresLeft == 0)
        {
            return -1;
        }
        FailuresLeft--;
        HasAnsweredOther = true;
        HasAnsweredNotGone |= FailureErrno is not 0 and not 6 and not 19;
        HasFailedFlush |= operation == IoOperation.Flush || FailureErrno is 0 or 6 or 19 or 28;
        return FailureErrno;
    }

    /// <summary>Fails, and takes some of the cache with it.</summary>
    public bool TakesCacheAtFlush(IoOrigin origin)
    {
        if (origin != IoOrigin.Metadata || MetadataFlushesFailing == 0)
        {
            return false;
        }
        MetadataFlushesFailing--;
        HasFailedFlush = true;
        return true;
    }

    private int TakeMetadataFailure(IoOperation operation)
    {
        if (operation == IoOperation.Read && MetadataReadsFailing > 0)
        {
            MetadataReadsFailing--;
            return 5;
        }
        if (operation == IoOperation.Write && MetadataWritesFailing > 0)
        {
            MetadataWritesFailing--;
            HasFailedMetadata = true;
            return 5;
        }
        return -1;
    }
}
