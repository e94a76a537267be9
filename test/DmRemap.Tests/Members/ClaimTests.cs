using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using Xunit;

namespace DmRemap.Tests.Members;

public sealed class ClaimTests
{
    private const int MebiByte = 1024 * 1024;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public void Second_claim_is_held_and_free_again_after_the_first_is_given_up()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using (MemberFile first = MemberFile.TryClaim(path, new MemberOptions()).Member!)
        {
            ClaimResult second = MemberFile.TryClaim(path, new MemberOptions());
            Assert.Null(second.Member);
            Assert.True(second.HasLivingHolder);
            Assert.Contains(second.Holders, holder => holder.ProcessId == Environment.ProcessId);
        }
        ClaimResult third = MemberFile.TryClaim(path, new MemberOptions());
        Assert.NotNull(third.Member);
        third.Member.Dispose();
    }

    [Fact]
    public void Claim_is_on_the_file_not_on_its_name()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        Tool.Need("ln");
        Tool.Run("ln", path, directory["hardlink"]);
        using MemberFile first = MemberFile.TryClaim(path, new MemberOptions()).Member!;
        Assert.Null(MemberFile.TryClaim(directory["hardlink"], new MemberOptions()).Member);
    }

    [Fact]
    public void Living_process_with_the_claim_is_refused_at_once_and_named()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using LockingChild child = LockingChild.Start(path);
        RefusalException refusal = Assert.Throws<RefusalException>(() => MemberFile.WaitForClaim(
            path, new MemberOptions(), reason => Assert.Fail($"waited: {reason}"), CancellationToken.None));
        Assert.Equal("DMR-MEMBER-IN-USE", refusal.Id);
        Assert.Equal(ExitCode.InUse, refusal.ExitCode);
        Assert.Contains($"process {child.ProcessId} ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("cat", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Claim_is_free_when_the_process_with_it_was_killed()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using LockingChild child = LockingChild.Start(path);
        child.Kill();
        using MemberFile member = MemberFile.WaitForClaim(path, new MemberOptions(), _ => { }, CancellationToken.None);
        Assert.Equal(MebiByte, member.SizeBytes);
    }

    [Fact]
    public async Task Claim_that_only_the_kernel_holds_is_waited_for_and_said()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using KernelHeldClaim held = KernelHeldClaim.Take(path);
        using BlockingCollection<string> reasons = [];
        Task<MemberFile> claiming = Task.Run(
            () => MemberFile.WaitForClaim(path, new MemberOptions(), reasons.Add, CancellationToken.None),
            TestContext.Current.CancellationToken);
        Assert.True(reasons.TryTake(out string? reason, s_patience));
        Assert.Contains(path, reason, StringComparison.Ordinal);
        Assert.Contains("dead instance", reason, StringComparison.Ordinal);
        Assert.False(claiming.IsCompleted);
        held.Dispose();
        using MemberFile member = await claiming.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Empty(reasons);
    }

    [Fact]
    public async Task Waiting_ends_when_cancelled_and_takes_nothing()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using KernelHeldClaim held = KernelHeldClaim.Take(path);
        using CancellationTokenSource cancellation = new();
        Task<MemberFile> claiming = Task.Run(
            () => MemberFile.WaitForClaim(path, new MemberOptions(), _ => cancellation.Cancel(), cancellation.Token),
            TestContext.Current.CancellationToken);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => claiming.WaitAsync(s_patience, TestContext.Current.CancellationToken));
        held.Dispose();
        using MemberFile? member = MemberFile.TryClaim(path, new MemberOptions()).Member;
        Assert.NotNull(member);
    }

    [Fact]
    public void Refusals_pass_through_the_wait()
    {
        RefusalException refusal = Assert.Throws<RefusalException>(() => MemberFile.WaitForClaim(
            "/nonexistent/disk", new MemberOptions(), _ => { }, CancellationToken.None));
        Assert.Equal("DMR-MEMBER-MISSING", refusal.Id);
    }

    /// <summary>`flock FILE cat`: holds the exclusive lock until its input ends or it is killed.</summary>
    private sealed class LockingChild : IDisposable
    {
        private readonly Process _process;

        private LockingChild(Process process) => _process = process;

        public int ProcessId => _process.Id;

        public static LockingChild Start(string path)
        {
            Tool.Need("flock");
            Process process = Tool.Start("flock", "--no-fork", path, "cat");
            LockingChild child = new(process);

            // cat answers only when flock has the lock.
            process.StandardInput.WriteLine("ready");
            process.StandardInput.Flush();
            Assert.Equal("ready", process.StandardOutput.ReadLine());
            return child;
        }

        public void Kill()
        {
            _process.Kill();
            _process.WaitForExit();
        }

        public void Dispose()
        {
            Kill();
            _process.Dispose();
        }
    }

    /// <summary>
    /// A claim without a descriptor: a mapping keeps the open file description alive after its last descriptor is
    /// closed, as a request in flight does.
    /// </summary>
    private sealed class KernelHeldClaim : IDisposable
    {
        private readonly MemoryMappedViewAccessor _view;

        private KernelHeldClaim(MemoryMappedViewAccessor view) => _view = view;

        public static KernelHeldClaim Take(string path)
        {
            using MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!;
            using MemoryMappedFile map = MemoryMappedFile.CreateFromFile(
                member.Handle, null, 0, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
            return new KernelHeldClaim(map.CreateViewAccessor());
        }

        public void Dispose() => _view.Dispose();
    }
}
