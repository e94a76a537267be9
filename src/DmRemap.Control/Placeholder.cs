namespace DmRemap.Control;

internal static class Placeholder;
