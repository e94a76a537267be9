using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using DmRemap.Tests.Tidy;
using Xunit;

namespace DmRemap.Tests.Nbd;

/// <summary>
/// Fuzzing of the handshake and of the transmission, in this process: a few seconds, ten minutes with
/// DMREMAP_LONG=1. What shows something new is changed further. With DMREMAP_FUZZ_KEEP=DIR such inputs are
/// left there; those in the folder `corpus` are played first, each time.
/// </summary>
public sealed class NbdFuzzTests(ITestOutputHelper output)
{
    private const int Runs = 20_000;
    private const int CorpusMax = 4000;
    private const int KeptBytesMax = 600;

    private static readonly string s_corpusFolder =
        Path.Combine(SourceTree.Root, "test/DmRemap.Tests/Nbd/corpus");

    private static readonly TimeSpan s_long = TimeSpan.FromMinutes(10);

    private readonly ITestOutputHelper _output = output;

    [Fact]
    public void Kept_conversations_break_nothing()
    {
        NbdFuzzTarget target = new();
        List<(string Name, byte[] Input)> kept = ReadKept();
        Assert.True(kept.Count > 20, "the corpus is gone");
        foreach ((string name, byte[] input) in kept)
        {
            Play(target, input, name);
        }
        Assert.True(target.Entered > 0);
    }

    [Fact]
    public void Mutated_conversations_break_nothing_and_hurt_no_other_client()
    {
        bool isLong = Environment.GetEnvironmentVariable("DMREMAP_LONG") == "1";
        int seed = isLong ? (int)(TimeProvider.System.GetTimestamp() & 0xff_ffff) : 1;
        ConversationMutation mutation = new(new Random(seed));
        NbdFuzzTarget target = new();
        HashSet<string> seen = [];
        List<byte[]> corpus = Seeds();
        foreach (byte[] input in corpus)
        {
            seen.UnionWith(Play(target, input, "a seed"));
        }
        int features = seen.Count;
        long start = TimeProvider.System.GetTimestamp();
        int run = 0;
        while (isLong ? TimeProvider.System.GetElapsedTime(start) < s_long : run < Runs)
        {
            byte[] input = mutation.Make(corpus);
            run++;
            HashSet<string> now = input.Length > ConversationMutation.SetupBytes
                ? Play(target, input, $"seed={seed} run={run}") : [];
            if (!now.IsSubsetOf(seen))
            {
                seen.UnionWith(now);
                Keep(corpus, input);
            }
        }
        _output.WriteLine(
            $"seed={seed}: {run} runs, {target.Entered} came to requests, {target.Answered} answers, "
                + $"{features} features of the seeds, {seen.Count} in the end");
        // A fuzzer that never gets in, or never sees anything new, finds nothing.
        Assert.True(target.Entered > run / 20, $"only {target.Entered} came to requests");
        Assert.True(target.Answered > run / 20, $"only {target.Answered} answers");
        Assert.True(seen.Count > features, "nothing new was seen");
    }

    private static HashSet<string> Play(NbdFuzzTarget target, byte[] input, string name)
    {
        try
        {
            return target.Run(input);
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException($"{name}: {Convert.ToHexString(input)}", exception);
        }
    }

    /// <summary>Every conversation there is, in every mode, and what was kept.</summary>
    private static List<byte[]> Seeds()
    {
        IEnumerable<byte[]> all = NbdCorpus.Handshakes().Values.Concat(NbdCorpus.Sessions().Values)
            .Concat(NbdCorpus.ChunkSessions().Values);
        List<byte[]> seeds = [.. ReadKept().Select(kept => kept.Input)];
        foreach (byte[] conversation in all)
        {
            for (byte mode = 0; mode < 3; mode++)
            {
                seeds.Add(ConversationMutation.WithSetup(conversation, mode, 0));
            }
        }
        return seeds;
    }

    private static void Keep(List<byte[]> corpus, byte[] input)
    {
        if (corpus.Count == CorpusMax)
        {
            return;
        }
        corpus.Add(input);
        string? folder = Environment.GetEnvironmentVariable("DMREMAP_FUZZ_KEEP");
        if (folder is not null && input.Length <= KeptBytesMax)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"{corpus.Count:d4}.txt");
            File.WriteAllText(Path.Combine(folder, name), Convert.ToHexString(input) + "\n");
        }
    }

    private static List<(string Name, byte[] Input)> ReadKept() =>
    [
        .. Directory.GetFiles(s_corpusFolder, "*.txt").Order(StringComparer.Ordinal).Select(
            path => (Path.GetFileName(path), Convert.FromHexString(File.ReadAllText(path).Trim()))),
    ];
}
