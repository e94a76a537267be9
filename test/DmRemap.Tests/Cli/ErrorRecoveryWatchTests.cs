using System;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Drives;
using DmRemap.Core.Abstractions;
using DmRemap.Core.Faults;
using DmRemap.Engine;
using DmRemap.Engine.Background;
using DmRemap.Tests.Engine;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>When a drive is told how long it may try (F-35), between the device and smartctl.</summary>
public sealed class ErrorRecoveryWatchTests
{
    private readonly StubDrive _drive = new() { Read = 0, Write = 0 };
    private readonly EngineBench _bench = new(new BenchOptions { IsRetryPatient = true });
    private readonly ErrorRecoveryWatch _watch;

    public ErrorRecoveryWatchTests() => _watch = Watch(ErrorRecoveryPolicy.LimitThenMax(7));

    private Member Main => _bench.Device.Primary;

    private PatientPass Patience => _bench.Device.Patience;

    [Fact]
    public async Task Main_disk_has_its_time_while_a_pass_wants_it_and_the_device_is_told_after_the_drive()
    {
        await LookAsync();
        Assert.Equal((70, 30), (_drive.Read, _drive.Timeout));
        Assert.False(Patience.IsGranted);

        Assert.False(Patience.MayRead(_bench.Loop.Now));
        Assert.Equal(70, _drive.Read);
        await LookAsync();
        Assert.Equal((0, 180), (_drive.Read, _drive.Timeout));
        Assert.Equal(Duration.FromSeconds(180), Main.CommandTimeout);
        Assert.True(Patience.MayRead(_bench.Loop.Now));
        int asked = _drive.Asked.Count;
        await LookAsync();
        Assert.Equal(asked, _drive.Asked.Count);

        Patience.End();
        await LookAsync();
        Assert.Equal((70, 30), (_drive.Read, _drive.Timeout));
        Assert.Equal(Duration.FromSeconds(30), Main.CommandTimeout);
        Assert.False(Patience.IsGranted);
    }

    [Fact]
    public async Task Patience_is_taken_back_before_the_drive_is_told()
    {
        bool isGrantedAtDrive = false;
        Patience.MayRead(_bench.Loop.Now);
        await LookAsync();
        Patience.End();
        _drive.OnAsked = () => isGrantedAtDrive |= Patience.IsGranted;
        await LookAsync();
        Assert.False(isGrantedAtDrive);
        Assert.Equal(70, _drive.Read);
    }

    [Fact]
    public async Task Spare_keeps_its_limit_whatever_the_pass_over_the_main_disk_wants()
    {
        await using ErrorRecoveryWatch watch = Watch(ErrorRecoveryPolicy.LimitThenMax(7), member: 1);
        Patience.MayRead(_bench.Loop.Now);
        await watch.LookAsync(CancellationToken.None);
        Assert.Equal((70, 30), (_drive.Read, _drive.Timeout));
        Assert.False(Patience.IsGranted);
    }

    [Fact]
    public async Task End_puts_back_what_the_drive_had_in_the_middle_of_a_pass()
    {
        await LookAsync();
        Patience.MayRead(_bench.Loop.Now);
        await LookAsync();
        await _watch.DisposeAsync();
        Assert.Equal((0, 0, 30), (_drive.Read, _drive.Write, _drive.Timeout));
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Status_warns_of_a_disk_that_gives_up_early_unless_it_has_a_second_pass(
        bool isPatient, bool isWarned)
    {
        ErrorRecoveryPolicy policy =
            isPatient ? ErrorRecoveryPolicy.LimitThenMax(7) : ErrorRecoveryPolicy.Limit(7);
        await using ErrorRecoveryWatch watch = Watch(policy);
        await watch.LookAsync(CancellationToken.None);
        Assert.Equal(isWarned, watch.Of(Main)!.GivesUpEarly);
    }

    private ErrorRecoveryWatch Watch(ErrorRecoveryPolicy policy, int member = 0) => new(
        action =>
        {
            action();
            return Task.CompletedTask;
        },
        () => [new MemberDisk(_bench.Device.Members[member], "/dev/sdx")], Patience, policy, _drive, _ => { },
        TimeProvider.System);

    private Task LookAsync() => _watch.LookAsync(CancellationToken.None);
}
