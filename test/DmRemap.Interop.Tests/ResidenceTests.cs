using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// A server does not wait for its own writes when memory is short (F-20), and says what it was given for
/// that.
/// </summary>
public sealed class ResidenceTests
{
    private const int LockMemory = 14;
    private const int SystemResource = 24;

    /// <summary>Of a thread in /proc: it starts no I/O to get memory. sched.h: PF_MEMALLOC_NOIO.</summary>
    private const long NoIoToGetMemory = 0x80000;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Server_that_may_lock_its_memory_has_all_of_its_program_in_it()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        await device.ServeAsync();
        JsonElement status = await device.StatusAsync();
        int pid = status.GetProperty("pid").GetInt32();
        bool isLocked = status.GetProperty("memoryLocked").GetBoolean();
        Assert.Equal(Has(LockMemory), isLocked);
        CommandResult text = await device.RunAsync("status", DeviceUnderTest.Name);
        Assert.Equal(isLocked, !text.Output.Contains("memory not locked", StringComparison.Ordinal));
        List<string> missing = [];
        int programs = 0;
        foreach ((string mapping, long size, long resident, bool isMappingLocked) in MappingsOf(pid))
        {
            programs++;
            if (resident != size || !isMappingLocked)
            {
                missing.Add($"{mapping}: {resident} of {size} KiB, locked: {isMappingLocked}");
            }
        }
        Assert.NotEqual(0, programs);
        Assert.Equal(isLocked, missing.Count == 0);
        await device.StopAsync();
    }

    [Fact]
    public async Task Server_that_may_not_lock_its_memory_serves_and_says_so()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        RunningProgram server = device.StartBeside(
            "setpriv", "--inh-caps=-all", "--bounding-set=-ipc_lock", DeviceUnderTest.Program, "serve",
            DeviceUnderTest.Name);
        await DeviceUnderTest.WaitUntilReadyAsync(server);
        Assert.False((await device.StatusAsync()).GetProperty("memoryLocked").GetBoolean());
        (await device.RunAsync("stop", DeviceUnderTest.Name)).Expect(0);
        Assert.Equal(0, await server.WaitForEndAsync(s_patience));
    }

    [Fact]
    public async Task Threads_of_a_server_start_no_io_to_get_memory_where_that_is_permitted()
    {
        await using DeviceUnderTest device = DeviceUnderTest.Prepare(Content.Of(DeviceUnderTest.MiB));
        await device.CreateAsync();
        await device.ServeAsync();
        JsonElement status = await device.StatusAsync();
        int pid = status.GetProperty("pid").GetInt32();
        bool isFlusher = status.GetProperty("ioFlusher").GetBoolean();
        Assert.Equal(Has(SystemResource), isFlusher);
        foreach (string thread in Directory.GetDirectories($"/proc/{pid}/task"))
        {
            // After the name, which may have spaces and parentheses: state, five numbers, then the flags.
            string stat = await File.ReadAllTextAsync(Path.Combine(thread, "stat"),
                TestContext.Current.CancellationToken);
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            long flags = long.Parse(fields[6], CultureInfo.InvariantCulture);
            Assert.Equal(isFlusher, (flags & NoIoToGetMemory) != 0);
        }
        await device.StopAsync();
    }

    private static bool Has(int capability)
    {
        string line = File.ReadLines("/proc/self/status")
            .First(line => line.StartsWith("CapEff:", StringComparison.Ordinal));
        ulong set = ulong.Parse(line.AsSpan("CapEff:".Length).Trim(), NumberStyles.AllowHexSpecifier,
            CultureInfo.InvariantCulture);
        return (set & (1UL << capability)) != 0;
    }

    /// <summary>Of the process, those of code in files: name, KiB, KiB in memory, and is it locked.</summary>
    private static List<(string Mapping, long Size, long Resident, bool IsLocked)> MappingsOf(int pid)
    {
        List<(string Mapping, long Size, long Resident, bool IsLocked)> found = [];
        string mapping = "";
        long size = 0;
        long resident = 0;
        foreach (string line in File.ReadLines($"/proc/{pid}/smaps"))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            switch (words[0])
            {
                case "Size:":
                    size = long.Parse(words[1], CultureInfo.InvariantCulture);
                    break;
                case "Rss:":
                    resident = long.Parse(words[1], CultureInfo.InvariantCulture);
                    break;
                case "VmFlags:" when mapping.Contains(" r-xp ", StringComparison.Ordinal)
                    && mapping.Contains('/', StringComparison.Ordinal):
                    found.Add((mapping, size, resident, words.Contains("lo")));
                    break;
                case string first when first.Contains('-', StringComparison.Ordinal):
                    mapping = line;
                    break;
                default:
                    break;
            }
        }
        return found;
    }
}
