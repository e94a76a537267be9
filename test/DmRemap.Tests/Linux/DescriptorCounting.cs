using Xunit;

namespace DmRemap.Tests.Linux;

/// <summary>Tests that count the process's descriptors run when no other test opens any.</summary>
[CollectionDefinition(nameof(DescriptorCounting), DisableParallelization = true)]
public sealed class DescriptorCounting;
