using System;
using System.Collections.Generic;
using DmRemap.Core.Lifecycle;
using Xunit;
using static DmRemap.Core.Lifecycle.LifeOutcome;
using static DmRemap.Core.Lifecycle.LifeState;

namespace DmRemap.Tests.Core;

/// <summary>Every cell of the life of a device.</summary>
public sealed class LifeTableTests
{
    private static readonly Dictionary<(LifeState, LifeCommand), LifeDecision> s_commands = new()
    {
        [(Stopped, LifeCommand.Suspend)] = new(Refused, Stopped),
        [(Stopped, LifeCommand.Resume)] = new(Refused, Stopped),
        [(Stopped, LifeCommand.Move)] = new(Refused, Stopped),
        [(Stopped, LifeCommand.Stop)] = new(AlreadyDone, Stopped),
        [(Claiming, LifeCommand.Suspend)] = new(Refused, Claiming),
        [(Claiming, LifeCommand.Resume)] = new(Refused, Claiming),
        [(Claiming, LifeCommand.Move)] = new(Refused, Claiming),
        [(Claiming, LifeCommand.Stop)] = new(Started, Stopping),
        [(Recovering, LifeCommand.Suspend)] = new(Refused, Recovering),
        [(Recovering, LifeCommand.Resume)] = new(Refused, Recovering),
        [(Recovering, LifeCommand.Move)] = new(Refused, Recovering),
        [(Recovering, LifeCommand.Stop)] = new(Started, Stopping),
        [(Running, LifeCommand.Suspend)] = new(Started, Draining),
        [(Running, LifeCommand.Resume)] = new(AlreadyDone, Running),
        [(Running, LifeCommand.Move)] = new(Started, Running),
        [(Running, LifeCommand.Stop)] = new(Started, Stopping),
        [(Draining, LifeCommand.Suspend)] = new(Joined, Draining),
        [(Draining, LifeCommand.Resume)] = new(Started, Running),
        [(Draining, LifeCommand.Move)] = new(Refused, Draining),
        [(Draining, LifeCommand.Stop)] = new(Started, Stopping),
        [(Quiesced, LifeCommand.Suspend)] = new(AlreadyDone, Quiesced),
        [(Quiesced, LifeCommand.Resume)] = new(Started, Running),
        [(Quiesced, LifeCommand.Move)] = new(Refused, Quiesced),
        [(Quiesced, LifeCommand.Stop)] = new(Started, Stopping),
        [(Stopping, LifeCommand.Suspend)] = new(Refused, Stopping),
        [(Stopping, LifeCommand.Resume)] = new(Refused, Stopping),
        [(Stopping, LifeCommand.Move)] = new(Refused, Stopping),
        [(Stopping, LifeCommand.Stop)] = new(Joined, Stopping),
    };

    /// <summary>Those that change something; every other pair is an event that came too late.</summary>
    private static readonly Dictionary<(LifeState, LifeEvent), LifeState> s_events = new()
    {
        [(Claiming, LifeEvent.Claimed)] = Recovering,
        [(Claiming, LifeEvent.StartFailed)] = Stopped,
        [(Recovering, LifeEvent.Served)] = Running,
        [(Recovering, LifeEvent.StartFailed)] = Stopped,
        [(Draining, LifeEvent.Quiesced)] = Quiesced,
        [(Stopping, LifeEvent.StartFailed)] = Stopped,
        [(Stopping, LifeEvent.Stopped)] = Stopped,
    };

    [Fact]
    public void Every_command_in_every_state_has_its_outcome()
    {
        int cells = 0;
        foreach (LifeState state in Enum.GetValues<LifeState>())
        {
            foreach (LifeCommand command in Enum.GetValues<LifeCommand>())
            {
                LifeDecision expected = s_commands[(state, command)];
                LifeDecision decided = LifeTable.Decide(state, command);
                Assert.True(expected == decided, $"{command} while {state}: {decided}");
                cells++;
            }
        }
        Assert.Equal(s_commands.Count, cells);
    }

    [Fact]
    public void Every_event_in_every_state_leads_where_it_should_or_comes_too_late()
    {
        foreach (LifeState state in Enum.GetValues<LifeState>())
        {
            foreach (LifeEvent happened in Enum.GetValues<LifeEvent>())
            {
                LifeState expected = s_events.GetValueOrDefault((state, happened), state);
                LifeState after = LifeTable.After(state, happened);
                Assert.True(expected == after, $"{happened} while {state}: {after}");
            }
        }
    }

    [Fact]
    public void Refused_commands_and_done_ones_change_nothing()
    {
        foreach (LifeState state in Enum.GetValues<LifeState>())
        {
            foreach (LifeCommand command in Enum.GetValues<LifeCommand>())
            {
                LifeDecision decided = LifeTable.Decide(state, command);
                Assert.True(decided.Outcome == Started || decided.Next == state, $"{command} while {state}");
            }
        }
    }

    [Fact]
    public void No_command_leads_out_of_a_stop()
    {
        foreach (LifeCommand command in Enum.GetValues<LifeCommand>())
        {
            Assert.Equal(Stopping, LifeTable.Decide(Stopping, command).Next);
            Assert.Equal(Stopped, LifeTable.Decide(Stopped, command).Next);
        }
        Assert.Equal(default, LifeTable.Decide(Stopped, (LifeCommand)99));
    }
}
