using System;
using System.Collections.Generic;

namespace DmRemap.Core.Faults.Injection;

/// <summary>
/// The error numbers a fault rule can name: those that disks and file systems give, and OK for none.
/// </summary>
public static class FaultErrno
{
    /// <summary>EIO: what Linux says when it knows nothing better.</summary>
    public const int Default = 5;

    private static readonly (string Name, int Value)[] s_names =
    [
        ("OK", 0),
        ("EIO", 5),
        ("ENXIO", 6),
        ("EAGAIN", 11),
        ("ENOMEM", 12),
        ("ENODEV", 19),
        ("EINVAL", 22),
        ("ENOSPC", 28),
        ("EROFS", 30),
        ("EBADE", 52),
        ("ENODATA", 61),
        ("ENOLINK", 67),
        ("EILSEQ", 84),
        ("EOPNOTSUPP", 95),
        ("ETIMEDOUT", 110),
        ("EREMOTEIO", 121),
        ("EDQUOT", 122),
    ];

    public static IEnumerable<string> Names
    {
        get
        {
            foreach ((string name, int _) in s_names)
            {
                yield return name;
            }
        }
    }

    public static bool TryParse(ReadOnlySpan<char> text, out int errno)
    {
        foreach ((string name, int value) in s_names)
        {
            if (text.SequenceEqual(name))
            {
                errno = value;
                return true;
            }
        }
        errno = 0;
        return false;
    }

    /// <summary>Its name; the number for one that is not listed.</summary>
    public static string NameOf(int errno)
    {
        foreach ((string name, int value) in s_names)
        {
            if (value == errno)
            {
                return name;
            }
        }
        return errno.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }
}
