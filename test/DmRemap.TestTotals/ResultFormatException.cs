using System;

namespace DmRemap.TestTotals;

/// <summary>
/// A result file cannot be trusted: cut short, not of the expected form, or at odds with itself.
/// </summary>
public sealed class ResultFormatException : Exception
{
    public ResultFormatException()
    {
    }

    public ResultFormatException(string message)
        : base(message)
    {
    }

    public ResultFormatException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
