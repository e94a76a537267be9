using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Cli.Composition;
using DmRemap.Cli.Devices;
using DmRemap.Cli.Output;
using DmRemap.Control.Contracts;
using DmRemap.Core.Abstractions;
using DmRemap.Nbd;

namespace DmRemap.Cli.Demonstration;

/// <summary>
/// `demo`: a disk that fails on purpose stays in service, is killed and put together again, and every byte is
/// compared with what it must be. The disk is an image of 256 MiB:
/// <code>
///   0 ─────────── 128 MiB ─────────── 192 MiB ─────── 256 MiB
///   overwritten   │ adopted: only read │ fio writes and verifies (else our own client)
///   (nbdcopy)     │ some of it is bad  │ while sectors go bad
/// </code>
/// </summary>
internal sealed class Demonstration(CliServices services) : IDemonstration
{
    private const long MebiByte = 1024 * 1024;
    private const long DiskBytes = 256 * MebiByte;
    private const long OverwrittenEnd = 128 * MebiByte;
    private const long AdoptedEnd = 192 * MebiByte;
    private const long KillStart = 64 * MebiByte;
    private const int OldVersion = 1;
    private const int NewVersion = 2;
    private const int KillVersion = 3;

    private readonly DemoContent _content = new(DiskBytes);
    private DemoStory _story = null!;

    public async Task<ExitCode> RunAsync(DemoOptions options, CommandOutput output,
        CancellationToken cancellation)
    {
        using DemoScene scene = new(options.Keep);
        try
        {
            return await TellAsync(scene, options, output, cancellation);
        }
        catch (Exception error) when (cancellation.IsCancellationRequested && error is not InvariantException)
        {
            // The daemon and the clients may have had the same signal: what broke first says nothing.
            throw new OperationCanceledException("the demonstration was interrupted", error, cancellation);
        }
    }

    private async Task<ExitCode> TellAsync(
        DemoScene scene, DemoOptions options, CommandOutput output, CancellationToken cancellation)
    {
        _story = new DemoStory(output, scene, services.Time);
        _story.Title("dm-remap: a failing disk stays in service");
        await SetUpAsync(scene, output, cancellation);
        await CopyAsync(scene, cancellation);
        await ExerciseAsync(scene, cancellation);
        await KillAsync(scene, cancellation);
        await RescueAsync(scene, cancellation);
        Verdict verdict = await CompareAsync(scene, cancellation);
        DeviceStatus status = await scene.GetStatusAsync(cancellation);
        StopReport stopped = await scene.StopAsync(cancellation);
        bool isRight = _story.Conclude(verdict, status, stopped);
        if (options.Keep)
        {
            output.Note($"The images are in {scene.Directory}.");
        }
        return isRight ? ExitCode.Done : ExitCode.Failed;
    }

    private async Task SetUpAsync(DemoScene scene, CommandOutput output, CancellationToken cancellation)
    {
        _story.Step("make a disk of 256 MiB full of data, a spare of 32 MiB, and bad sectors");
        DemoContent.WriteFile(scene.Main, DiskBytes, OldVersion);
        DemoContent.WriteFile(scene.NewContent, OverwrittenEnd, NewVersion);
        for (long page = 0; page < DiskBytes / DemoContent.PageBytes; page++)
        {
            _content.Set(page, OldVersion);
        }
        await File.WriteAllLinesAsync(scene.Faults, BadSectors.AtStart, cancellation);
        CliServices own = services with { Environment = name => scene.Environment.GetValueOrDefault(name) };
        CreateOptions create = new()
        {
            Name = DemoScene.Name,
            MainPath = scene.Main,
            SparePaths = [scene.Spare],
            SpareBytes = 32 * MebiByte,
        };
        await new DeviceCreator(own).CreateAsync(create, output, cancellation);
        await scene.ServeAsync(cancellation);
        _story.Done(
            $"{BadSectors.CountAtStart} sectors are bad: some for writing, some for reading, some for both");
    }

    /// <summary>Every write must succeed, however bad the sector below.</summary>
    private async Task CopyAsync(DemoScene scene, CancellationToken cancellation)
    {
        _story.Step("overwrite the first half with new data");
        (int ExitCode, string Output)? copied =
            await _story.WatchAsync(
                scene.RunAsync("nbdcopy", ["--flush", scene.NewContent, scene.Uri], cancellation));
        if (copied is null)
        {
            using DemoClient client = new(scene.Socket, DemoScene.Name);
            WritePages(client, 0, OverwrittenEnd, NewVersion, cancellation);
        }
        else if (copied.Value.ExitCode != 0)
        {
            _story.Wrong($"nbdcopy failed: {copied.Value.Output}");
        }
        for (long page = 0; page < OverwrittenEnd / DemoContent.PageBytes; page++)
        {
            _content.Set(page, NewVersion);
        }
        DeviceStatus status = await scene.GetStatusAsync(cancellation);
        string who = copied is null ? "our own client (nbdcopy is not installed)" : "nbdcopy";
        _story.Done($"{who} saw no error; {status.Remaps} units moved to the spare on the way");
    }

