using System;
using System.Buffers.Binary;
using System.Linq;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Metadata;
using DmRemap.Core.Remapping;
using Xunit;

namespace DmRemap.Tests.Metadata;

public sealed class SuperblockTests
{
    private const int VersionAt = 8;
    private const int IncompatibleAt = 32;
    private const int FieldsEnd = 3072;
    private const int ChecksumAt = 4092;

    [Fact]
    public void Crc_matches_the_published_check_value() =>
        Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));

    [Fact]
    public void A_copy_reads_back_as_it_was_written()
    {
        for (int copyIndex = 0; copyIndex < SpareLayout.SuperblockCopies; copyIndex++)
        {
            byte[] copy = Encode(copyIndex);
            Superblock superblock = new UnverifiedSuperblock(copy).Verify(
                copyIndex, FeatureFlags.Supported, out SuperblockVerdict verdict)!;
            Assert.Equal(SuperblockVerdict.Valid, verdict);
            Assert.Equal(State(), superblock.State);
            Assert.Equal(Layout(), superblock.Layout);
            Assert.Equal(1, superblock.MemberIndex);
            Assert.Equal(copyIndex, superblock.CopyIndex);
            SetDescription set = Set();
            Assert.Equal(set.SetUuid, superblock.Set.SetUuid);
            Assert.Equal(set.Features, superblock.Set.Features);
            Assert.Equal(set.Primary, superblock.Set.Primary);
            Assert.Equal(set.Members, superblock.Set.Members);
            Assert.Equal(set.Journal, superblock.Set.Journal);
            Assert.Equal(set.Past, superblock.Set.Past);
            Assert.Equal(set.PrimaryPhysicalBlockBytes, superblock.Set.PrimaryPhysicalBlockBytes);
            Assert.Equal(set.Geometry.Units, superblock.Set.Geometry.Units);
            Assert.Equal(set.Geometry.AlignmentOffsetBytes, superblock.Set.Geometry.AlignmentOffsetBytes);
            Assert.Equal(set.Members[1].Uuid, superblock.MemberUuid);
        }
    }

    [Fact]
    public void Copies_have_different_bytes_and_checksums_but_one_content()
    {
        byte[] first = Encode(0);
        byte[] second = Encode(1);
        Assert.NotEqual(Get32(first, ChecksumAt), Get32(second, ChecksumAt));
        Assert.Equal(
            new UnverifiedSuperblock(first).Verify(0, FeatureFlags.Supported, out _)!.ContentChecksum,
            new UnverifiedSuperblock(second).Verify(1, FeatureFlags.Supported, out _)!.ContentChecksum);
    }

    [Fact]
    public void Any_flipped_bit_makes_a_copy_invalid()
    {
        byte[] copy = Encode(3);
        for (int bit = 0; bit < copy.Length * 8; bit++)
        {
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.True(VerdictOf(copy, 3) is SuperblockVerdict.Damaged or SuperblockVerdict.Foreign);
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void A_torn_copy_is_invalid_at_every_512_bytes()
    {
        byte[] older = Encode(2);
        byte[] newer = EncodeWith(2, State() with { Generation = 78 });
        for (int at = 512; at < SpareLayout.SuperblockBytes; at += 512)
        {
            byte[] torn = [.. newer[..at], .. older[at..]];
            Assert.Equal(SuperblockVerdict.Damaged, VerdictOf(torn, 2));
        }
    }

    [Fact]
    public void Each_refusal_is_told_apart()
    {
        Assert.Equal(SuperblockVerdict.Blank, VerdictOf(new byte[4096], 0));
        byte[] foreign = new byte[4096];
        foreign[1080] = 0x53;
        Assert.Equal(SuperblockVerdict.Foreign, VerdictOf(foreign, 0));
        Assert.Equal(SuperblockVerdict.Misplaced, VerdictOf(Encode(1), 0));
        Assert.Equal(SuperblockVerdict.NewerFormat, VerdictOf(Changed(copy => Put32(copy, VersionAt, 2)), 0));
        Assert.Equal(SuperblockVerdict.Malformed, VerdictOf(Changed(copy => Put32(copy, VersionAt, 0)), 0));
        Assert.Equal(
            SuperblockVerdict.UnknownFeatures, VerdictOf(Changed(copy => copy[IncompatibleAt + 7] = 1), 0));
        Assert.Equal(
            SuperblockVerdict.UnknownFeatures, VerdictOf(Changed(copy => copy[IncompatibleAt - 1] = 1), 0));
        Assert.Equal(SuperblockVerdict.Valid, VerdictOf(Changed(copy => copy[16] = 1), 0));
    }

    [Fact]
    public void What_a_development_version_made_is_refused_by_name()
    {
        byte[] copy = Changed(bytes => bytes[IncompatibleAt] |= (byte)FeatureFlags.Development);
        Assert.Equal(SuperblockVerdict.DevelopmentVersion, VerdictOf(copy, 0));
    }

    [Fact]
    public void As_many_past_epochs_as_there_is_room_for_are_kept_the_latest_first()
    {
        PastEpoch[] past = [.. Enumerable.Range(0, 70).Select(i => new PastEpoch(1000 - (ulong)i, 70))];
        byte[] copy = new byte[SpareLayout.SuperblockBytes];
        SuperblockEncoder.Encode(Set() with { Past = past }, Layout(), State(), memberIndex: 1, 0, copy);
        Superblock superblock =
            new UnverifiedSuperblock(copy).Verify(0, FeatureFlags.Supported, out _)!;
        Assert.Equal(past[..64], superblock.Set.Past);
    }

    [Theory]
    [InlineData(88, 0, SuperblockVerdict.Malformed)]
    [InlineData(104, long.MinValue, SuperblockVerdict.Malformed)]
    [InlineData(112, 0, SuperblockVerdict.Malformed)]
    [InlineData(112, 90, SuperblockVerdict.Malformed)]
    [InlineData(112, 89, SuperblockVerdict.Valid)]
    [InlineData(112, long.MinValue, SuperblockVerdict.Malformed)]
    [InlineData(184, 40, SuperblockVerdict.Malformed)]
    [InlineData(184, 41, SuperblockVerdict.Valid)]
    [InlineData(184, long.MinValue, SuperblockVerdict.Malformed)]
    [InlineData(144, 6, SuperblockVerdict.Malformed)]
    [InlineData(152, 4, SuperblockVerdict.Malformed)]
    [InlineData(320, 7, SuperblockVerdict.Valid)]
    public void State_that_contradicts_itself_is_malformed(int at, long value, SuperblockVerdict expected)
    {
        byte[] copy = Changed(
            bytes => BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at), value));
        Assert.Equal(expected, VerdictOf(copy, 0));
    }

    [Theory]
    [InlineData(512, 1000, SuperblockVerdict.Malformed)]
    [InlineData(2048, 100, SuperblockVerdict.Malformed)]
    [InlineData(4096, 0, SuperblockVerdict.Malformed)]
    [InlineData(4096, 3, SuperblockVerdict.Malformed)]
    [InlineData(4096, 64, SuperblockVerdict.Valid)]
    [InlineData(4096, 1 << 20, SuperblockVerdict.Malformed)]
    [InlineData(4097, 64, SuperblockVerdict.Malformed)]
    [InlineData(8192, 32, SuperblockVerdict.Valid)]
    [InlineData(131072, 4, SuperblockVerdict.Malformed)]
    [InlineData(-1, -1, SuperblockVerdict.Malformed)]
    public void A_journal_that_does_not_fit_its_places_is_malformed(
        int slotBytes, int slots, SuperblockVerdict expected)
    {
        byte[] copy = Changed(bytes =>
        {
            Put32(bytes, 120, unchecked((uint)slotBytes));
            Put32(bytes, 124, unchecked((uint)slots));
        });
        Assert.Equal(expected, VerdictOf(copy, 0));
    }

    [Theory]
    [InlineData(200, 1L << 43)]
    [InlineData(200, long.MaxValue / 512)]
    [InlineData(1024 + 32, (1L << 28) + 1)]
    [InlineData(1024 + 32, 1L << 50)]
    [InlineData(1024 + 32, 0)]
    public void Sizes_that_no_device_has_are_malformed(int at, long value)
    {
        byte[] copy = Changed(bytes =>
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(384), long.MaxValue);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1024 + 24), long.MaxValue);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at), value);
        });
        Assert.Equal(SuperblockVerdict.Malformed, VerdictOf(copy, 0));
    }

    [Fact]
    public void Hostile_fields_under_a_right_checksum_never_throw()
    {
        // Every 32-bit word of the used part set to extremes, one and two at a time.
        uint[] extremes = [0, 1, 0x7FFFFFFF, 0x80000000, uint.MaxValue, 513];
        Random random = new(4711);
        for (int at = 8; at < FieldsEnd; at += 4)
        {
            foreach (uint extreme in extremes)
            {
                byte[] copy = Changed(bytes => Put32(bytes, at, extreme));
                Superblock? one = new UnverifiedSuperblock(copy).Verify(0, FeatureFlags.Supported, out _);
                Assert.True(one is null || one.Layout.IsConsistent());
                int other = 8 + (4 * random.Next((FieldsEnd - 8) / 4));
                byte[] worse = Changed(bytes =>
                {
                    Put32(bytes, at, extreme);
                    Put32(bytes, other, extremes[random.Next(extremes.Length)]);
                });
                Superblock? two = new UnverifiedSuperblock(worse).Verify(0, FeatureFlags.Supported, out _);
                Assert.True(two is null || two.Layout.IsConsistent());
            }
        }
    }

    [Fact]
    public void Random_bytes_are_never_valid()
    {
        Random random = new(4712);
        byte[] bytes = new byte[4096];
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(bytes);
            if (i % 2 == 0)
            {
                Encode(0).AsSpan(0, 8).CopyTo(bytes);
            }
            if (i % 4 == 0)
            {
                FixChecksum(bytes);
            }
            Assert.Null(new UnverifiedSuperblock(bytes).Verify(0, FeatureFlags.Supported, out _));
        }
    }

    [Fact]
    public void An_identity_is_cut_to_what_fits()
    {
        PrimaryIdentity identity = new() { Bytes = 1, Text = new string('ä', 200) };
        Assert.Equal(64, identity.Text.Length);
        PrimaryIdentity emoji =
            new() { Bytes = 1, Text = string.Concat(Enumerable.Repeat("\U0001F4BE", 50)) };
        Assert.True(System.Text.Encoding.UTF8.GetByteCount(emoji.Text) <= PrimaryIdentity.TextBytesMax);
    }

    [Theory]
    [InlineData(Limits.SliceBytes, SuperblockVerdict.Valid)]
    [InlineData(2 * Limits.SliceBytes, SuperblockVerdict.Malformed)]
    public void A_unit_longer_than_a_slice_is_malformed(int unitBytes, SuperblockVerdict expected)
    {
        UnitGeometry geometry = new(new BlockSize(4096), unitBytes, new BlockCount(10_000), 0);
        SpareLayout layout =
            SpareLayout.Compute(new ByteCount(64 << 20), 4096, geometry, new ByteCount(0))!;
        SetDescription set = Set() with
        {
            Journal = JournalRing.Fitting([layout]),
            Geometry = geometry,
            Primary = new PrimaryIdentity { Bytes = 10_000 * 4096, Text = "" },
            Members =
            [
                new MemberDescription
                {
                    Uuid = MetadataBench.MemberUuid(4),
                    State = MemberState.Active,
                    Bytes = layout.SpareBytes,
                    DataUnits = layout.DataUnits,
                },
            ],
        };
        byte[] copy = new byte[SpareLayout.SuperblockBytes];
        SuperblockEncoder.Encode(set, layout, State(), memberIndex: 0, copyIndex: 0, copy);
        Assert.Equal(expected, VerdictOf(copy, 0));
    }

    private static SuperblockVerdict VerdictOf(byte[] copy, int copyIndex)
    {
        Superblock? superblock = new UnverifiedSuperblock(copy).Verify(
            copyIndex, FeatureFlags.Supported, out SuperblockVerdict verdict);
        Assert.Equal(verdict == SuperblockVerdict.Valid, superblock is not null);
        return verdict;
    }

    private static byte[] Changed(Action<byte[]> change)
    {
        byte[] copy = Encode(0);
        change(copy);
        FixChecksum(copy);
        return copy;
    }

    private static void FixChecksum(byte[] copy) =>
        Put32(copy, ChecksumAt, Crc32C.Compute(copy.AsSpan(0, ChecksumAt)));

    private static byte[] Encode(int copyIndex) => EncodeWith(copyIndex, State());

    private static byte[] EncodeWith(int copyIndex, SuperblockState state)
    {
        byte[] copy = new byte[SpareLayout.SuperblockBytes];
        SuperblockEncoder.Encode(Set(), Layout(), state, memberIndex: 1, copyIndex, copy);
        return copy;
    }

    private static UnitGeometry Geometry() => new(new BlockSize(512), 8192, new BlockCount(99_999), 3584);

    private static SpareLayout Layout() =>
        SpareLayout.Compute(
            new ByteCount(20_000_256), 4096, Geometry(), new ByteCount(Limits.SpareBytesMin))!;

    private static SetDescription Set() => new()
    {
        SetUuid = new Guid("00112233-4455-6677-8899-aabbccddeeff"),
        Features = new FeatureFlags(0x8000, 0, 0),
        Geometry = Geometry(),
        PrimaryPhysicalBlockBytes = 4096,
        Primary = new PrimaryIdentity { Bytes = 99_999 * 512, Text = "wwn-0x5000c500a1b2c3d4" },
        Members =
        [
            new MemberDescription
            {
                Uuid = MetadataBench.MemberUuid(4),
                State = MemberState.Inactive,
                Bytes = 1 << 24,
                DataUnits = 1000,
            },
            new MemberDescription
            {
                Uuid = MetadataBench.MemberUuid(5),
                State = MemberState.Active,
                Bytes = Layout().SpareBytes,
                DataUnits = Layout().DataUnits,
                BadCopies = 0x21,
                BadJournals = 2,
                BadCheckpoints = 1,
            },
        ],
        Journal = new JournalRing(4096, 64),
        Past = [new PastEpoch(0x11, 70), new PastEpoch(0x10, 3)],
    };

    private static PrimaryWitness Witness()
    {
        uint[] words = new uint[PrimaryWitness.Places];
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = (uint)(i % 3 == 0 ? 0 : 0x01010101 * i);
        }
        return new PrimaryWitness(words);
    }

    private static SuperblockState State() => new()
    {
        Epoch = 0x0123456789ABCDEF,
        ParentEpoch = ulong.MaxValue,
        Generation = 77,
        FirstJournalSequence = 42,
        JournalHead = new JournalLink(88, 0xCAFEF00D),
        SettledGeneration = 76,
        PrimaryWitness = Witness(),
        IsCleanStop = true,
        Checkpoint = new CheckpointPointer
        {
            Area = CheckpointArea.B,
            Crc = 0xDEADBEEF,
            Runs = 5,
            RetiredRuns = 2,
            LengthBytes = 10 * SpareLayout.CellBytes,
            Entries = 9,
            Generation = 76,
            Epoch = 0x0123456789ABCDEE,
        },
    };

    private static uint Get32(byte[] bytes, int at) =>
        BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at));

    private static void Put32(byte[] bytes, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);
}
