using System;
using System.IO;
using DmRemap.Linux.Members;
using DmRemap.Tests.Support;

namespace DmRemap.Tests.Members;

/// <summary>A /sys and /proc of a machine that does not exist, as directories and links.</summary>
internal sealed class FakeMachine : IDisposable
{
    private readonly TemporaryDirectory _root = new();
    private string _mounts = string.Empty;
    private string _swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    public FakeMachine()
    {
        Directory.CreateDirectory(_root["sys/dev/block"]);
        Directory.CreateDirectory(_root["sys/block"]);
        Directory.CreateDirectory(_root["proc/self"]);
        Directory.CreateDirectory(_root["udev/data"]);
        WriteTables();
    }

    public BlockTopology Topology => new(_root["sys"], _root["proc"], _root["udev"]);

    public string PathOf(string name) => _root[name];

    public DeviceNumber AddDisk(string name, uint major, uint minor) =>
        Add($"sys/devices/{name}", name, major, minor);

    public DeviceNumber AddPartition(string disk, string name, uint major, uint minor)
    {
        DeviceNumber number = Add($"sys/devices/{disk}/{name}", name, major, minor);
        File.WriteAllText(_root[$"sys/devices/{disk}/{name}/partition"], "1\n");
        return number;
    }

    /// <summary>
    /// A dm or md device that stands on others, given by their directory below sys/devices.
    /// </summary>
    public DeviceNumber AddStacked(string name, string kind, uint major, uint minor, params string[] slaves)
    {
        DeviceNumber number = Add($"sys/devices/{name}", name, major, minor);
        Directory.CreateDirectory(_root[$"sys/devices/{name}/{kind}"]);
        foreach (string slave in slaves)
        {
            string slaveName = Path.GetFileName(slave);
            File.CreateSymbolicLink(
                _root[$"sys/devices/{name}/slaves/{slaveName}"], _root[$"sys/devices/{slave}"]);
            File.CreateSymbolicLink(
                _root[$"sys/devices/{slave}/holders/{name}"], _root[$"sys/devices/{name}"]);
        }
        return number;
    }

    public void Write(string device, string attribute, string text)
    {
        string path = _root[$"sys/devices/{device}/{attribute}"];
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text + "\n");
    }

    public void WriteUdev(DeviceNumber device, string record) =>
        File.WriteAllText(_root[$"udev/data/b{device}"], record);

    public void Mount(string line)
    {
        _mounts += line + "\n";
        WriteTables();
    }

    public void Swap(string path)
    {
        _swaps += $"{path}                               file\t\t1048572\t\t0\t\t-2\n";
        WriteTables();
    }

    public void Dispose() => _root.Dispose();

    private DeviceNumber Add(string directory, string name, uint major, uint minor)
    {
        DeviceNumber number = new(major, minor);
        Directory.CreateDirectory(_root[$"{directory}/holders"]);
        Directory.CreateDirectory(_root[$"{directory}/slaves"]);
        File.WriteAllText(_root[$"{directory}/dev"], $"{number}\n");
        File.CreateSymbolicLink(_root[$"sys/dev/block/{number}"], _root[directory]);
        File.CreateSymbolicLink(_root[$"sys/block/{name}"], _root[directory]);
        return number;
    }

    private void WriteTables()
    {
        File.WriteAllText(_root["proc/self/mountinfo"], _mounts);
        File.WriteAllText(_root["proc/swaps"], _swaps);
    }
}
