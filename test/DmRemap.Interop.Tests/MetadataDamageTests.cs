using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;
using Xunit;

namespace DmRemap.Interop.Tests;

/// <summary>
/// Any copies but one of each structure may be damaged: `check` names them, `serve` opens, says so and
/// repairs. All of them: both refuse, with the same words, and change nothing.
/// </summary>
public sealed class MetadataDamageTests
{
    private const string Name = DeviceUnderTest.Name;
    private const int Unit = DeviceUnderTest.UnitBytes;
    private const string Faults = "800-807 write";
    private const long Offset = 800 * 512;
    private const int Copies = 6;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Any_superblock_copies_but_one_may_be_damaged_and_are_repaired()
    {
        await using Scene scene = await Scene.MakeAsync();
        long[] starts = [.. scene.Copies().Select(copy => copy.GetProperty("start").GetInt64())];
        Assert.Equal(Copies, starts.Length);
        for (int count = 1; count < Copies; count++)
        {
            for (int first = 0; first < Copies; first += count == 3 ? 1 : 3)
            {
                int[] damaged =
                    [.. Enumerable.Range(first, count).Select(copy => copy % Copies).Order()];
                scene.Restore();
                scene.Damage(damaged.Select(copy => starts[copy] + 200));
                string copies = (count == 1 ? "copy " : "copies ") + string.Join(", ", damaged);
                await scene.AssertCheckNamesAsync($"superblock {copies} damaged");
            }
            await scene.AssertServeRepairsAsync("DMR-EVENT-SUPERBLOCKS-REPAIRED");
        }
    }

    [Fact]
    public async Task One_place_of_the_checkpoint_may_be_damaged_and_is_repaired()
    {
        await using Scene scene = await Scene.MakeAsync();
        long[] starts = scene.CheckpointPlaces();
        for (int place = 0; place < starts.Length; place++)
        {
            scene.Restore();
            scene.Damage([starts[place] + 20]);
            await scene.AssertCheckNamesAsync($"checkpoint place {place} damaged");
            await scene.AssertServeRepairsAsync("DMR-EVENT-CHECKPOINT-REPAIRED");
        }
    }

    [Fact]
    public async Task One_place_of_the_journal_may_be_damaged_and_is_repaired()
    {
        await using Scene scene = await Scene.MakeAsync();
        for (int place = 0; place < 2; place++)
        {
            scene.Restore();
            scene.Damage(scene.Records(place));
            await scene.AssertCheckNamesAsync($"journal place {place} lacks ");
            await scene.AssertServeRepairsAsync("DMR-EVENT-JOURNAL-REPAIRED");
        }
    }

    [Fact]
    public async Task All_copies_damaged_is_refused_by_check_and_serve_alike_and_nothing_is_written()
    {
        await using Scene scene = await Scene.MakeAsync();
        scene.Damage(scene.Copies().Select(copy => copy.GetProperty("start").GetInt64() + 200));
        await scene.AssertRefusedAsync("DMR-META-DAMAGED", "Restore the spare");
        scene.Restore();
        scene.Damage(scene.CheckpointPlaces().Select(start => start + 20));
        await scene.AssertRefusedAsync("DMR-META-TABLE-DAMAGED", "restore the spare");
        scene.Restore();
        scene.Damage([.. scene.Records(0), .. scene.Records(1)]);
        await scene.AssertRefusedAsync("DMR-META-JOURNAL-DAMAGED", "--accept-loss");
    }

    [Fact]
    public async Task Lost_journal_records_are_given_up_only_in_words()
    {
        await using Scene scene = await Scene.MakeAsync();
        DeviceUnderTest device = scene.Device;
        scene.Damage([.. scene.Records(0), .. scene.Records(1)]);
        Assert.Contains("[DMR-META-JOURNAL-DAMAGED]", (await device.RunAsync("repair", Name)).Expect(6).Error,
            StringComparison.Ordinal);
        byte[] before = await scene.ReadSpareAsync();
        Assert.Contains(
            "[DMR-USAGE-NEEDS-YES]", (await device.RunAsync("repair", Name, "--accept-loss")).Expect(2).Error,
            StringComparison.Ordinal);
        Content.AssertFile(before, device.SparePath);
        CommandResult result = (await device.RunAsync("repair", Name, "--accept-loss", "--yes")).Expect(7);
        Assert.Contains("DMR-EVENT-JOURNAL-LOST", result.Error, StringComparison.Ordinal);
        (await device.RunAsync("check", Name)).Expect(0);
        // Once given up, they are not missed again.
        (await device.RunAsync("repair", Name, "--accept-loss", "--yes")).Expect(0);
        await device.ServeAsync();
        await device.StopAsync();
    }

