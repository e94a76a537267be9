using System;
using System.Globalization;
using System.IO;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using DmRemap.Core.Abstractions;
using DmRemap.Linux.Members;

namespace DmRemap.Cli.Attaching;

/// <summary>
/// One attach or detach of a device at a time: a file in the run directory, locked while one is at work. Its
/// content is the process that an attach started, which the detach is to stop.
/// </summary>
internal sealed class AttachLock : IDisposable
{
    private const int NumberBytesMax = 16;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    private readonly FileStream _file;
    private readonly string _path;

    private AttachLock(FileStream file, string path)
    {
        _file = file;
        _path = path;
    }

    /// <summary>The daemon that was started by `attach`; null: none was.</summary>
    public int? StartedProcess
    {
        get
        {
            Span<byte> content = stackalloc byte[NumberBytesMax];
            _file.Position = 0;
            int length = _file.ReadAtLeast(content, NumberBytesMax, throwOnEndOfStream: false);
            string text = Encoding.ASCII.GetString(content[..length]).TrimEnd('\n');
            return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int process)
                ? process
                : null;
        }
        set
        {
            _file.SetLength(0);
            _file.Position = 0;
            _file.Write(Encoding.ASCII.GetBytes(
                value is int process ? string.Create(CultureInfo.InvariantCulture, $"{process}\n") : ""));
            _file.Flush();
        }
    }

    /// <exception cref="RefusalException">DMR-ATTACH-AT-WORK (exit 4).</exception>
    public static Task<AttachLock> TakeAsync(
        string path, string name, TimeProvider time, CancellationToken cancellation) =>
        TakeAsync(path, name, time, Open, cancellation);

    internal static async Task<AttachLock> TakeAsync(
        string path, string name, TimeProvider time, Func<string, FileStream> open,
        CancellationToken cancellation)
    {
        long began = time.GetTimestamp();
        while (true)
        {
            try
            {
                AttachLock at = new(open(path), path);
                if (OpenedFile.IsAt(at._file.SafeFileHandle, path))
                {
                    return at;
                }
                // Whoever had it has taken the file away; the next one may have been made and locked already.
                at.Dispose();
                continue;
            }
            catch (UnauthorizedAccessException e)
            {
                throw new RefusalException(AttachRefusals.Failed(name, e.Message.TrimEnd('.')), e);
            }
            catch (IOException e)
            {
                if (time.GetElapsedTime(began) >= s_patience)
                {
                    throw new RefusalException(AttachRefusals.AtWork(name), e);
                }
            }
            await Task.Delay(s_pause, time, cancellation);
        }
    }

    /// <summary>
    /// The file too, while it is locked: who waits for it sees that it has gone, and makes another.
    /// </summary>
    public void Delete() => File.Delete(_path);

    public void Dispose() => _file.Dispose();

    internal static FileStream Open(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.OpenOrCreate,
        Access = FileAccess.ReadWrite,
        Share = FileShare.None,
        BufferSize = 0,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });
}
