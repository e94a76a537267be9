using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Core.Faults.Injection;
using DmRemap.Core.Remapping;
using DmRemap.Core.Spares;
using DmRemap.Devices;
using DmRemap.Engine;
using DmRemap.Linux.Loop;
using DmRemap.Tests.Linux;
using DmRemap.Tests.Support;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DmRemap.Tests.Engine;

/// <summary>
/// The whole of a device's life again and again in one process, on real files and a real loop: made, served,
/// a sector goes bad and moves, suspended, resumed, stopped, let go. Counted in /proc: nothing is left.
/// </summary>
[Collection(nameof(DescriptorCounting))]
public sealed class LifeCycleLeakTests
{
    private const long Blocks = 2048;
    private const long SpareUnits = 64;

    [Theory]
    [InlineData(LoopBackend.IoUring, 1000)]
    [InlineData(LoopBackend.Epoll, 300)]
    public void A_thousand_lives_of_a_device_leave_no_thread_descriptor_mapping_or_slot(
        LoopBackend backend, int rounds)
    {
        using TemporaryDirectory directory = new();
        string main = directory["main"];
        string spare = directory["spare"];
        File.WriteAllBytes(main, new byte[Blocks * 512]);
        File.WriteAllBytes(spare, new byte[(SpareUnits + 1) * 4096]);
        // What the runtime makes once (threads of its pool, compiled code) is not a leak.
        for (int i = 0; i < 50; i++)
        {
            Live(backend, main, spare, i);
        }
        Usage before = Usage.Now();
        for (int i = 0; i < rounds; i++)
        {
            Live(backend, main, spare, i);
        }
        Usage after = Usage.Now();
        // The runtime may begin or end a few threads of its own, and with each come two mappings.
        Assert.True(
            after.Links.Length <= before.Links.Length,
            $"{after.Links.Length - before.Links.Length} descriptors more, of: "
                + string.Join(", ", after.Links.Except(before.Links)));
        Assert.InRange(after.Threads - before.Threads, -20, 3);
        Assert.InRange(after.Mappings - before.Mappings, -1000, 30);
        // Another test may have left one that the kernel keeps.
        Assert.InRange(after.LoopThreads - before.LoopThreads, -20, 0);
        Assert.Equal(0, after.Rings - before.Rings);
    }

    private static void Live(LoopBackend backend, string main, string spare, int round)
    {
        using LoopRunner runner = new(backend: backend);
        using LinuxFile mainFile = Open(runner, main);
        using LinuxFile spareFile = Open(runner, spare);
        BufferSlice data = AlignedMemory.Allocate(4096);
        byte value = (byte)((round % 255) + 1);
        data.Span.Fill(value);
        RemapDevice device = runner.Call(() => Build(runner.Loop, mainFile, spareFile));
        Extent bad = new(new BlockNumber(800), new BlockCount(8));
        Assert.Equal(IoStatus.Ok, runner.Do(device, IoOperation.Write, bad, data).Status);
        Assert.Equal(1, runner.Call(() => device.Tally.RemappedUnits));
        using ManualResetEventSlim quiet = new();
        Probe probe = new(quiet);
        runner.Call(() => device.BeginSuspend(probe));
        LoopRunner.Wait(quiet, "the suspension's quiet");
        runner.Call(device.Resume);
        data.Span.Clear();
        Assert.Equal(IoStatus.Ok, runner.Do(device, IoOperation.Read, bad, data).Status);
        Assert.Equal(value, data.Span[4095]);
        quiet.Reset();
        runner.Call(() => device.BeginStop(probe));
        LoopRunner.Wait(quiet, "the stop's quiet");
        Assert.True(probe.Flushed);
        Assert.Equal(0, runner.Loop.OutstandingOperations);
        runner.Call(() =>
        {
            Assert.Equal(0, device.InFlight);
            Assert.True(device.IsQuiet);
            mainFile.Retire();
            spareFile.Retire();
        });
    }

    private static LinuxFile Open(LoopRunner runner, string path)
    {
        SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        DeviceGeometry geometry =
            SimulatedDisk.MakeGeometry(new FileInfo(path).Length / 512) with { CanDiscard = true };
        LinuxFileOptions options = new()
        {
            Name = path,
            Kind = MemberKind.File,
            CacheMode = CacheMode.PageCache,
        };
        return runner.Call(() => new LinuxFile(runner.Loop, handle, geometry, options));
    }

    private static RemapDevice Build(KernelLoop loop, LinuxFile main, LinuxFile spare)
    {
        UnitGeometry units = new(new BlockSize(512), 4096, new BlockCount(Blocks), 0);
        SpareAllocator allocator = new();
        allocator.AddSpare(0, SpareUnits);
        FaultInjecting failing = new(loop, main);
        Assert.True(failing.TryAdd(Assert.Single(FaultRules.Parse("800-807 write").Rules)));
        return new RemapDevice(new RemapDeviceParts
        {
            Loop = loop,
            Primary = new Member(Member.Primary, "main", failing, new BlockNumber(0)),
            Spares = [new Member(0, "spare", spare, new BlockNumber(8))],
            Table = new RemapTable(units),
            Allocator = allocator,
            Log = new SimulatedLog(loop) { LatencyMax = Duration.FromMilliseconds(1) },
        });
    }

    /// <summary>What /proc says of this process, after everything that can be collected has been.</summary>
    private sealed record Usage(int Threads, string[] Links, int Mappings, int Rings, int LoopThreads)
    {
        public static Usage Now()
        {
#pragma warning disable RS0030 // What is counted is what nothing refers to any more.
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
#pragma warning restore RS0030
            List<string> names = [];
            foreach (string thread in Directory.GetDirectories("/proc/self/task"))
            {
                try
                {
                    names.Add(File.ReadAllText(Path.Combine(thread, "comm")).Trim());
                }
                catch (IOException)
                {
                    // It has just ended.
                }
            }
            string[] links =
            [
                .. Directory.GetFileSystemEntries("/proc/self/fd").Select(LinkOf)
                    .Where(link => !IsAssembly(link)),
            ];
            return new Usage(
                names.Count,
                links,
                File.ReadAllLines("/proc/self/maps").Count(line => !IsAssembly(line)),
                links.Count(link => link.Contains("io_uring", StringComparison.Ordinal)),
                names.Count(name => name is "test loop" or "dmremap-io"));
        }

        /// <summary>The runtime loads one when it is first needed, and keeps it open and mapped.</summary>
        private static bool IsAssembly(string line) => line.EndsWith(".dll", StringComparison.Ordinal);

        private static string LinkOf(string path) => new FileInfo(path).LinkTarget ?? "";
    }

    private sealed class Probe(ManualResetEventSlim quiet) : ISuspendOwner, IStopOwner
    {
        public bool Flushed { get; private set; }

        void ISuspendOwner.OnQuiesced(bool flushed) => Tell(flushed);

        void IStopOwner.OnQuiesced(bool flushed) => Tell(flushed);

        private void Tell(bool flushed)
        {
            Flushed = flushed;
            quiet.Set();
        }
    }
}
