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
        int attachedWidth = 0; // Most machines have none: no column then.
        foreach (ListedDevice device in devices)
        {
            nameWidth = System.Math.Max(nameWidth, device.Name.Length);
            stateWidth = System.Math.Max(stateWidth, StateOf(device).Length);
            attachedWidth = System.Math.Max(attachedWidth, AttachedOf(device).Length);
        }
        writer.WriteLine($"{"NAME".PadRight(nameWidth)}  {"STATE".PadRight(stateWidth)}  "
            + $"{"SIZE",9}  {"REMAPS",6}  {"LOST",6}  {"SPARE",5}  {Column("ATTACHED", attachedWidth)}MAIN");
        foreach (ListedDevice device in devices)
        {
            string size = device.SizeBytes is long bytes ? Amounts.Bytes(bytes) : "-";
            string remaps = device.Remaps is long units ? Amounts.Count(units) : "-";
            string lost = device.LostBlocks is long blocks ? Amounts.Count(blocks) : "-";
            string spare = device.SpareUnits is SpareUnits sum ? Amounts.Percent(sum.Used, sum.Total) : "-";
            string attached = Column(device.Attached is null ? "-" : AttachedOf(device), attachedWidth);
            writer.WriteLine($"{device.Name.PadRight(nameWidth)}  {StateOf(device).PadRight(stateWidth)}  "
                + $"{size,9}  {remaps,6}  {lost,6}  {spare,5}  {attached}{device.Main ?? "-"}");
        }
        foreach (ListedDevice device in devices)
        {
            if (device.Problem is not null)
            {
                TextWrap.Paragraph(writer, $"{device.Name}: ", device.Problem.Message, width);
            }
        }
    }

    private static string Column(string text, int width) =>
        width == 0 ? "" : text.PadRight(System.Math.Max(width, "ATTACHED".Length)) + "  ";

    private static string AttachedOf(ListedDevice device) =>
        device.Attached?.Path ?? "";

    private static string StateOf(ListedDevice device) => device.Conditions.Count == 0
        ? device.State
        : $"{device.State}, {device.Conditions[0]}{(device.Conditions.Count > 1 ? ", ..." : "")}";
}
