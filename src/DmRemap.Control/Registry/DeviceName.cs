using DmRemap.Core.Abstractions;

namespace DmRemap.Control.Registry;

/// <summary>
/// What a device may be called: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}. It is part of paths and of unit names.
/// </summary>
public static class DeviceName
{
    public const int LengthMax = 64;

    public static bool IsValid(string name)
    {
        if (name.Length == 0 || name.Length > LengthMax || !char.IsAsciiLetterOrDigit(name[0]))
        {
            return false;
        }
        foreach (char letter in name)
        {
            if (!char.IsAsciiLetterOrDigit(letter) && letter is not ('_' or '.' or '-'))
            {
                return false;
            }
        }
        return true;
    }

    /// <exception cref="RefusalException">DMR-NAME-INVALID, exit 2.</exception>
    public static void Require(string name)
    {
        if (!IsValid(name))
        {
            throw new RefusalException(new Refusal(
                "DMR-NAME-INVALID",
                ExitCode.Usage,
                name,
                $"\"{Printable(name)}\" cannot be the name of a device.",
                "Use 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit."));
        }
    }

    private static string Printable(string name)
    {
        char[] letters = name.ToCharArray();
        for (int i = 0; i < letters.Length; i++)
        {
            if (char.IsControl(letters[i]))
            {
                letters[i] = '?';
            }
        }
        return letters.Length <= LengthMax + 1
            ? new string(letters)
            : $"{new string(letters, 0, LengthMax)}...";
    }
}
