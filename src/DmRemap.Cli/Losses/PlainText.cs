using System.Globalization;
using System.Text;

namespace DmRemap.Cli.Losses;

/// <summary>
/// Text that a disk has made up, for a terminal: without characters that could move the cursor, change what
/// was printed before, or look like another line.
/// </summary>
internal static class PlainText
{
    private const int LengthMax = 4096;

    public static string Of(string text)
    {
        StringBuilder plain = new();
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool isPlain = Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control
                or UnicodeCategory.Format or UnicodeCategory.LineSeparator
                or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Surrogate);
            if (isPlain)
            {
                plain.Append(rune.ToString());
            }
            else
            {
                plain.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}");
            }
            if (plain.Length >= LengthMax)
            {
                return plain.Append("...").ToString();
            }
        }
        return plain.ToString();
    }
}
