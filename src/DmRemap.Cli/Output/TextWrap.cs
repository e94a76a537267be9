using System;
using System.IO;

namespace DmRemap.Cli.Output;

/// <summary>Labelled paragraphs: "  label: words that go on\n         below the first word".</summary>
internal static class TextWrap
{
    /// <summary>A word longer than the line stands alone and is not cut: it may be a path.</summary>
    public static void Paragraph(TextWriter writer, string prefix, string text, int width)
    {
        string indent = new(' ', prefix.Length);
        string lead = prefix;
        int column = 0;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (column > 0 && column + 1 + word.Length > width)
            {
                writer.WriteLine();
                column = 0;
                lead = indent;
            }
            writer.Write(column == 0 ? lead : " ");
            writer.Write(word);
            column = (column == 0 ? lead.Length : column + 1) + word.Length;
        }
        if (column == 0)
        {
            writer.Write(prefix.TrimEnd());
        }
        writer.WriteLine();
    }
}
