namespace DmRemap.Engine;

internal static class Placeholder;
