namespace DmRemap.Cli.Commands;

/// <summary>The examples of each command's help.</summary>
internal static class Examples
{
    public static string[] Root { get; } =
    [
        "dmremap create disk1 --main /dev/sdb --spare /dev/sdc1",
        "dmremap serve disk1",
        "dmremap attach disk1",
        "dmremap status disk1",
        "dmremap demo",
    ];

    public static string[] ExitCodes { get; } =
    [
        "Exit codes:",
        "  0 done    1 failed    2 usage    3 no such device    4 in use",
        "  5 refused for safety    6 metadata unreadable    7 done, but degraded or by",
        "  deadline    8 not permitted    9 missing on this machine",
        "",
        "Places:",
        "  Devices are registered in $DMREMAP_CONFIG_DIR, else /etc/dmremap (root) or",
        "  ${XDG_CONFIG_HOME:-~/.config}/dmremap. Sockets are in $DMREMAP_RUN_DIR, else",
        "  /run/dmremap (root), $XDG_RUNTIME_DIR/dmremap or /tmp/dmremap-UID.",
    ];

    public static string[] Of(string command) => command switch
    {
        "create" =>
        [
            "dmremap create disk1 --main /dev/sdb --spare /dev/sdc1",
            "dmremap create disk1 --main old.img --spare spare.img --spare-size 64M",
        ],
        "serve" =>
        [
            "dmremap serve disk1",
            "dmremap serve disk1 --listen 127.0.0.1:10809",
            "nbdsh -c \"h.connect_command(['dmremap', 'serve', 'disk1', '--stdio'])\"",
            "nbdinfo -- [ dmremap serve disk1 ]         with a socket that is passed",
            "dmremap serve disk1 --listen [::]:10809 --tls require --tls-dir /etc/pki",
            "dmremap serve disk1 --read-only --faults bad-sectors.txt",
            "dmremap serve disk1 --degraded             although a spare is missing",
        ],
        "attach" =>
        [
            "dmremap attach disk1                   prints /dev/loopN",
            "mount $(dmremap attach disk1) /mnt     later: umount, then detach",
            "dmremap attach disk1 --file            without root: prints a file's path",
        ],
        "detach" => ["dmremap detach disk1"],
        "status" => ["dmremap status", "dmremap status disk1 --json"],
        "list" => ["dmremap list"],
        "remap" =>
        [
            "dmremap remap disk1 800-815             blocks 800 to 815, both included",
            "dmremap remap disk1 409600-417791 --bytes",
        ],
        "unremap" => ["dmremap unremap disk1 800-815", "dmremap unremap disk1 409600-417791 --bytes"],
        "retest" => ["dmremap retest disk1", "dmremap retest disk1 800-815"],
        "lost" => ["dmremap lost disk1", "dmremap lost disk1 --files --json"],
        "mark-bad" =>
        [
            "dmremap mark-bad disk1 --list bad.txt              FIRST or FIRST-LAST a line, in blocks",
            "dmremap mark-bad disk1 --list badblocks.txt --list-block 4096",
        ],
        "mark-lost" => ["dmremap mark-lost disk1 800-815 --yes"],
        "faults" =>
        [
            "dmremap faults disk1 add 2000-2007 read",
            "dmremap faults disk1 add 4096-4103 both after=100 errno=EIO",
            "dmremap faults disk1 add 9000 read tries=2 delay=500",
            "dmremap faults disk1 list",
            "dmremap faults disk1 clear",
        ],
        "suspend" => ["dmremap suspend disk1", "dmremap suspend disk1 --deadline 60"],
        "resume" => ["dmremap resume disk1"],
        "stop" => ["dmremap stop disk1", "dmremap stop disk1 --deadline 30"],
        "check" => ["dmremap check disk1", "dmremap check --spare /dev/sdc1 --spare /dev/sdd1 --json"],
        "repair" => ["dmremap repair disk1", "dmremap repair disk1 --accept-loss"],
        "dump" => ["dmremap dump disk1", "dmremap dump --spare spare.img --records --json"],
        "rebind" =>
        [
            "dmremap rebind disk1 --main /dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
            "dmremap rebind disk1 --spare /dev/sdc1 /dev/sdd1",
        ],
        "delete" => ["dmremap delete disk1 --yes"],
        "demo" => ["dmremap demo"],
        _ => OfLab(command),
    };

    private static string[] OfLab(string command) => command switch
    {
        "lab" =>
        [
            "dmremap lab serve bad --size 1G --model nearline",
            "dmremap lab add-bad bad 2048-2055 weak tries=3 delay=1500",
            "dmremap lab status bad",
        ],
        "lab serve" =>
        [
            "dmremap lab serve bad --size 1G --model scratch --seed 7",
            "dmremap lab serve bad --size 1T --model nearline --clock 105120   a year in 5 min",
            "dmremap lab serve bad --file copy.img --mapfile rescue.map",
            "dmremap lab serve bad --size 4G --bad-count 100 --bad-kind weak",
        ],
        "lab add-bad" => ["dmremap lab add-bad bad 2048-2055", "dmremap lab add-bad bad 4096 dead"],
        "lab heal" => ["dmremap lab heal bad 2048-2055", "dmremap lab heal bad"],
        "lab stall" => ["dmremap lab stall bad 60", "dmremap lab stall bad     until `lab return`"],
        "lab reset" => ["dmremap lab reset bad 5"],
        "lab slow" => ["dmremap lab slow bad 60"],
        "lab vanish" => ["dmremap lab vanish bad"],
        "lab return" => ["dmremap lab return bad"],
        "lab status" => ["dmremap lab status bad --json"],
        "lab list" => ["dmremap lab list", "dmremap lab list bad > defects.txt"],
        "lab stop" => ["dmremap lab stop bad"],
        _ => [],
    };
}
