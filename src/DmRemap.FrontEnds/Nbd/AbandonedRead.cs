namespace DmRemap.FrontEnds.Nbd;

/// <summary>
/// What is left of a READ that was answered with an error before its disk was: the buffers, which are the
/// kernel's until the last piece has come back. The request's slot serves its client again meanwhile.
/// </summary>
internal sealed class AbandonedRead
{
    public AbandonedRead? Next { get; set; }

    public int InFlight { get; set; }

    public SliceLease? Leases { get; set; }

    public ReserveBuffer? Reserve { get; set; }
}
