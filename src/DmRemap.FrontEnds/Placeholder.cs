namespace DmRemap.FrontEnds;

internal static class Placeholder;
