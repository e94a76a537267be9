using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.Versioning;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Linux.Native;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Members;

[SupportedOSPlatform("linux")]
public sealed class SpareFileTests
{
    private const int MebiByte = 1024 * 1024;

    [Theory]
    [InlineData(4096)]
    [InlineData(3 * MebiByte + 12_345)]
    public void New_spare_is_zeros_without_a_hole_and_private(int bytes)
    {
        using TemporaryDirectory directory = new();
        long reported = 0;
        SpareFile.Create(directory["spare"], bytes, written => reported = written, CancellationToken.None);
        Assert.Equal(bytes, reported);
        Assert.Equal(new byte[bytes], File.ReadAllBytes(directory["spare"]));
        Assert.Empty(ExtentsOf(directory["spare"]).Holes);
        Assert.True(FileStatus.OfPath(directory["spare"])!.AllocatedBytes >= bytes);
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(directory["spare"]));
        Assert.False(FillHoles(directory["spare"]));
    }

    [Fact]
    public void New_spare_of_many_pieces_is_synced_on_the_way()
    {
        using TemporaryDirectory directory = new();
        List<long> reports = [];
        SpareFile.Create(directory["spare"], 70 * MebiByte, reports.Add, CancellationToken.None);
        Assert.Equal([64L * MebiByte, 70L * MebiByte], reports);
    }

    [Fact]
    public void Existing_file_is_never_overwritten()
    {
        using TemporaryDirectory directory = new();
        byte[] content = File.ReadAllBytes(directory.MakeFile("photos", 5000));
        File.CreateSymbolicLink(directory["link"], directory["nothing"]);
        foreach (string name in (string[])["photos", "link"])
        {
            RefusalException refusal = Assert.Throws<RefusalException>(
                () => SpareFile.Create(directory[name], 4096, null, CancellationToken.None));
            Assert.Equal("DMR-SPARE-EXISTS", refusal.Id);
            Assert.Equal(ExitCode.RefusedForSafety, refusal.ExitCode);
        }
        Assert.Equal(content, File.ReadAllBytes(directory["photos"]));
        Assert.False(File.Exists(directory["nothing"]));
    }

    [Fact]
    public void Missing_directory_is_refused()
    {
        using TemporaryDirectory directory = new();
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => SpareFile.Create(directory["none/spare"], 4096, null, CancellationToken.None));
        Assert.Equal("DMR-MEMBER-MISSING", refusal.Id);
        Assert.Equal(directory["none"], refusal.Device);
        Assert.Contains($"The folder {directory["none"]} does not exist", refusal.Message,
            StringComparison.Ordinal);
        Assert.DoesNotContain("cable", refusal.Refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public void Room_that_is_missing_is_said_in_units_that_people_read()
    {
        using TemporaryDirectory directory = new();
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => SpareFile.Create(directory["spare"], 100L << 50, null, CancellationToken.None));
        Assert.Equal("DMR-SPARE-NO-ROOM", refusal.Id);
        Assert.Contains("it needs 100 PiB,", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(" bytes", refusal.Message + refusal.Refusal.Action, StringComparison.Ordinal);
    }

    [Fact]
    public void File_system_without_room_is_refused_with_the_missing_amount()
    {
        using TemporaryDirectory directory = new();
        using LoopDevice loop = LoopDevice.Attach(directory.MakeSparseFile("image", 8 * MebiByte));
        using MountedExt4 mount = MountedExt4.Make(loop.Path, directory["mnt"]);
        string spare = Path.Combine(mount.Point, "spare");
        long free = FileSystemFacts.OfPath(mount.Point)!.Value.FreeBytes;
        long bytes = free + (3 * MebiByte);
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => SpareFile.Create(spare, bytes, null, CancellationToken.None));
        Assert.Equal("DMR-SPARE-NO-ROOM", refusal.Id);
        Assert.Contains("3 MiB are missing", refusal.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(spare));

        // Promised by a sparse file, and not there either.
        using (FileStream stream = new(spare, FileMode.CreateNew))
        {
            stream.SetLength(bytes);
        }
        refusal = Assert.Throws<RefusalException>(() => FillHoles(spare));
        Assert.Equal("DMR-SPARE-NO-ROOM", refusal.Id);
    }

    [Fact]
    public void File_system_that_fills_up_on_the_way_leaves_no_half_spare()
    {
        using TemporaryDirectory directory = new();
        using LoopDevice loop = LoopDevice.Attach(directory.MakeSparseFile("image", 96 * MebiByte));
        using MountedExt4 mount = MountedExt4.Make(loop.Path, directory["mnt"]);
        string spare = Path.Combine(mount.Point, "spare");
        long free = FileSystemFacts.OfPath(mount.Point)!.Value.FreeBytes;
        RefusalException refusal = Assert.Throws<RefusalException>(() => SpareFile.Create(
            spare,
            free - MebiByte,
            _ => File.WriteAllBytes(Path.Combine(mount.Point, "somebody else's"), new byte[4 * MebiByte]),
            CancellationToken.None));
        Assert.Equal("DMR-SPARE-NO-ROOM", refusal.Id);
        Assert.False(File.Exists(spare));
    }

    [Fact]
    public void Cancelled_creation_leaves_nothing()
    {
        using TemporaryDirectory directory = new();
        Assert.ThrowsAny<OperationCanceledException>(
            () => SpareFile.Create(
                directory["spare"], MebiByte, null, new CancellationToken(canceled: true)));
        Assert.False(File.Exists(directory["spare"]));
    }

    [Fact]
    public void Holes_of_an_existing_spare_are_written_and_its_data_stays()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeSparseFile("spare", (2 * MebiByte) + 777);
        byte[] expected = new byte[(2 * MebiByte) + 777];
        foreach (int place in (int[])[0, 300_000, MebiByte, expected.Length - 100])
        {
            expected.AsSpan(place, 100).Fill(0x5a);
        }
        WriteParts(path, expected);
        Assert.NotEmpty(ExtentsOf(path).Holes);
        Assert.True(FillHoles(path));
        Assert.Equal(expected, File.ReadAllBytes(path));
        Assert.Empty(ExtentsOf(path).Holes);
        Assert.False(FillHoles(path));
    }

    [Fact]
    public void Allocated_but_unwritten_blocks_are_written()
    {
        Tool.Need("fallocate");
        using TemporaryDirectory directory = new();
        string path = directory["spare"];
        Tool.Run("fallocate", "-l", "1048576", path);
        if (ExtentsOf(path).Holes.Count == 0)
        {
            Assert.Skip($"the file system of {directory.Path} does not tell unwritten blocks from written"
                + " ones");
        }
        Assert.True(FillHoles(path));
        Assert.Empty(ExtentsOf(path).Holes);
    }

    [Fact]
    public void Holes_are_found_where_there_are_no_extent_maps()
    {
        const string Memory = "/dev/shm";
        if (!Directory.Exists(Memory))
        {
            Assert.Skip("needs /dev/shm");
        }
        string path = Path.Combine(Memory, Path.GetRandomFileName());
        try
        {
            using (FileStream stream = new(path, FileMode.CreateNew))
            {
                stream.SetLength(MebiByte);
                stream.Position = 65_536;
                stream.Write(new byte[4096]);
            }
            Assert.Equal([new FileHole(0, 65_536), new FileHole(69_632, MebiByte)], ExtentsOf(path).Holes);
            Assert.True(FillHoles(path));
            Assert.Empty(ExtentsOf(path).Holes);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Spare_stays_claimed_when_it_has_been_filled()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeSparseFile("spare", MebiByte);
        using MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!;
        Assert.True(SpareFile.EnsureFullyWritten(member, null, CancellationToken.None));
        Assert.Empty(ExtentsOf(path).Holes);
        Assert.Null(MemberFile.TryClaim(path, new MemberOptions()).Member);
    }

    [Fact]
    public void Spare_whose_path_leads_to_another_file_meanwhile_is_not_filled()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeSparseFile("spare", MebiByte);
        using MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!;
        File.Move(directory.MakeSparseFile("other", MebiByte), path, overwrite: true);
        RefusalException refusal = Assert.Throws<RefusalException>(
            () => SpareFile.EnsureFullyWritten(member, null, CancellationToken.None));
        Assert.Equal("DMR-MEMBER-REPLACED", refusal.Id);
        Assert.NotEmpty(ExtentsOf(path).Holes);
    }

    [Fact]
    public void Extents_become_the_holes_between_them_as_in_the_byte_by_byte_model()
    {
        const int Bytes = 40;
        for (int seed = 0; seed < 2000; seed++)
        {
            Random random = new(seed);
            bool[] isHole = new bool[Bytes];
            Array.Fill(isHole, true);
            List<FileNative.FiemapExtent> extents = [];
            for (int at = random.Next(6); at < Bytes;)
            {
                int length = 1 + random.Next(8);
                bool isUnwritten = random.Next(3) == 0;
                extents.Add(new FileNative.FiemapExtent
                {
                    fe_logical = (ulong)at,
                    fe_length = (ulong)length,
                    fe_flags = isUnwritten ? FileNative.FIEMAP_EXTENT_UNWRITTEN : 0,
                });
                for (int i = at; i < int.Min(at + length, Bytes) && !isUnwritten; i++)
                {
                    isHole[i] = false;
                }
                at += length + random.Next(5);
            }
            FileExtentsBuilder builder = new(Bytes);
            ReadOnlySpan<FileNative.FiemapExtent> rest = extents.ToArray();
            while (!builder.IsComplete)
            {
                int count = int.Min(rest.Length, 1 + random.Next(3));
                builder.Add(rest[..count]);
                rest = rest[count..];
            }
            AssertHoles(isHole, builder.Build().Holes, seed);
        }
    }

    private static void AssertHoles(bool[] expected, IReadOnlyList<FileHole> holes, int seed)
    {
        bool[] actual = new bool[expected.Length];
        long end = -1;
        foreach (FileHole hole in holes)
        {
            Assert.True(hole.Start > end, $"seed={seed}: holes touch or overlap");
            Assert.True(hole.Bytes > 0, $"seed={seed}: an empty hole");
            Array.Fill(actual, true, (int)hole.Start, (int)hole.Bytes);
            end = hole.End;
        }
        Assert.True(expected.AsSpan().SequenceEqual(actual), $"seed={seed}");
    }

    private static bool FillHoles(string path)
    {
        using MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!;
        return SpareFile.EnsureFullyWritten(member, null, CancellationToken.None);
    }

    private static void WriteParts(string path, byte[] content)
    {
        using FileStream stream =
            new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        for (int i = 0; i < content.Length; i++)
        {
            if (content[i] != 0)
            {
                stream.Position = i;
                stream.WriteByte(content[i]);
            }
        }
    }

    private static FileExtents ExtentsOf(string path)
    {
        Assert.Equal(0, FileCalls.TryOpen(
            path, FileNative.O_RDONLY, 0, out Microsoft.Win32.SafeHandles.SafeFileHandle handle));
        using (handle)
        {
            return FileExtents.Read(handle, path, RandomAccess.GetLength(handle));
        }
    }
}