    /// <summary>
    /// Random writes, read back and verified by their checksums, while more sectors go bad.
    /// </summary>
    private async Task ExerciseAsync(DemoScene scene, CancellationToken cancellation)
    {
        _story.Step("random writes with checksums, 32 at a time, while more sectors go bad");
        Task<(int ExitCode, string Output)?> fio = scene.RunAsync("fio", FioArguments(scene), cancellation);
        foreach (string rule in BadSectors.WhileRunning)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(150), services.Time, cancellation);
            await scene.AddFaultAsync(rule, cancellation);
        }
        (int ExitCode, string Output)? ended = await _story.WatchAsync(fio);
        if (ended is null)
        {
            using DemoClient client = new(scene.Socket, DemoScene.Name);
            WritePages(client, AdoptedEnd, DiskBytes, NewVersion, cancellation);
            _story.Done("fio is not installed; our own client wrote the last quarter without an error");
            return;
        }
        _story.FioRan();
        if (ended.Value.ExitCode != 0)
        {
            _story.Wrong($"fio failed: {ended.Value.Output}");
        }
        DeviceStatus status = await scene.GetStatusAsync(cancellation);
        _story.Done($"fio verified every block it wrote; {status.Remaps} units are on the spare now");
    }

    /// <summary>kill -9 in the middle of writes: what was acknowledged must be there afterwards.</summary>
    private async Task KillAsync(DemoScene scene, CancellationToken cancellation)
    {
        _story.Step("kill -9 in the middle of writes, then start again");
        long writesToKill = 1500;
        byte[] page = new byte[DemoContent.PageBytes];
        long acknowledged = 0;
        using (DemoClient client = new(scene.Socket, DemoScene.Name))
        {
            Task? killing = null;
            try
            {
                for (long i = 0; killing is null || !killing.IsCompleted; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    long index = (KillStart / DemoContent.PageBytes)
                        + (i * 7 % ((OverwrittenEnd - KillStart) / DemoContent.PageBytes));
                    DemoContent.Fill(page, index, KillVersion);
                    _content.SetUncertain(index, KillVersion);
                    RequireWritten(client.Write(index * DemoContent.PageBytes, page), index);
                    _content.Set(index, KillVersion);
                    acknowledged++;
                    killing ??= acknowledged == writesToKill ? scene.KillAsync(cancellation) : null;
                }
            }
            catch (IOException)
            {
                // The daemon is dead, as it should be: the page under way holds either version.
            }
            await (killing ?? throw new IOException("the daemon ended before it was killed"));
        }
        await scene.ServeAsync(cancellation);
        DeviceStatus status = await scene.GetStatusAsync(cancellation);
        _story.Done(
            $"{acknowledged} writes had been acknowledged; {status.Remaps} remaps were found again "
                + "on the spare");
    }

    /// <summary>Lost blocks fail until they are written; then they hold what was written.</summary>
    private async Task RescueAsync(DemoScene scene, CancellationToken cancellation)
    {
        _story.Step("read what has become unreadable, then write one of those places");
        byte[] page = new byte[DemoContent.PageBytes];
        using DemoClient client = new(scene.Socket, DemoScene.Name);
        long index = BadSectors.UnreadablePage;
        NbdError before = client.Read(index * DemoContent.PageBytes, page);
        DemoContent.Fill(page, index, NewVersion);
        RequireWritten(client.Write(index * DemoContent.PageBytes, page), index);
        _content.Set(index, NewVersion);
        NbdError after = client.Read(index * DemoContent.PageBytes, page);
        if (before != NbdError.InputOutput || after != NbdError.None)
        {
            _story.Wrong($"the unreadable page answered {before} before and {after} after it was written");
        }
        client.Flush();
        DeviceStatus status = await scene.GetStatusAsync(cancellation);
        _story.Done(
            "it failed with an I/O error, never with zeros; written, it reads again "
                + $"({status.Remaps} units on the spare)");
    }

    private async Task<Verdict> CompareAsync(DemoScene scene, CancellationToken cancellation)
    {
        _story.Step("compare every byte");
        long end = _story.HasFioRun ? AdoptedEnd : DiskBytes;
        Verdict verdict = await Task.Run(
            () =>
            {
                using DemoClient client = new(scene.Socket, DemoScene.Name);
                return _content.Compare(client, 0, end, done =>
                {
                    cancellation.ThrowIfCancellationRequested();
                    _story.Progress(done, end);
                });
            },
            cancellation);
        _story.Done($"{Amounts.Bytes(verdict.BytesCompared)} compared");
        return verdict;
    }

    private void WritePages(
        DemoClient client, long start, long end, int version, CancellationToken cancellation)
    {
        byte[] chunk = new byte[64 * DemoContent.PageBytes];
        for (long offset = start; offset < end; offset += chunk.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int i = 0; i < 64; i++)
            {
                long index = (offset / DemoContent.PageBytes) + i;
                DemoContent.Fill(chunk.AsSpan(i * DemoContent.PageBytes, DemoContent.PageBytes), index,
                    version);
                _content.Set(index, version);
            }
            RequireWritten(client.Write(offset, chunk), offset / DemoContent.PageBytes);
        }
        client.Flush();
    }

    private void RequireWritten(NbdError error, long page)
    {
        if (error != NbdError.None)
        {
            _story.Wrong($"writing page {page} failed with {error}");
        }
    }

    private static string[] FioArguments(DemoScene scene) =>
    [
        "--name=demo", "--ioengine=nbd", $"--uri={scene.Uri}", "--rw=randwrite", "--bs=4k", "--iodepth=32",
        $"--offset={AdoptedEnd}", $"--size={DiskBytes - AdoptedEnd}", "--verify=crc32c", "--do_verify=1",
        "--randrepeat=1", "--fsync=512", "--output-format=terse",
    ];
}
