namespace DmRemap.Devices;

internal static class Placeholder;
