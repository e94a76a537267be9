using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;

namespace DmRemap.Engine.Metadata;

internal interface ISuperblockScanOwner
{
    void OnScanned(SuperblockScan scan);
}

/// <summary>
/// Reads every superblock copy of every offered spare. A copy that the device cannot read, or that is not
/// whole, is read again, a few times: it may be the newest, or the only one left (F-15), and one transient
/// error or misdirected read must not choose an older table.
/// </summary>
internal sealed class SuperblockScan : IRoundOwner
{
    private const int AttemptsMax = 3;

    private readonly IBlockDevice[] _devices;
    private readonly FeatureFlags _supported;
    private readonly ISuperblockScanOwner _owner;
    private readonly IoRound _round;
    private readonly BufferSlice[] _buffers;
    private int _attempt;

    public SuperblockScan(
        IEventLoop loop, IBlockDevice[] devices, FeatureFlags supported, ISuperblockScanOwner owner)
    {
        _devices = devices;
        _supported = supported;
        _owner = owner;
        int copies = devices.Length * SpareLayout.SuperblockCopies;
        _round = new IoRound(loop, this, copies, 0);
        _buffers = new BufferSlice[copies];
        Readings = new SpareReading[devices.Length];
        for (int i = 0; i < devices.Length; i++)
        {
            Readings[i] = new SpareReading
            {
                Device = devices[i].Geometry,
                Copies = new CopyReading[SpareLayout.SuperblockCopies],
            };
        }
        for (int i = 0; i < copies; i++)
        {
            _buffers[i] = AlignedMemory.Allocate(SpareLayout.SuperblockBytes);
        }
    }

    /// <summary>By position of the device.</summary>
    public SpareReading[] Readings { get; }

    /// <summary>All devices must have at least <see cref="Limits.SpareBytesMin"/>.</summary>
    public void Begin()
    {
        _attempt++;
        _round.Clear();
        for (int i = 0; i < _buffers.Length; i++)
        {
            int spare = i / SpareLayout.SuperblockCopies;
            int copy = i % SpareLayout.SuperblockCopies;
            if (!IsWhole(Readings[spare].Copies[copy].Verdict))
            {
                DeviceGeometry geometry = _devices[spare].Geometry;
                long offset = SpareLayout.SuperblockOffset(copy, geometry.Bytes.Value);
                _round.Add(
                    i,
                    _devices[spare],
                    IoOperation.Read,
                    ExtentAt(geometry, offset),
                    _buffers[i],
                    IoFlags.None);
            }
        }
        _round.Submit(Duration.Zero);
    }

    public void OnRoundEnded(IoRound round)
    {
        bool areAllWhole = true;
        for (int i = 0; i < round.Targets; i++)
        {
            if (round.OutcomeOf(i) == TargetOutcome.None)
            {
                continue;
            }
            int copy = i % SpareLayout.SuperblockCopies;
            CopyReading reading = round.IsOk(i)
                ? Verify(_buffers[i], copy)
                : new CopyReading(SuperblockVerdict.Unreadable, null);
            Readings[i / SpareLayout.SuperblockCopies].Copies[copy] = reading;
            areAllWhole &= IsWhole(reading.Verdict);
        }
        if (!areAllWhole && _attempt < AttemptsMax)
        {
            Begin();
        }
        else
        {
            _owner.OnScanned(this);
        }
    }

    public void OnLateReturn(IoRequest request)
    {
    }

    private static bool IsWhole(SuperblockVerdict verdict) =>
        verdict is SuperblockVerdict.Valid or SuperblockVerdict.NewerFormat
            or SuperblockVerdict.UnknownFeatures or SuperblockVerdict.DevelopmentVersion;

    private static Extent ExtentAt(DeviceGeometry geometry, long offset)
    {
        int blockBytes = geometry.LogicalBlockSize.Bytes;
        return new Extent(
            new BlockNumber(offset / blockBytes), new BlockCount(SpareLayout.SuperblockBytes / blockBytes));
    }

    private CopyReading Verify(BufferSlice buffer, int copy)
    {
        Superblock? superblock = new UnverifiedSuperblock(buffer.Span).Verify(
            copy, _supported, out SuperblockVerdict verdict);
        return new CopyReading(verdict, superblock);
    }
}
