using System;
using System.IO;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Tests.Control;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>`status` for people, letter by letter.</summary>
public sealed class StatusTextTests
{
    [Fact]
    public void A_healthy_device() => Assert.Equal(
        """
          device: disk1
            uuid: 0f8fad5b-d9cb-469f-a165-70867728950e
           state: running
          export: nbd+unix:///disk1?socket=/run/dmremap/disk1.nbd
            size: 256 MiB, blocks of 512 bytes (physical 4096), units of 4096
          served: by process 4711, up 3 h 7 min, io_uring, 2 clients, dmremap 0.1.0

                                                    ------ ERRORS ------
          MEMBER                  ROLE     STATE      READ  WRITE  FLUSH  SPARE UNITS
          /dev/sdb                main     active       12      3      0  -
          /dev/sdc1               spare 0  active        0      1      0  120/16128

          remaps: 120 units on spares (<1 % of the spare units), 1 spare unit failed
         suspect: 2 units of which blocks could not be read: they fail at once, are
                  tried again from time to time, and count as lost at the third time
         traffic: 10000 reads, 123.4K writes, 12 flushes; 1 request answered with an
                  error
         latency: reads half within 91 µs, 99 % within 1.2 ms, longest 31 s; writes half
                  within 0.4 µs, 99 % within 10 µs, longest 1 s; flushes half within 4
                  ms, 99 % within 4 ms, longest 4 ms
           table: generation 42, 1 copy, started clean
          errors: no known lost data

        """,
        Render(Sample.Status()));

    [Theory]
    [InlineData("/dev/loop3", "/dev/dmremap/disk1", "attached: /dev/loop3 (/dev/dmremap/disk1)\n")]
    [InlineData("/dev/loop3", null, "attached: /dev/loop3\n")]
    [InlineData(null, null, "attached: /run/dmremap/disk1.disk\n")]
    public void An_attached_device(string? device, string? link, string line) => Assert.Contains(
        line,
        Render(Sample.Status() with { Attached = new Attachment(device, link, "/run/dmremap/disk1.disk") }),
        StringComparison.Ordinal);

    [Fact]
    public void A_device_with_a_condition_and_lost_data() => Assert.Equal(
        """
          device: disk1
            uuid: 0f8fad5b-d9cb-469f-a165-70867728950e
           state: running (degraded)
          status: A spare is ill or missing. What it holds may be out of reach, and the
                  table has fewer copies.
          action: Look at the spares' states below. One that is inactive, or was missing
                  at the start and is back, is taken in again by: dmremap stop disk1,
                  then dmremap serve disk1. One that has failed is replaced: dmremap
                  spare add disk1 PATH, then dmremap spare remove disk1 with its path.
             see: DMR-CONDITION-DEGRADED in docs/messages.md
          status: Some blocks could not be read and their content is lost. Reading them
                  fails; it never returns zeros.
          action: Restore the files that lie there. Writing a block ends its loss.
             see: DMR-STATUS-LOST-DATA in docs/messages.md
          export: nbd+unix:///disk1?socket=/run/dmremap/disk1.nbd
            size: 256 MiB, blocks of 512 bytes (physical 4096), units of 4096
          served: by process 4711, up 3 h 7 min, io_uring, 2 clients, dmremap 0.1.0

                                                    ------ ERRORS ------
          MEMBER                  ROLE     STATE      READ  WRITE  FLUSH  SPARE UNITS
          /dev/sdb                main     active       12      3      0  -
          /dev/sdc1               spare 0  active        0      1      0  120/16128

          remaps: 120 units on spares (<1 % of the spare units), 1 spare unit failed
         suspect: 2 units of which blocks could not be read: they fail at once, are
                  tried again from time to time, and count as lost at the third time
         traffic: 10000 reads, 123.4K writes, 12 flushes; 1 request answered with an
                  error
         latency: reads half within 91 µs, 99 % within 1.2 ms, longest 31 s; writes half
                  within 0.4 µs, 99 % within 10 µs, longest 1 s; flushes half within 4
                  ms, 99 % within 4 ms, longest 4 ms
           table: generation 42, 1 copy, started clean
          errors: 24 blocks lost (12 KiB); reading them fails until they are written:
                  blocks 800-815
                  block 5000
                  blocks 6000-6006

        """,
        Render(Sample.Lost() with { Conditions = [ConditionCatalog.Degraded] }));

