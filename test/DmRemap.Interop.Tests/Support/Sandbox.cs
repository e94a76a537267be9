using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;

namespace DmRemap.Interop.Tests.Support;

/// <summary>
/// Runs a program where the kernel refuses some system calls, by the means that containers use: a seccomp
/// filter.
/// </summary>
internal static class Sandbox
{
    public const int IoUringSetup = 425;
    public const int IoUringEnter = 426;
    public const int IoUringRegister = 427;

    public const int EpollWait2 = 441;

    // struct sock_filter: load the number; for each call, compare and return its errno; allow the rest.
    private const string Launcher = """
        import ctypes, os, struct, sys
        refused = [tuple(map(int, call.split('='))) for call in sys.argv[1].split(',')]
        code = struct.pack('HBBI', 0x20, 0, 0, 0)
        for number, errno in refused:
            code += struct.pack('HBBI', 0x15, 0, 1, number)
            code += struct.pack('HBBI', 0x06, 0, 0, 0x50000 | errno)
        code += struct.pack('HBBI', 0x06, 0, 0, 0x7fff0000)
        kept = ctypes.create_string_buffer(code, len(code))
        program = struct.pack('HxxxxxxQ', len(code) // 8, ctypes.addressof(kept))
        libc = ctypes.CDLL(None, use_errno=True)
        one, two, none = ctypes.c_ulong(1), ctypes.c_ulong(2), ctypes.c_ulong(0)
        if libc.prctl(38, one, none, none, none) or libc.prctl(22, two, program, none, none):
            sys.exit('no seccomp here: errno %d' % ctypes.get_errno())
        os.execvp(sys.argv[2], sys.argv[2:])
        """;

    /// <summary>pwritev2.</summary>
    public static int WriteVector2 => RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 328 : 287;

    /// <summary>A program and its arguments; skips where there are no filters.</summary>
    public static (string Program, string[] Arguments) Around(
        IEnumerable<(int Call, int Errno)> refused, string program, params string[] arguments)
    {
        RequiredTools.SkipUnless("python3");
        string calls = string.Join(',', refused.Select(one => $"{one.Call}={one.Errno}"));
        return ("python3", ["-c", Launcher, calls, program, .. arguments]);
    }
}
