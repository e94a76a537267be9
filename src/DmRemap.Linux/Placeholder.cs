namespace DmRemap.Linux;

internal static class Placeholder;
