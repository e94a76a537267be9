using System;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace DmRemap.Core.Abstractions;

/// <summary>
/// Assertions that stay on in Release. A broken invariant ends the process: the supervisor restarts it and
/// recovery starts from what is durable; unavailable beats wrong. Never assert what a disk, a peer or a user
/// can cause.
/// </summary>
public static class Invariant
{
    /// <summary>
    /// What to do with a broken invariant; tests replace the end of the process by the exception alone.
    /// </summary>
    public static Action<InvariantException>? OnBroken { get; set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string expression = "",
        [CallerFilePath] string file = "",
        [CallerLineNumber] int line = 0)
    {
        if (!condition)
        {
            Broken(expression, file, line);
        }
    }

    /// <summary>An O(n) assertion: runs in tests and simulation only.</summary>
    [Conditional("VERIFY")]
    public static void CheckSlow(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string expression = "",
        [CallerFilePath] string file = "",
        [CallerLineNumber] int line = 0)
    {
        if (!condition)
        {
            Broken(expression, file, line);
        }
    }

    /// <summary>For the branch that cannot be reached.</summary>
    [DoesNotReturn]
    public static void Unreachable(
        string what, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
            Broken(what, file, line);

    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Broken(string expression, string file, int line)
    {
        int slash = file.LastIndexOf('/');
        InvariantException broken = new($"invariant broken: {expression} ({file[(slash + 1)..]}:{line})");
        OnBroken?.Invoke(broken);
        throw broken;
    }
}

/// <summary>
/// A programmer's error. Nobody catches it but the top of the thread, which ends the process.
/// </summary>
[SuppressMessage("Design", "CA1032", Justification = "Made by Invariant only.")]
public sealed class InvariantException(string message) : Exception(message);