    [Fact]
    public async Task A_loss_that_grew_while_it_was_asked_about_is_not_accepted()
    {
        RequiredTools.SkipUnless("script");
        await using Scene scene = await Scene.MakeAsync(moves: 4);
        DeviceUnderTest device = scene.Device;
        long[][] places = [scene.Records(0), scene.Records(1)];
        scene.Damage(places.Select(records => records[2]));
        using Process repair = new()
        {
            StartInfo = Command.StartInfo(
                "script",
                ["-qec", $"'{DeviceUnderTest.Program}' repair {Name} --accept-loss", "/dev/null"],
                device.Environment),
        };
        repair.Start();
        using CancellationTokenSource patience = new(s_patience);
        char[] next = new char[1];
        string said = "";
        while (!said.Contains("Continue? [y/N]", StringComparison.Ordinal))
        {
            Assert.Equal(1, await repair.StandardOutput.ReadAsync(next, patience.Token));
            said += next[0];
        }
        // The claims are let go while a person thinks.
        scene.Damage(places.SelectMany(records => (long[])[records[1], records[3]]));
        byte[] before = await scene.ReadSpareAsync();
        await repair.StandardInput.WriteLineAsync("y");
        await repair.StandardInput.FlushAsync(patience.Token);
        said += await repair.StandardOutput.ReadToEndAsync(patience.Token);
        await repair.WaitForExitAsync(patience.Token);
        Assert.Contains("[DMR-REPAIR-MORE-LOST]", said, StringComparison.Ordinal);
        Assert.Equal(5, repair.ExitCode);
        Content.AssertFile(before, device.SparePath);
        (await device.RunAsync("repair", Name, "--accept-loss", "--yes")).Expect(7);
    }

    [Fact]
    public async Task Repair_does_what_a_start_does_and_serves_nothing()
    {
        await using Scene scene = await Scene.MakeAsync();
        DeviceUnderTest device = scene.Device;
        scene.Damage([scene.CheckpointPlaces()[1] + 20]);
        scene.Damage(scene.Copies().Take(5).Select(copy => copy.GetProperty("start").GetInt64() + 200));
        CommandResult result = (await device.RunAsync("repair", Name)).Expect(0);
        Assert.Contains("DMR-EVENT-SUPERBLOCKS-REPAIRED", result.Error, StringComparison.Ordinal);
        Assert.Contains("DMR-EVENT-CHECKPOINT-REPAIRED", result.Error, StringComparison.Ordinal);
        (await device.RunAsync("check", Name)).Expect(0);
        await scene.AssertContentAsync();
    }

