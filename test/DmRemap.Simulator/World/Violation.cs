using System;
using System.Diagnostics.CodeAnalysis;

namespace DmRemap.Simulator.World;

/// <summary>A promise was broken: the run ends with it.</summary>
[SuppressMessage("Design", "CA1032", Justification = "Made by checkers only.")]
[SuppressMessage("Design", "CA1064", Justification = "Never leaves this program.")]
internal sealed class Violation(string rule, string what) : Exception($"{rule}: {what}");
