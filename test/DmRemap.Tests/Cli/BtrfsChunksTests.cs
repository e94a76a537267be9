using System;
using DmRemap.Cli.Losses;
using Xunit;

namespace DmRemap.Tests.Cli;

/// <summary>The table of chunks, as btrfs-progs print it.</summary>
public sealed class BtrfsChunksTests
{
    private const string Table = """
        btrfs-progs v6.2
        chunk tree
        leaf 22036480 items 4 free space 15781 generation 6 owner CHUNK_TREE
        	item 0 key (DEV_ITEMS DEV_ITEM 1) itemoff 16185 itemsize 98
        		devid 1 total_bytes 419430400 bytes_used 92274688
        	item 1 key (FIRST_CHUNK_TREE CHUNK_ITEM 13631488) itemoff 16105 itemsize 80
        		length 8388608 owner 2 stripe_len 65536 type DATA|single
        		num_stripes 1 sub_stripes 1
        			stripe 0 devid 1 offset 33631488
        			dev_uuid 2e9da5ef-f192-40d9-812e-3546bca117bb
        	item 2 key (FIRST_CHUNK_TREE CHUNK_ITEM 22020096) itemoff 15993 itemsize 112
        		length 8388608 owner 2 stripe_len 65536 type METADATA|DUP
        		num_stripes 2 sub_stripes 1
        			stripe 0 devid 1 offset 62020096
        			stripe 1 devid 1 offset 70408704
        """;

    [Theory]
    [InlineData(33_631_488, 13_631_488L)]
    [InlineData(33_631_488 + 8_388_607, 13_631_488L + 8_388_607)]
    [InlineData(33_631_488 - 1, null)]
    [InlineData(33_631_488 + 8_388_608, null)]
    [InlineData(62_020_096, null)]
    [InlineData(0, null)]
    public void A_byte_of_the_device_has_an_address_where_files_have_content(long place, long? logical) =>
        Assert.Equal(logical, BtrfsChunks.Parse(Table)!.LogicalOf(place));

    [Fact]
    public void One_device_without_stripes_is_enough() => Assert.False(BtrfsChunks.Parse(Table)!.IsSpread);

    [Theory]
    [InlineData("DATA|single", "DATA|RAID0")]
    [InlineData("DATA|single", "DATA|RAID6")]
    [InlineData("		devid 1 total", "		devid 2 total_bytes 1\n		devid 1 total")]
    public void Several_devices_or_stripes_are_told(string before, string after) =>
        Assert.True(BtrfsChunks.Parse(Table.Replace(before, after, StringComparison.Ordinal))!.IsSpread);

    [Theory]
    [InlineData("length 8388608", "length -1")]
    [InlineData("length 8388608", "length 99999999999999999999")]
    [InlineData("offset 33631488", "offset x")]
    [InlineData("			stripe 0 devid 1 offset 33631488", "")]
    [InlineData("type DATA|single", "")]
    [InlineData("CHUNK_ITEM", "OTHER_ITEM")]
    public void What_has_not_its_form_is_no_table(string before, string after) =>
        Assert.Null(BtrfsChunks.Parse(Table.Replace(before, after, StringComparison.Ordinal)));
}
