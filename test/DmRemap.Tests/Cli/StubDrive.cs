using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Threading.Tasks;
using DmRemap.Cli.Drives;
using DmRemap.Cli.Losses;

namespace DmRemap.Tests.Cli;

/// <summary>A drive with SCT ERC, and the kernel's time-out for it, behind smartctl's words.</summary>
internal sealed class StubDrive : IDriveTools
{
    public List<string> Asked { get; } = [];

    public int Read { get; set; } = 70;

    public int Write { get; set; } = 70;

    public int? Timeout { get; set; } = 30;

    public bool Follows { get; set; } = true;

    public bool CanSetTimeout { get; init; } = true;

    public bool IsInstalled { get; init; } = true;

    public bool HasNone { get; init; }

    public Action? OnAsked { get; set; }

    public Task<ToolAnswer> SmartctlAsync(IReadOnlyList<string> arguments)
    {
        OnAsked?.Invoke();
        Asked.Add(string.Join(' ', arguments));
        if (!IsInstalled)
        {
            return Task.FromResult(new ToolAnswer(null, "", "smartctl is not installed"));
        }
        if (HasNone)
        {
            return Task.FromResult(new ToolAnswer(4, """{ "device": { "protocol": "ATA" } }""", ""));
        }
        string[] log = arguments[2].Split(',');
        if (log.Length == 3 && Follows)
        {
            int[] limits = [.. log[1..].Select(one => int.Parse(one, CultureInfo.InvariantCulture))];
            (Read, Write) = (limits[0], limits[1]);
        }
        string answer = $$"""{ "ata_sct_erc": { "read": {{Limit(Read)}}, "write": {{Limit(Write)}} } }""";
        return Task.FromResult(new ToolAnswer(0, answer, ""));
    }

    public int? CommandTimeoutOf(string path) => Timeout;

    public bool TrySetCommandTimeout(string path, int seconds)
    {
        Timeout = CanSetTimeout ? seconds : Timeout;
        return CanSetTimeout;
    }

    private static string Limit(int deciseconds) => deciseconds == 0
        ? "{ \"enabled\": false }"
        : $"{{ \"enabled\": true, \"deciseconds\": {deciseconds} }}";
}
