using System;
using DmRemap.Cli.Devices;
using DmRemap.Core.Abstractions;

namespace DmRemap.Cli;

/// <summary>The services of the real program.</summary>
internal static class Services
{
    public static CliServices OfProcess()
    {
        NotBuiltYet missing = new();
        return new CliServices
        {
            Terminal = Terminal.OfProcess(),
            Files = new InterimFiles(),
            Environment = Environment.GetEnvironmentVariable,
            Creator = missing,
            Server = missing,
            Demonstration = missing,
        };
    }

    private sealed class InterimFiles : IStateFiles
    {
        public uint UserId => Environment.IsPrivilegedProcess ? 0u : 1000u;

        public DirectoryTrust PrepareDirectory(string path, DirectoryRule rule) => throw new NotSupportedException();

        public bool TryCreate(string path, ReadOnlySpan<byte> content) => throw new NotSupportedException();

        public void Replace(string path, ReadOnlySpan<byte> content) => throw new NotSupportedException();

        public bool Remove(string path) => throw new NotSupportedException();
    }
}
