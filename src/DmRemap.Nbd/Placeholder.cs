namespace DmRemap.Nbd;

internal static class Placeholder;
