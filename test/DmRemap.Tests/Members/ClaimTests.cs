using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;
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
            path, new MemberOptions(), AssertOnlySlow, CancellationToken.None));
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
        using MemberFile member =
            MemberFile.WaitForClaim(path, new MemberOptions(), _ => { }, CancellationToken.None);
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
        string reason = TakeReason(reasons, "held by no process");
        Assert.Contains(path, reason, StringComparison.Ordinal);
        Assert.Contains("dead instance", reason, StringComparison.Ordinal);
        Assert.False(claiming.IsCompleted);
        held.Dispose();
        using MemberFile member = await claiming.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        while (reasons.TryTake(out string? later))
        {
            AssertOnlySlow(later);
        }
    }

    [Fact]
    public async Task File_system_that_does_not_answer_is_waited_for_and_said()
    {
        Tool.Need("nbdkit");
        Tool.Need("nbdfuse");
        Tool.Need("fusermount3");
        using TemporaryDirectory directory = new();
        using FuseFile file = FuseFile.Mount(directory["mnt"]);
        file.Stop();
        using BlockingCollection<string> reasons = [];
        using CancellationTokenSource cancellation = new();
        Task<MemberFile> claiming = Start(cancellation.Token);
        TakeReason(reasons, "does not answer");
        Assert.False(claiming.IsCompleted);

        // Giving up does not wait for the file system either, and what the open brings later is given back.
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => claiming.WaitAsync(s_patience, TestContext.Current.CancellationToken));
        claiming = Start(CancellationToken.None);
        TakeReason(reasons, "does not answer");
        file.Continue();
        using MemberFile member = await claiming.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal(MebiByte, member.SizeBytes);
        Assert.Equal(TransferMode.PageCache, member.Mode);

        Task<MemberFile> Start(CancellationToken token) => Task.Run(
            () => MemberFile.WaitForClaim(file.Path, new MemberOptions(), reasons.Add, token),
            TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Waiting_ends_when_cancelled_and_takes_nothing()
    {
        using TemporaryDirectory directory = new();
        string path = directory.MakeFile("main", MebiByte);
        using KernelHeldClaim held = KernelHeldClaim.Take(path);
        using CancellationTokenSource cancellation = new();
        Task<MemberFile> claiming = Task.Run(
            () => MemberFile.WaitForClaim(
                path, new MemberOptions(), _ => cancellation.Cancel(), cancellation.Token),
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

    /// <summary>
    /// On a busy machine an open may take its time, and that is said; no other reason may be.
    /// </summary>
    private static void AssertOnlySlow(string reason) =>
        Assert.Contains("does not answer", reason, StringComparison.Ordinal);

    private static string TakeReason(BlockingCollection<string> reasons, string part)
    {
        while (true)
        {
            Assert.True(reasons.TryTake(out string? reason, s_patience), $"nobody said \"{part}\"");
            if (reason.Contains(part, StringComparison.Ordinal))
            {
                return reason;
            }
            AssertOnlySlow(reason);
        }
    }

    /// <summary>A file that nbdfuse serves from nbdkit's memory; its server can be stopped.</summary>
    private sealed class FuseFile : IDisposable
    {
        private readonly Process _server;
        private readonly string _directory;

        private FuseFile(Process server, string directory)
        {
            _server = server;
            _directory = directory;
        }

        public string Path => System.IO.Path.Combine(_directory, "disk");

        public static FuseFile Mount(string directory)
        {
            Directory.CreateDirectory(directory);
            string pidFile = directory + ".pid";
            Process server = Tool.Start(
                "nbdfuse",
                "--pidfile",
                pidFile,
                System.IO.Path.Combine(directory, "disk"),
                "--command",
                "nbdkit",
                "-s",
                "memory",
                "1M");
            FuseFile file = new(server, directory);

            // nbdfuse writes it when the file is there.
            bool isDecided = SpinWait.SpinUntil(() => File.Exists(pidFile) || server.HasExited, s_patience);
            if (!isDecided || server.HasExited)
            {
                string error = server.HasExited ? server.StandardError.ReadToEnd().Trim() : "no answer";
                file.Dispose();
                Assert.Skip($"nbdfuse cannot mount here: {error}");
            }
            return file;
        }

        public void Stop() => Signal("STOP");

        public void Continue() => Signal("CONT");

        public void Dispose()
        {
            if (!_server.HasExited)
            {
                Continue();
            }
            Unmount();
            _server.WaitForExit();
            _server.Dispose();
        }

        /// <summary>
        /// Whatever became of the test, the mount goes: what it leaves behind would fail under another name.
        /// </summary>
        private void Unmount()
        {
            Tool.Run("fusermount3", "-u", "-z", _directory);
            if (File.ReadAllText("/proc/self/mounts").Contains($" {_directory} ", StringComparison.Ordinal))
            {
                Tool.Run("umount", "-l", _directory);
            }
        }

        // The shell's own: a bare machine has no program of that name.
        private void Signal(string name) =>
            Tool.Run("bash", "-c", "kill -\"$1\" \"$2\"", "_", name, $"{_server.Id}");
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
    /// A claim without a descriptor: a mapping keeps the open file description alive after its last
    /// descriptor is closed, as a request in flight does.
    /// </summary>
    private sealed class KernelHeldClaim : IDisposable
    {
        private readonly MemoryMappedViewAccessor _view;

        private KernelHeldClaim(MemoryMappedViewAccessor view) => _view = view;

        public static KernelHeldClaim Take(string path)
        {
            using MemberFile member = MemberFile.TryClaim(path, new MemberOptions()).Member!;
            using MemoryMappedFile map = MemoryMappedFile.CreateFromFile(
                member.Handle, null, 0, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None,
                leaveOpen: true);
            return new KernelHeldClaim(map.CreateViewAccessor());
        }

        public void Dispose() => _view.Dispose();
    }
}
