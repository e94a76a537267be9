using System.Collections.Generic;
using System.IO;
using DmRemap.Control.Contracts;

namespace DmRemap.Cli.Output;

/// <summary>
/// `list` for people: a line per device, then what is wrong with those that cannot be asked.
/// </summary>
internal static class ListText
{
    public static void Write(TextWriter writer, IReadOnlyList<ListedDevice> devices, int width)
    {
        if (devices.Count == 0)
        {
            writer.WriteLine("No devices. Make one with: dmremap create NAME --main PATH --spare PATH");
            return;
        }
        int nameWidth = 4;
        int stateWidth = 7;
        foreach (ListedDevice device in devices)
        {
            nameWidth = System.Math.Max(nameWidth, device.Name.Length);
            stateWidth = System.Math.Max(stateWidth, StateOf(device).Length);
        }
        writer.WriteLine($"{"NAME".PadRight(nameWidth)}  {"STATE".PadRight(stateWidth)}  "
            + $"{"SIZE",9}  {"REMAPS",6}  {"LOST",6}  {"SPARE",5}  MAIN");
        foreach (ListedDevice device in devices)
        {
            string size = device.SizeBytes is long bytes ? Amounts.Bytes(bytes) : "-";
            string remaps = device.Remaps is long units ? Amounts.Count(units) : "-";
            string lost = device.LostBlocks is long blocks ? Amounts.Count(blocks) : "-";
            string spare = device.SpareUnits is SpareUnits sum ? Amounts.Percent(sum.Used, sum.Total) : "-";
            writer.WriteLine($"{device.Name.PadRight(nameWidth)}  {StateOf(device).PadRight(stateWidth)}  "
                + $"{size,9}  {remaps,6}  {lost,6}  {spare,5}  {device.Main ?? "-"}");
        }
        foreach (ListedDevice device in devices)
        {
            if (device.Problem is not null)
            {
                TextWrap.Paragraph(writer, $"{device.Name}: ", device.Problem.Message, width);
            }
        }
    }

    private static string StateOf(ListedDevice device) => device.Conditions.Count == 0
        ? device.State
        : $"{device.State}, {device.Conditions[0]}{(device.Conditions.Count > 1 ? ", ..." : "")}";
}
