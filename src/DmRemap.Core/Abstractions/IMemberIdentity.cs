using System;

namespace DmRemap.Core.Abstractions;

/// <summary>
/// Tells from what a member holds whether it is still the one that was opened. A disk that the kernel lost
/// does not come back under the same open file; another export at an NBD server's address may.
/// </summary>
public interface IMemberIdentity
{
    /// <summary>Places of which each tells it by itself.</summary>
    int Places { get; }

    /// <summary>In the member's blocks.</summary>
    Extent PlaceAt(int index);

    bool IsIt(int index, ReadOnlySpan<byte> content);
}
