using DmRemap.Linux.Processes;
using Xunit;

namespace DmRemap.Tests.Linux;

public sealed class LockedMemoryTests
{
    [Theory]
    [InlineData("7f18572c5000-7f1857542000 r-xp 000c5000 fe:00 332131   /usr/lib/x/libcrypto.so.3", 0x27d000)]
    [InlineData("00400000-00401000 r--s 00000000 fe:00 12   /opt/a program (new)", 0x1000)]
    [InlineData("7f1877000000-7f187884d000 rw-p 00000000 00:00 0", 0)]
    [InlineData("7f1877000000-7f187884d000 ---p 00000000 fe:00 12   /usr/lib/x", 0)]
    [InlineData("7f1877000000-7f187884d000 rw-s 00000000 00:0f 12   /dev/zero", 0)]
    [InlineData("7f1877000000-7f187884d000 rw-s 00000000 00:01 12   /memfd:doublemapper (deleted)", 0)]
    [InlineData("7f1877000000-7f187884d000 rw-s 00000000 00:0e 12   anon_inode:[io_uring]", 0)]
    [InlineData("56180dda5000-56180dee9000 rw-p 00000000 00:00 0   [heap]", 0)]
    [InlineData("7f187884d000-7f1877000000 r-xp 00000000 fe:00 12   /backwards", 0)]
    [InlineData("nonsense", 0)]
    [InlineData("- r/", 0)]
    [InlineData("", 0)]
    public void Mapping_counts_when_it_is_of_a_file_on_a_disk_and_readable(string line, int bytes)
    {
        bool isProgram = LockedMemory.TryParse(line, out nuint start, out nuint length);
        Assert.Equal(bytes != 0, isProgram);
        Assert.Equal((nuint)bytes, length);
        Assert.Equal(isProgram, start != 0);
    }

    [Fact]
    public void Programs_of_this_process_can_be_brought_in() =>
        Assert.InRange(LockedMemory.BringInPrograms(), 1 << 20, long.MaxValue);
}