    /// <summary>The metadata is whole again after that; what the data was, nobody knows.</summary>
    [Theory]
    [InlineData(0x00)]
    [InlineData(0xA5)]
    public async Task A_spare_that_was_written_over_is_said_with_the_units_that_lie_on_it(byte value)
    {
        await using Scene scene = await Scene.MakeAsync();
        DeviceUnderTest device = scene.Device;
        long start = scene.Copies()[0].GetProperty("start").GetInt64();
        scene.Overwrite(start, [.. Enumerable.Repeat(value, 4096)]);
        CommandResult check = (await device.RunAsync("check", Name)).Expect(7);
        Assert.Contains(
            "something else was written over a part of it", check.Output, StringComparison.Ordinal);
        Assert.Contains("The data of 1 unit lies on it", check.Output, StringComparison.Ordinal);
        byte[] before = await scene.ReadSpareAsync();
        await device.ServeAsync();
        await device.Server.WaitForLineAsync(
            line => line.StartsWith("DMR-EVENT-SPARE-OVERWRITTEN", StringComparison.Ordinal), s_patience);
        await device.StopAsync();
        (await device.RunAsync("check", Name)).Expect(0);

        scene.Overwrite(0, before);
        scene.ForgetLaterStarts();
        CommandResult repair = (await device.RunAsync("repair", Name)).Expect(7);
        Assert.Contains("DMR-EVENT-SPARE-OVERWRITTEN", repair.Error, StringComparison.Ordinal);
        Assert.Contains("may have been overwritten", repair.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_is_said_of_the_journal_of_a_set_that_cannot_be_read()
    {
        await using Scene scene = await Scene.MakeAsync();
        foreach (JsonElement copy in scene.Copies())
        {
            scene.Overwrite(copy.GetProperty("start").GetInt64(), new byte[4096]);
        }
        CommandResult repair =
            (await scene.Device.RunAsync("repair", Name, "--accept-loss", "--yes")).Expect(6);
        Assert.Contains("[DMR-META-NONE]", repair.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("no acknowledged", repair.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_and_dump_need_a_stopped_device_and_change_no_byte()
    {
        await using Scene scene = await Scene.MakeAsync();
        DeviceUnderTest device = scene.Device;
        byte[] before = await scene.ReadSpareAsync();
        (await device.RunAsync("check", Name)).Expect(0);
        (await device.RunAsync("check", "--spare", device.SparePath)).Expect(0);
        CommandResult dump =
            (await device.RunAsync("dump", "--spare", device.SparePath, "--records")).Expect(0);
        Assert.Contains("unit 100 +1: remapped on spare 0 unit ", dump.Output, StringComparison.Ordinal);
        Content.AssertFile(before, device.SparePath);
        await device.ServeAsync();
        foreach (string[] command in (string[][])[["check", Name], ["dump", Name], ["repair", Name]])
        {
            Assert.Contains("[DMR-DEVICE-RUNNING]", (await device.RunAsync(command)).Expect(4).Error,
                StringComparison.Ordinal);
        }
        (await device.RunAsync("check", "--spare", device.SparePath)).Expect(4);
        await device.StopAsync();
        (await device.RunAsync("check", "nobody")).Expect(3);
        (await device.RunAsync("check", "--spare", Path.Combine(device.Images, "nothing"))).Expect(3);
    }

    /// <summary>A stopped device with one remap in its journal, and its spare as it was then.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        private readonly byte[] _written = Content.Of(Unit, 2);
        private byte[] _image = [];
        private byte[] _witness = [];
        private JsonElement _dump;

        private Scene(DeviceUnderTest device) => Device = device;

        public DeviceUnderTest Device { get; }

        /// <summary>How far this machine has seen the set.</summary>
        private string WitnessPath => Path.Combine(Device.ConfigFolder, Name + ".state");

        /// <param name="moves">Remaps by command, each with a journal record of its own.</param>
        public static async Task<Scene> MakeAsync(int moves = 0)
        {
            DeviceUnderTest device =
                await DeviceUnderTest.StartAsync(Content.Of(DeviceUnderTest.MiB), Faults);
            Scene scene = new(device);
            using (NbdTestClient client = await device.ConnectAsync())
            {
                Assert.Equal(0u, await client.WriteAsync(Offset, scene._written));
            }
            for (int i = 0; i < moves; i++)
            {
                int sector = 1600 + (8 * i);
                (await device.RunAsync("remap", Name, $"{sector}-{sector + 7}")).Expect(0);
            }
            await device.StopAsync();
            CommandResult dump = (await device.RunAsync("dump", Name, "--records", "--json")).Expect(0);
            using (JsonDocument document = JsonDocument.Parse(dump.Output))
            {
                scene._dump = document.RootElement.Clone();
            }
            scene._image = await scene.ReadSpareAsync();
            scene._witness = await File.ReadAllBytesAsync(scene.WitnessPath);
            return scene;
        }

        public ValueTask DisposeAsync() => Device.DisposeAsync();

        public Task<byte[]> ReadSpareAsync() =>
            File.ReadAllBytesAsync(Device.SparePath, TestContext.Current.CancellationToken);

        public JsonElement[] Copies() =>
            [.. _dump.GetProperty("spares")[0].GetProperty("superblocks").EnumerateArray()];

        public long[] CheckpointPlaces() => Starts(
            "area" + _dump.GetProperty("state").GetProperty("checkpoint").GetProperty("area").GetString());

        /// <summary>A byte of each record that counts, in one place.</summary>
        public long[] Records(int place)
        {
            JsonElement set = _dump.GetProperty("set");
            long slotBytes = set.GetProperty("journalSlotBytes").GetInt64();
            long slots = set.GetProperty("journalSlots").GetInt64();
            long start = Starts("journal")[place];
            long[] records =
            [
                .. _dump.GetProperty("journal").GetProperty("list").EnumerateArray()
                    .Select(record => start
                        + record.GetProperty("sequence").GetInt64() % slots * slotBytes + 80),
            ];
            Assert.NotEmpty(records);
            return records;
        }

        public void Restore()
        {
            ForgetLaterStarts();
            Overwrite(0, _image);
        }

        /// <summary>
        /// Else this machine would rightly say that the spare was put back to an older state (F-16).
        /// </summary>
        public void ForgetLaterStarts() => File.WriteAllBytes(WitnessPath, _witness);

        public void Overwrite(long offset, byte[] content)
        {
            using FileStream file = new(Device.SparePath, FileMode.Open);
            file.Position = offset;
            file.Write(content);
        }

        public void Damage(IEnumerable<long> offsets)
        {
            using FileStream file = new(Device.SparePath, FileMode.Open);
            foreach (long offset in offsets)
            {
                file.Position = offset;
                int found = file.ReadByte();
                file.Position = offset;
                file.WriteByte((byte)(found ^ 0xFF));
            }
        }

        public async Task AssertCheckNamesAsync(string problem)
        {
            CommandResult result = (await Device.RunAsync("check", Name, "--json")).Expect(7);
            using JsonDocument document = JsonDocument.Parse(result.Output);
            string?[] problems =
            [
                .. document.RootElement.GetProperty("problems").EnumerateArray()
                    .Select(text => text.GetString()),
            ];
            Assert.Contains(problem, Assert.Single(problems), StringComparison.Ordinal);
            Assert.Equal("usable", document.RootElement.GetProperty("verdict").GetString());
        }

        public async Task AssertServeRepairsAsync(string says)
        {
            await Device.ServeAsync();
            await Device.Server.WaitForLineAsync(
                line => line.StartsWith(says, StringComparison.Ordinal), s_patience);
            await AssertServedContentAsync();
            await Device.StopAsync();
            (await Device.RunAsync("check", Name)).Expect(0);
        }

        public async Task AssertContentAsync()
        {
            await Device.ServeAsync();
            await AssertServedContentAsync();
            await Device.StopAsync();
        }

        public async Task AssertRefusedAsync(string id, string remedy)
        {
            byte[] before = await ReadSpareAsync();
            CommandResult check = (await Device.RunAsync("check", Name, "--json")).Expect(6);
            using JsonDocument document = JsonDocument.Parse(check.Output);
            JsonElement refusal = document.RootElement.GetProperty("refusal");
            Assert.Equal(id, refusal.GetProperty("id").GetString());
            Assert.Contains(remedy, refusal.GetProperty("action").GetString(), StringComparison.Ordinal);
            CommandResult serve = (await Device.RunAsync("serve", Name)).Expect(6);
            Assert.Contains($"[{id}]", serve.Error, StringComparison.Ordinal);
            Assert.Equal(check.Error, serve.Error);
            Content.AssertFile(before, Device.SparePath);
        }

        private async Task AssertServedContentAsync()
        {
            using NbdTestClient client = await Device.ConnectAsync();
            byte[] found = new byte[Unit];
            Assert.Equal(0u, await client.ReadAsync(Offset, found));
            Content.AssertEqual(_written, found, "the remapped unit");
        }

        private long[] Starts(string region) =>
        [
            .. _dump.GetProperty("spares")[0].GetProperty("layout").GetProperty(region).EnumerateArray()
                .Select(place => place.GetProperty("start").GetInt64()),
        ];
    }
}
