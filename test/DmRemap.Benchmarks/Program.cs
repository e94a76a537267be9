using BenchmarkDotNet.Running;

namespace DmRemap.Benchmarks;

/// <summary>
/// By hand: `dotnet run -c Release --project test/DmRemap.Benchmarks -- --filter '*'`, or `./bench.sh
/// --lookup`.
/// </summary>
internal static class Program
{
    private static void Main(string[] arguments) =>
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(arguments);
}
