using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Cli.Losses;
using DmRemap.Control.Contracts;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>
/// What the real debugfs says of an image with a file in so many pieces that its map needs blocks of its own,
/// and with a folder of some blocks. One block of the image is one of the device.
/// </summary>
public sealed class ExtFilesTests : IDisposable
{
    private const int BlockBytes = 4096;
    private const int ImageBytes = 32 << 20;
    private const int Pieces = 1000;

    private readonly TemporaryDirectory _directory = new();
    private readonly ToolRun _tools = new(TimeSpan.FromSeconds(60), TimeProvider.System);

    private string Image => _directory["image"];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Blocks_of_a_sound_file_system_have_a_file_or_none_and_nothing_is_unknown()
    {
        await MakeImageAsync();
        (long leaf, long[] data) = await MapOfHolesAsync();
        long whole = await FirstBlockAsync("/whole");
        HitFileSystem found = await FindAsync(whole, leaf, data[0], data[^1], FreeBlock);
        Assert.Null(found.Unknown);
        Assert.Equal(["/holes", "/whole"], PathsOf(found));
        Assert.Equal([FreeBlock], found.InNoFile.Select(extent => extent.FirstBlock));
    }

    [Fact]
    public async Task Blocks_that_a_file_with_an_unreadable_map_may_have_are_not_called_in_no_file()
    {
        await MakeImageAsync();
        (long leaf, long[] data) = await MapOfHolesAsync();
        long whole = await FirstBlockAsync("/whole");
        Spoil(leaf);
        // The first pieces are in another leaf.
        HitFileSystem found = await FindAsync(whole, data[0], data[^1], FreeBlock);
        Assert.Contains("icheck: ", found.Unknown, StringComparison.Ordinal);
        Assert.Empty(found.InNoFile);
        Assert.Equal(["/holes", "/whole"], PathsOf(found));
        Assert.Equal([data[0]], found.Files[0].Extents.Select(extent => extent.FirstBlock));
    }

    [Fact]
    public async Task An_unreadable_map_casts_no_doubt_where_every_block_has_its_file()
    {
        await MakeImageAsync();
        (long leaf, long[] data) = await MapOfHolesAsync();
        Spoil(leaf);
        HitFileSystem found = await FindAsync(data[0], await FirstBlockAsync("/whole"));
        Assert.Null(found.Unknown);
        Assert.Equal(["/holes", "/whole"], PathsOf(found));
    }

    [Fact]
    public async Task A_file_in_a_folder_that_is_unreadable_has_a_name_that_is_unknown()
    {
        await MakeImageAsync();
        long whole = await FirstBlockAsync("/whole");
        long inside = await FirstBlockAsync("/folder/inside");
        Spoil(await FirstBlockAsync("/folder"));
        HitFileSystem found = await FindAsync(whole, inside);
        Assert.Contains("ncheck: ", found.Unknown, StringComparison.Ordinal);
        Assert.Equal(["-", "/whole"], PathsOf(found));
    }

    /// <summary>The file system is far from full.</summary>
    private static long FreeBlock => (ImageBytes / BlockBytes) - 10;

    private async Task MakeImageAsync()
    {
        string tree = _directory["tree"];
        Directory.CreateDirectory(Path.Combine(tree, "folder"));
        byte[] block = new byte[BlockBytes];
        Array.Fill(block, (byte)7);
        await File.WriteAllBytesAsync(Path.Combine(tree, "whole"), block);
        await File.WriteAllBytesAsync(Path.Combine(tree, "folder", "inside"), block);
        await using (FileStream holes = new(Path.Combine(tree, "holes"), FileMode.CreateNew))
        {
            for (int i = 0; i < Pieces; i++)
            {
                holes.Position = 2L * i * BlockBytes;
                await holes.WriteAsync(block);
            }
        }
        File.Move(_directory.MakeSparseFile("sparse", ImageBytes), Image);
        ToolAnswer made = await _tools.RunAsync("mkfs.ext4", "-q", "-F", "-b", "4096", "-d", tree, Image);
        Assert.SkipWhen(made.ExitCode is null, made.Why);
        Assert.True(made.ExitCode == 0, made.Why);
    }

    /// <summary>
    /// The last leaf of the map, and the blocks of the file: `stat` has them as (ETB0):N and (N):N.
    /// </summary>
    private async Task<(long Leaf, long[] Data)> MapOfHolesAsync()
    {
        string output = await AskAsync("stat /holes");
        string[] parts = output[output.IndexOf("EXTENTS:", StringComparison.Ordinal)..]
            .Split([' ', ',', '\n'], StringSplitOptions.RemoveEmptyEntries);
        long leaf = NumberOf(parts.Last(part => part.StartsWith("(ETB", StringComparison.Ordinal)));
        long[] data = [.. parts.Where(part => part[0] == '(' && char.IsAsciiDigit(part[1])).Select(NumberOf)];
        Assert.Equal(Pieces, data.Length);
        return (leaf, data);
    }

    private static long NumberOf(string part) =>
        long.Parse(part[(part.IndexOf(':', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture);

    private async Task<long> FirstBlockAsync(string file) =>
        long.Parse((await AskAsync($"blocks {file}")).Split(' ')[0], CultureInfo.InvariantCulture);

    private async Task<string> AskAsync(string request)
    {
        ToolAnswer answer = await _tools.RunAsync("debugfs", "-R", request, Image);
        Assert.SkipWhen(answer.ExitCode is null, answer.Why);
        Assert.Equal("", answer.Why);
        return answer.Output;
    }

    private void Spoil(long block)
    {
        using FileStream image = new(Image, FileMode.Open);
        image.Position = block * BlockBytes;
        byte[] noise = new byte[BlockBytes];
        Array.Fill(noise, (byte)0x5a);
        image.Write(noise);
    }

    private Task<HitFileSystem> FindAsync(params long[] blocks)
    {
        HitFileSystem part = new() { FirstBlock = 0, Blocks = ImageBytes / BlockBytes, Kind = "ext4" };
        LostExtent[] lost = [.. blocks.Order().Select(block => new LostExtent(block, 1))];
        return new ExtFiles(_tools, Image, 0).FindAsync(part, lost, BlockBytes);
    }

    private static List<string> PathsOf(HitFileSystem found) =>
        [.. found.Files.Select(file => file.Path ?? "-").Order(StringComparer.Ordinal)];
}
