using System;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Threading.Tasks;
using Xunit;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// Stops a spare's server in the middle of a commit, and lets it go on. A hand that is already there does it:
/// the start of a program would take longer than a commit.
/// </summary>
internal sealed class StuckSpare(DeviceUnderTest device, int index, int serverId)
{
    /// <summary>What the spare has been given of a commit: its record, at both places.</summary>
    private const int OperationsOfCommit = 2;

    private const int AttemptsMax = 16;

    /// <summary>
    /// A write of content to one of the units from here on, which the main device does not take. Its data is
    /// on the spare; its record is not, and will not be.
    /// </summary>
    public async Task<StuckWrite> HoldInCommitAsync(NbdTestClient client, long from, byte[] content)
    {
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            using ControlTestClient control = await ControlTestClient.ConnectAsync(device);
            RunningProgram hand = device.StartBeside(
                "bash", "-c", "echo there; read -r line; kill -STOP \"$1\"; echo stopped; read -r line", "_",
                serverId.ToString(CultureInfo.InvariantCulture));
            await hand.WaitForLineAsync(line => line == "there", Command.TimeMax);
            while (await InFlightAsync(control) > 0)
            {
                // A start with two spares writes its superblocks a second time after it is ready.
            }
            long offset = from + (attempt * DeviceUnderTest.UnitBytes);
            Stopwatch elapsed = Stopwatch.StartNew();
            Task<uint> answer = client.WriteAsync(offset, content);
            while (!answer.IsCompleted && await InFlightAsync(control) < OperationsOfCommit)
            {
            }
            await hand.TellAsync("now");
            await hand.WaitForLineAsync(line => line == "stopped", Command.TimeMax);
            await Task.WhenAny(answer, Task.Delay(TimeSpan.FromSeconds(1)));
            if (!answer.IsCompleted)
            {
                return new StuckWrite(answer, offset, elapsed);
            }
            // It was quicker than the hand.
            Assert.Equal(0u, await answer);
            await ReleaseAsync();
        }
        Assert.Fail("no commit was caught in flight");
        return null!;
    }

    public Task ReleaseAsync() => Command.SignalAsync("CONT", serverId);

    private async Task<long> InFlightAsync(ControlTestClient control)
    {
        (JsonElement status, _) = await control.MeasureAsync("status");
        return status.GetProperty("spares")[index].GetProperty("io").GetProperty("inFlight").GetInt64();
    }
}

/// <summary>A write that has no answer yet, and the time since it was sent.</summary>
internal sealed record StuckWrite(Task<uint> Answer, long Offset, Stopwatch Elapsed);
