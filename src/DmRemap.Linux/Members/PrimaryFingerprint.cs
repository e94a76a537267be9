using System;
using System.Globalization;
using DmRemap.Core.Abstractions;

namespace DmRemap.Linux.Members;

public enum FingerprintMatch
{
    None = 0,

    /// <summary>The size agrees, and so does a name that the disk itself tells.</summary>
    Same = 1,

    /// <summary>
    /// Nothing contradicts, but nothing proves it either: no serial number, or a copied file.
    /// </summary>
    Unproven = 2,

    Different = 3,
}

/// <summary>
/// What the primary is recognised by when it is found again: never its path. The content of its most volatile
/// metadata joins these as a further field when it is recorded.
/// </summary>
/// <param name="Bytes">The exact size.</param>
/// <param name="Serial">Of a disk; may be empty.</param>
/// <param name="WorldWideName">Of a disk; may be empty.</param>
/// <param name="FileInode">Of an image file; 0 for a disk. A hint: a copied file has another one.</param>
public readonly record struct PrimaryFingerprint(
    long Bytes, string Serial, string WorldWideName, ulong FileInode)
{
    public const int TextLengthMax = 128;

    private const int NameLengthMax = 56;

    private readonly string? _export;

    /// <summary>Of an export, the name that its server gives it; else empty.</summary>
    public string Export
    {
        get => _export ?? string.Empty;
        init => _export = value.Length == 0 ? null : value;
    }

    public static PrimaryFingerprint OfExport(long bytes, string name) =>
        new(bytes, string.Empty, string.Empty, 0) { Export = Clean(name) };

    public static PrimaryFingerprint Of(MemberFile member) => new(
        member.SizeBytes,
        Clean(member.Serial),
        Clean(member.WorldWideName),
        member.IsBlockDevice ? 0 : member.Identity.Inode);

    /// <summary>
    /// For the superblock: ASCII, at most <see cref="TextLengthMax"/>. Shape: "serial=S;wwn=W" or
    /// "inode=123".
    /// </summary>
    public string ToText()
    {
        if (Export.Length > 0)
        {
            return $"export={Export}";
        }
        return FileInode != 0 ? $"inode={FileInode}" : $"serial={Serial};wwn={WorldWideName}";
    }

    /// <summary>
    /// The size is recorded beside the text. Unknown fields (of later versions) are passed over.
    /// </summary>
    public static PrimaryFingerprint FromText(long bytes, string text)
    {
        string serial = string.Empty;
        string worldWideName = string.Empty;
        string export = string.Empty;
        ulong inode = 0;
        foreach (string field in text.Split(';'))
        {
            int equals = field.IndexOf('=');
            string value = equals < 0 ? string.Empty : field[(equals + 1)..];
            switch (equals < 0 ? string.Empty : field[..equals])
            {
                case "serial":
                    serial = value;
                    break;
                case "wwn":
                    worldWideName = value;
                    break;
                case "export":
                    export = value;
                    break;
                case "inode":
                    inode = ulong.TryParse(
                        value, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
                        ? number
                        : 0;
                    break;
                default:
                    break;
            }
        }
        return new PrimaryFingerprint(bytes, serial, worldWideName, inode) { Export = export };
    }

    /// <summary>Compare what was recorded with what is here now; the difference is for a sentence.</summary>
    public FingerprintMatch Compare(PrimaryFingerprint found, out string difference)
    {
        if (Bytes != found.Bytes)
        {
            difference = $"it has {found.Bytes} bytes instead of {Bytes}";
            return FingerprintMatch.Different;
        }
        if (Contradicts(WorldWideName, found.WorldWideName))
        {
            difference = $"its world-wide name is {found.WorldWideName} instead of {WorldWideName}";
            return FingerprintMatch.Different;
        }
        if (Contradicts(Serial, found.Serial))
        {
            difference = $"its serial number is {found.Serial} instead of {Serial}";
            return FingerprintMatch.Different;
        }
        if (Contradicts(Export, found.Export))
        {
            difference = $"its export is called {found.Export} instead of {Export}";
            return FingerprintMatch.Different;
        }
        bool isNamed = (Export.Length > 0 && found.Export.Length > 0)
            || (WorldWideName.Length > 0 && found.WorldWideName.Length > 0)
            || (Serial.Length > 0 && found.Serial.Length > 0)
            || (FileInode != 0 && FileInode == found.FileInode);
        difference = isNamed ? string.Empty : "only its size could be compared";
        return isNamed ? FingerprintMatch.Same : FingerprintMatch.Unproven;
    }

    /// <exception cref="RefusalException">DMR-MEMBER-SIZE-CHANGED, DMR-MEMBER-OTHER-DISK (exit
    /// 5).</exception>
    public void RequireMatch(string path, PrimaryFingerprint found)
    {
        if (Bytes != found.Bytes)
        {
            throw new RefusalException(MemberRefusals.SizeChanged(path, found.Bytes, Bytes));
        }
        if (Compare(found, out string difference) == FingerprintMatch.Different)
        {
            throw new RefusalException(MemberRefusals.OtherDisk(path, difference));
        }
    }

    /// <summary>A disk that lost its bridge or udev record tells nothing; that contradicts nothing.</summary>
    private static bool Contradicts(string recorded, string found) =>
        recorded.Length > 0 && found.Length > 0 && !string.Equals(recorded, found, StringComparison.Ordinal);

    private static string Clean(string name)
    {
        char[] letters =
            name.Length > NameLengthMax ? name[..NameLengthMax].ToCharArray() : name.ToCharArray();
        for (int i = 0; i < letters.Length; i++)
        {
            if (letters[i] is < ' ' or > '~' or ';' or '=')
            {
                letters[i] = '_';
            }
        }
        return new string(letters);
    }
}
