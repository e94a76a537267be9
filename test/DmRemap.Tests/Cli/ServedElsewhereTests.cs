using System;
using System.Threading.Tasks;
using DmRemap.Control.Registry;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>Members that a process holds, for a device of which no control socket here answers.</summary>
public sealed class ServedElsewhereTests : IDisposable
{
    private const int MebiByte = 1024 * 1024;

    private readonly CliRun _cli = new();
    private readonly TemporaryDirectory _directory = new();

    public void Dispose()
    {
        _cli.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Delete_refuses_while_a_process_holds_the_main_device_or_a_spare(bool isMain)
    {
        DeviceRecord record = Register();
        string held = isMain ? record.MainPath : record.Spares[0].Path;
        using (MemberFile.TryClaim(held, new MemberOptions()).Member)
        {
            CliResult refused = await _cli.RunAsync("delete", "disk1", "--yes");
            Assert.Equal(4, refused.ExitCode);
            Assert.Contains("[DMR-MEMBER-IN-USE]", refused.Error, StringComparison.Ordinal);
            Assert.Contains(
                $"{held} is in use: held by process {Environment.ProcessId} ", refused.Error,
                StringComparison.Ordinal);
            Assert.Contains("DMREMAP_RUN_DIR", refused.Error, StringComparison.Ordinal);
            Assert.Equal(0, (await _cli.RunAsync("status", "disk1")).ExitCode);
        }
        Assert.Equal(0, (await _cli.RunAsync("delete", "disk1", "--yes")).ExitCode);
    }

    [Fact]
    public async Task Members_that_are_missing_or_exports_do_not_keep_a_device_from_being_forgotten()
    {
        DeviceRecord record = Register();
        _cli.Registry.Replace(record with
        {
            MainPath = _directory["gone"],
            Spares = [record.Spares[0] with { Path = "nbd://127.0.0.1:1/spare" }],
        });
        Assert.Equal(0, (await _cli.RunAsync("delete", "disk1", "--yes")).ExitCode);
    }

    /// <summary>Any program may hold a file: only where a server does is the device served.</summary>
    [Fact]
    public async Task Stop_and_status_do_not_take_another_program_for_a_server()
    {
        DeviceRecord record = Register();
        using MemberFile? held = MemberFile.TryClaim(record.MainPath, new MemberOptions()).Member;
        Assert.Equal("disk1: is not running\n", (await _cli.RunAsync("stop", "disk1")).Output);
        CliResult status = await _cli.RunAsync("status", "disk1", "--json");
        Assert.Equal("stopped", status.Json.GetProperty("state").GetString());
    }

    private DeviceRecord Register()
    {
        DeviceRecord record = _cli.Register("disk1") with
        {
            MainPath = _directory.MakeFile("main", MebiByte),
            MainBytes = MebiByte,
        };
        record = record with
        {
            Spares = [record.Spares[0] with { Path = _directory.MakeFile("spare", MebiByte) }],
        };
        _cli.Registry.Replace(record);
        return record;
    }
}