    [Fact]
    public void One_of_each_is_said_in_the_singular()
    {
        DeviceStatus status = Sample.Status();
        string text = Render(
            status with { Counters = status.Counters! with { Reads = 1, Writes = 1, Flushes = 1 } });
        Assert.Contains(" traffic: 1 read, 1 write, 1 flush; 1 request", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_that_another_run_directory_serves_is_not_called_stopped()
    {
        string text = Render(Sample.Status() with
        {
            State = DeviceStates.Unreachable,
            Pid = 4711,
            LostBlocks = null,
        });
        Assert.Contains("   state: unreachable\n", text, StringComparison.Ordinal);
        Assert.Contains("Process 4711 holds its members", text, StringComparison.Ordinal);
        Assert.Contains("DMREMAP_RUN_DIR", text, StringComparison.Ordinal);
        Assert.DoesNotContain("served:", text, StringComparison.Ordinal);
        Assert.DoesNotContain("dmremap serve", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stopped_device() => Assert.Equal(
        """
          device: disk1
            uuid: 0f8fad5b-d9cb-469f-a165-70867728950e
           state: stopped
          status: The device is not served. Remaps and errors are shown while it is.
          action: Start it with: dmremap serve disk1
            size: 256 MiB, blocks of 512 bytes (physical 4096), units of 4096

                                                    ------ ERRORS ------
          MEMBER                  ROLE     STATE      READ  WRITE  FLUSH  SPARE UNITS
          /dev/sdb                main     unknown       -      -      -  -
          /dev/sdc1               spare    unknown       -      -      -  -

          errors: not known while stopped

        """,
        Render(Stopped()));

    [Fact]
    public void A_suspended_device_says_how_to_go_on()
    {
        string text = Render(
            Sample.Status() with { State = DeviceStates.Suspended, Phase = DevicePhases.Quiesced });
        Assert.Contains("   state: suspended (quiesced)\n", text, StringComparison.Ordinal);
        Assert.Contains("action: Resume it with: dmremap resume disk1\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_member_that_hangs_is_named_with_what_waits_for_it()
    {
        DeviceStatus status = Sample.Status();
        string text = Render(
            status with { Spares = [status.Spares[0] with { Io = new MemberIo(2, OldestMs: 12_345) }] });
        Assert.Contains(
            "0  120/16128\n    waits for 2 operations, oldest I/O: 12 s\n", text, StringComparison.Ordinal);
        // Three are with the main device, none for long: not worth a line.
        Assert.DoesNotContain("waits for 3", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("known", 7.0, 6.5, true, null,
        "read 7.0 s, write 6.5 s (disk gives up early: weak sectors\n"
            + "                    may be lost; serve --erc=max)\n")]
    [InlineData("known", null, 7.0, false, null, "read as long as the drive likes, write 7.0 s\n")]
    [InlineData("unsupported", null, null, false, "only ATA drives have it",
        "none that can be set (only ATA drives have it)\n")]
    [InlineData("unknown", null, null, false, "smartctl is not installed",
        "not known (smartctl is not installed)\n")]
    public void How_long_a_drive_tries_is_said_below_it(
        string state, double? read, double? write, bool isEarly, string? why, string expected)
    {
        DeviceStatus status = Sample.Status();
        ErrorRecoveryStatus recovery = new(state, read, write, isEarly, 30, why);
        string main = Render(status with { Primary = status.Primary with { ErrorRecovery = recovery } });
        Assert.Contains("3      0  -\n    error recovery: " + expected, main, StringComparison.Ordinal);
        string spare = Render(
            status with { Spares = [status.Spares[0] with { ErrorRecovery = recovery }] });
        Assert.Contains("120/16128\n    error recovery: " + expected, spare, StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_that_is_starting_says_what_it_waits_for()
    {
        DeviceStatus stopped = Stopped();
        string text = Render(stopped with
        {
            State = DeviceStates.Starting,
            Phase = DevicePhases.Recovering,
            Pid = 4711,
            Spares = [stopped.Spares[0] with { Io = new MemberIo(6, OldestMs: null) }],
        });
        Assert.Contains("   state: starting (recovering)\n", text, StringComparison.Ordinal);
        Assert.Contains("  served: not yet; process 4711 is starting it\n", text, StringComparison.Ordinal);
        Assert.Contains("    waits for 6 operations\n", text, StringComparison.Ordinal);
        Assert.Contains("  errors: not known while starting\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Long_lists_of_lost_runs_are_cut_and_say_so()
    {
        LostExtent[] runs = new LostExtent[12];
        for (int i = 0; i < runs.Length; i++)
        {
            runs[i] = new LostExtent(i * 100, 2);
        }
        DeviceStatus status = Sample.Lost() with { LostExtents = runs };
        Assert.EndsWith(
            "          and 2 more runs (status --json lists them)\n",
            Render(status),
            StringComparison.Ordinal);
        string partly = Render(status with { LostExtentsComplete = false });
        Assert.EndsWith(
            "and at least 2 more runs (status --json lists them)\n", partly, StringComparison.Ordinal);
    }

    [Fact]
    public void A_member_behind_the_page_cache_is_always_said()
    {
        DeviceStatus status = Sample.Status();
        status = status with { Primary = status.Primary with { Mode = MemberModes.PageCache } };
        Assert.Contains(MessageIds.ConditionRehearsal, Render(status), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_condition_is_explained_with_what_to_do_and_where_to_read_on()
    {
        foreach (Condition condition in ConditionCatalog.All)
        {
            string text = Render(Sample.Status() with { Conditions = [condition.Name] });
            Assert.Contains($"state: running ({condition.Name})", text, StringComparison.Ordinal);
            Assert.Contains($"see: {condition.MessageId}", text, StringComparison.Ordinal);
            // What is to be done can be copied as it is.
            Assert.DoesNotContain("NAME", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void No_line_is_longer_than_80_columns_except_for_a_path_alone()
    {
        string path = "/dev/disk/by-id/" + new string('x', 90);
        DeviceStatus status = Sample.Lost();
        string[] all = new string[ConditionCatalog.All.Count];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = ConditionCatalog.All[i].Name;
        }
        status = status with
        {
            Conditions = all,
            Primary = status.Primary with
            {
                Path = path,
                Errors = new MemberErrors(long.MaxValue, 99_999, 100_000),
            },
            Spares = [status.Spares[0] with { Units = new SpareUnits(200_000_000, 199_999_999, 0, 1) }],
        };
        foreach (string line in Render(status).Split('\n'))
        {
            bool isStateLine = line.TrimStart().StartsWith("state:", StringComparison.Ordinal);
            Assert.True(line.Length <= 80 || line.Trim() == path || isStateLine, line);
        }
    }

    [Fact]
    public void Colours_are_only_there_when_asked_for()
    {
        Assert.DoesNotContain("\u001b", Render(Sample.Status()), StringComparison.Ordinal);
        Assert.Contains(
            "\u001b[32mrunning\u001b[0m", Render(Sample.Status(), hasColour: true), StringComparison.Ordinal);
    }

    private static DeviceStatus Stopped()
    {
        DeviceStatus status = Sample.Status();
        return status with
        {
            State = DeviceStates.Stopped,
            Backend = "none",
            Primary = status.Primary with { Mode = null, Errors = null, Io = null },
            Spares =
            [
                status.Spares[0] with
                {
                    Index = null,
                    State = "unknown",
                    Mode = null,
                    Units = null,
                    Errors = null,
                    Io = null,
                },
            ],
            Remaps = null,
            LostBlocks = null,
            SuspectUnits = null,
            ZeroBlocks = null,
            Counters = null,
            Metadata = null,
            Clients = null,
            Exports = [],
            Pid = null,
            UptimeSeconds = null,
        };
    }

    [Fact]
    public void Units_on_a_spare_that_is_away_are_counted_and_called_not_lost()
    {
        string text = Render(Sample.Status() with { UnavailableUnits = 3 });
        Assert.Contains(
            "away: 3 units (12 KiB) on a missing spare: not lost", text, StringComparison.Ordinal);
        Assert.DoesNotContain("away:", Render(Sample.Status()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, null, "on a missing spare: not lost; reading them fails\n"
        + "          until it is taken in again: connect it, then: dmremap stop disk1, and\n"
        + "          dmremap serve disk1 without --degraded\n")]
    [InlineData(true, null, "fails\n          until it is back\n")]
    [InlineData(false, MemberConnections.Disconnected, "fails\n          until it is back\n")]
    public void A_spare_that_was_left_out_at_the_start_needs_another_start_and_one_that_went_does_not(
        bool isGone, string? connection, string expected)
    {
        SpareStatus spare = Sample.Status().Spares[0] with
        {
            State = "missing",
            Gone = isGone ? new MemberGone(5_000, 0, Holds: true, HoldsForMs: null) : null,
            Connection = connection,
        };
        string text = Render(Sample.Status() with { UnavailableUnits = 3, Spares = [spare] });
        Assert.Contains(expected, text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, 108_500L, "is held for 1 min 49 s more, then fails\n")]
    [InlineData(true, null, "is held until it is back\n")]
    [InlineData(false, null, "fails at once\n")]
    public void Of_a_disk_that_is_gone_it_is_said_whether_requests_wait_or_fail(
        bool holds, long? left, string expected)
    {
        DeviceStatus status = Sample.Status();
        MemberGone gone = new(11_500, 3, holds, left);
        string text = Render(status with { Primary = status.Primary with { Gone = gone } })
            .Replace("\n    ", " ", StringComparison.Ordinal);
        Assert.Contains(
            " gone for 11 s, 3 requests waiting for it; what needs it " + expected, text,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_first_start_is_called_so_and_not_a_recovery()
    {
        MetadataStatus first = Sample.Status().Metadata! with { CleanStart = true, FirstStart = true };
        string text = Render(Sample.Status() with { Metadata = first });
        Assert.Contains("started for the first time", text, StringComparison.Ordinal);
        Assert.DoesNotContain("recovered", text, StringComparison.Ordinal);
    }

    private static string Render(DeviceStatus status, bool hasColour = false)
    {
        using StringWriter writer = new() { NewLine = "\n" };
        new StatusText(writer, 80, new Paint(hasColour)).Write(status);
        return writer.ToString();
    }
}
