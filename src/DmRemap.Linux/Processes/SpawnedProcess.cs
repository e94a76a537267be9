using System;
using System.Collections;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Native;
using Microsoft.Win32.SafeHandles;

namespace DmRemap.Linux.Processes;

/// <summary>What a new process is to be.</summary>
public sealed record ProcessPlan
{
    /// <summary>A path, or a name to be looked for in PATH.</summary>
    public required string Program { get; init; }

    public required IReadOnlyList<string> Arguments { get; init; }

    /// <summary>Beside those of this process, NAME=VALUE.</summary>
    public IReadOnlyList<string> Environment { get; init; } = [];

    /// <summary>
    /// The descriptors that it gets, under these numbers; it has no others. In ascending order, each of its
    /// own number or a higher one.
    /// </summary>
    public required IReadOnlyList<(int As, SafeFileHandle Handle)> Descriptors { get; init; }

    /// <summary>It outlives the terminal, and what is typed there does not reach it.</summary>
    public bool IsOwnSession { get; init; }
}

/// <summary>
/// A child of this process, started so that it inherits what it is given and nothing else. Blocks for a
/// moment.
/// </summary>
public sealed class SpawnedProcess
{
    private int? _exitStatus;

    private SpawnedProcess(int id) => Id = id;

    public int Id { get; }

    /// <exception cref="SystemCallException">ENOENT: there is no such program.</exception>
    public static unsafe SpawnedProcess Start(ProcessPlan plan)
    {
        byte* actions = stackalloc byte[SpawnNative.OpaqueBytes];
        byte* attributes = stackalloc byte[SpawnNative.OpaqueBytes];
        Check(SpawnNative.ActionsInit(actions), plan);
        Check(SpawnNative.AttributesInit(attributes), plan);
        try
        {
            foreach ((int number, SafeFileHandle handle) in plan.Descriptors)
            {
                int fd = (int)handle.DangerousGetHandle();
                Invariant.Check(fd >= number);
                Check(SpawnNative.ActionsDuplicate(actions, fd, number), plan);
            }
            SetAttributes(attributes, plan);
            int pid;
            using Strings arguments = new([plan.Program, .. plan.Arguments]);
            using Strings environment = new(EnvironmentWith(plan.Environment));
            Check(
                SpawnNative.Spawn(
                    &pid, plan.Program, actions, attributes, arguments.Array, environment.Array),
                plan);
            return new SpawnedProcess(pid);
        }
        finally
        {
            _ = SpawnNative.ActionsDestroy(actions);
            _ = SpawnNative.AttributesDestroy(attributes);
        }
    }

    /// <summary>A pipe: what is written into the one is read from the other.</summary>
    /// <exception cref="SystemCallException">With the errno.</exception>
    public static unsafe (SafeFileHandle Reading, SafeFileHandle Writing) Pipe()
    {
        int* fds = stackalloc int[2];
        if (SpawnNative.Pipe(fds, FileNative.O_CLOEXEC) < 0)
        {
            throw new SystemCallException("pipe", "-", Marshal.GetLastPInvokeError());
        }
        return (new SafeFileHandle(fds[0], ownsHandle: true), new SafeFileHandle(fds[1], ownsHandle: true));
    }

    /// <summary>What it exited with, 128 and more for a signal; null while it runs.</summary>
    public int? TryGetExit() => Wait(SpawnNative.WNOHANG);

    /// <summary>Wait for its end, for as long as it takes.</summary>
    public int WaitForExit() => Wait(0)!.Value;

    /// <summary>SIGTERM.</summary>
    public void Terminate()
    {
        // One that has been waited for is gone, and its number may be somebody else's.
        if (TryGetExit() is null)
        {
            _ = SpawnNative.Kill(Id, SpawnNative.SIGTERM);
        }
    }

    private unsafe int? Wait(int options)
    {
        while (_exitStatus is null)
        {
            int status;
            int waited = SpawnNative.TryWait(Id, &status, options);
            int errno = Marshal.GetLastPInvokeError();
            if (waited == 0)
            {
                return null;
            }
            if (waited < 0 && errno == Errno.EINTR)
            {
                continue;
            }
            int signal = status & 0x7f;
            // ECHILD: somebody else has waited for it; how it ended is not to be known.
            _exitStatus = waited < 0 ? 1 : signal == 0 ? (status >> 8) & 0xff : 128 + signal;
        }
        return _exitStatus;
    }

    /// <summary>Signals as a shell would leave them: this runtime ignores some and blocks others.</summary>
    private static unsafe void SetAttributes(byte* attributes, ProcessPlan plan)
    {
        const int SignalSetBytes = 128;
        byte* signals = stackalloc byte[SignalSetBytes];
        Span<byte> set = new(signals, SignalSetBytes);
        set.Clear();
        Check(SpawnNative.AttributesSetMask(attributes, signals), plan);
        // Signals 1 to 31.
        set[..4].Fill(0xff);
        set[3] = 0x7f;
        Check(SpawnNative.AttributesSetDefault(attributes, signals), plan);
        short flags = SpawnNative.POSIX_SPAWN_SETSIGMASK | SpawnNative.POSIX_SPAWN_SETSIGDEF;
        if (plan.IsOwnSession)
        {
            flags |= SpawnNative.POSIX_SPAWN_SETSID;
        }
        Check(SpawnNative.AttributesSetFlags(attributes, flags), plan);
    }

    private static List<string> EnvironmentWith(IReadOnlyList<string> additions)
    {
        List<string> all = [];
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            all.Add($"{variable.Key}={variable.Value}");
        }
        all.AddRange(additions);
        return all;
    }

    private static void Check(int errno, ProcessPlan plan)
    {
        if (errno != 0)
        {
            throw new SystemCallException("posix_spawn", plan.Program, errno);
        }
    }

    /// <summary>char*[], ended by a null.</summary>
    private sealed unsafe class Strings : IDisposable
    {
        private readonly int _count;

        public Strings(IReadOnlyList<string> texts)
        {
            _count = texts.Count;
            Array = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
            for (int i = 0; i < _count; i++)
            {
                byte[] text = Encoding.UTF8.GetBytes(texts[i]);
                Array[i] = (byte*)NativeMemory.AllocZeroed((nuint)(text.Length + 1));
                text.CopyTo(new Span<byte>(Array[i], text.Length));
            }
        }

        public byte** Array { get; }

        public void Dispose()
        {
            for (int i = 0; i < _count; i++)
            {
                NativeMemory.Free(Array[i]);
            }
            NativeMemory.Free(Array);
        }
    }
}
