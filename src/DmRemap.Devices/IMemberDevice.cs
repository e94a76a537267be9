using System;
using DmRemap.Core.Abstractions;

namespace DmRemap.Devices;

/// <summary>A device at the bottom of the stack: it can be let go of again.</summary>
public interface IMemberDevice : IBlockDevice, IDisposable
{
    /// <summary>For people: its path or URI.</summary>
    string Name { get; }

    /// <summary>
    /// Operations that were handed over and have not come back: to the kernel, or to a server. Any thread;
    /// may be a moment old.
    /// </summary>
    int Outstanding { get; }

    /// <summary>Everything submitted has completed; the kernel holds no buffer of it.</summary>
    bool IsIdle { get; }

    /// <summary>
    /// On the loop's thread, when it is idle: from here on every request completes with ShuttingDown.
    /// </summary>
    void Retire();
}
