using System;
using DmRemap.Core.Metadata;

namespace DmRemap.Control.Registry;

/// <summary>
/// How far this machine last saw a device's set come (F-16). It tells an old copy of a spare from the newest
/// one, which nothing on the spares or on the main device can.
/// </summary>
public sealed record HostWitness(string Name, Guid SetUuid, HistoryPoint Point);
