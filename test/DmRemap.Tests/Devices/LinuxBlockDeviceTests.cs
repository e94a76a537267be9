using System;
using System.Diagnostics;
using System.IO;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Devices;
using DmRemap.Tests.Linux;
using Xunit;

namespace DmRemap.Tests.Devices;

/// <summary>On a loop device: needs root and losetup.</summary>
public sealed class LinuxBlockDeviceTests : IDisposable
{
    private const int Blocks = 8192;

    private readonly string _directory = Directory.CreateTempSubdirectory("dmremap-loop-").FullName;
    private string? _loopDevice;

    private string ImagePath => Path.Combine(_directory, "image");

    public void Dispose()
    {
        if (_loopDevice is not null)
        {
            Run("losetup", "-d", _loopDevice);
        }
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public void Block_device_reads_writes_flushes_and_zeroes()
    {
        Assert.SkipUnless(TestFile.IsRoot, "attaching a loop device needs root");
        byte[] model = new byte[Blocks * 512];
        new Random(1).NextBytes(model);
        File.WriteAllBytes(ImagePath, model);
        (int exit, string output) = Run("losetup", "-f", "--show", ImagePath);
        Assert.SkipUnless(exit == 0, $"losetup: exit {exit}: {output}");
        _loopDevice = output.Trim();

        using LoopRunner runner = new();
        using LinuxFile device = runner.Call(() => new LinuxFile(
            runner.Loop,
            TestFile.OpenDirect(_loopDevice),
            MemoryDeviceTests.MakeGeometry(Blocks, 512) with { CanDiscard = false },
            new LinuxFileOptions { Name = _loopDevice, Kind = MemberKind.BlockDevice }));
        BufferSlice buffer = AlignedMemory.Allocate(64 * 512);
        new Random(2).NextBytes(buffer.Span);
        buffer.Span.CopyTo(model.AsSpan(100 * 512));
        model.AsSpan(1000 * 512, 2000 * 512).Clear();
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Write, 100, 64, buffer, IoFlags.ForceUnitAccess));
        Assert.Equal(IoStatus.Ok, Do(IoOperation.WriteZeroes, 1000, 2000, default, IoFlags.None));
        Assert.Equal(IoStatus.Unsupported, Do(IoOperation.Discard, 0, 8, default, IoFlags.None));
        Assert.Equal(IoStatus.Ok, Do(IoOperation.Flush, 0, 0, default, IoFlags.None));
        for (int block = 0; block < Blocks; block += 64)
        {
            Assert.Equal(IoStatus.Ok, Do(IoOperation.Read, block, 64, buffer, IoFlags.None));
            Assert.True(buffer.Span.SequenceEqual(model.AsSpan(block * 512, 64 * 512)), $"block {block}");
        }

        IoStatus Do(IoOperation operation, long start, long count, BufferSlice slice, IoFlags flags) =>
            runner.Do(
                device, operation, new Extent(new BlockNumber(start), new BlockCount(count)), slice,
                flags).Status;
    }

    private static (int Exit, string Output) Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            string output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            return (127, exception.Message);
        }
    }
}
