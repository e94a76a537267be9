using System.Collections.Generic;
using System.Linq;
using DmRemap.Linux.Native;
using DmRemap.Linux.Sockets;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class SentBytesTests
{
    [Fact]
    public void Short_send_at_every_byte_leaves_exactly_the_bytes_behind_it()
    {
        // Parts of 0 to 3 bytes; the address of a byte stands for the byte.
        for (int shape = 0; shape < 256; shape++)
        {
            int[] lengths = [shape & 3, (shape >> 2) & 3, (shape >> 4) & 3, (shape >> 6) & 3];
            List<ulong> all = AddressesOf(MakeVectors(lengths));
            for (int sent = 0; sent < all.Count; sent++)
            {
                IoVector[] vectors = MakeVectors(lengths);
                int first = SentBytes.Skip(vectors, sent);
                List<ulong> left = AddressesOf(vectors[first..]);
                Assert.True(all[sent..].SequenceEqual(left), $"shape={shape} sent={sent}");
            }
        }
    }

    private static IoVector[] MakeVectors(int[] lengths)
    {
        IoVector[] vectors = new IoVector[lengths.Length];
        for (int i = 0; i < lengths.Length; i++)
        {
            vectors[i] = new IoVector { iov_base = (ulong)(1000 * (i + 1)), iov_len = (ulong)lengths[i] };
        }
        return vectors;
    }

    private static List<ulong> AddressesOf(IoVector[] vectors)
    {
        List<ulong> addresses = [];
        foreach (IoVector vector in vectors)
        {
            for (ulong i = 0; i < vector.iov_len; i++)
            {
                addresses.Add(vector.iov_base + i);
            }
        }
        return addresses;
    }
}
