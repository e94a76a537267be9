using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace DmRemap.LinkerCheck;

/// <summary>
/// `BEFORE AFTER`: folders with the assemblies that the linker was given, and what it made of them. Every
/// method that is left must have the exception regions that it had: a linker once removed the `finally` of a
/// lock, which was then never released. Ends with 1 and the methods' names where one has not.
/// </summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length != 2)
        {
            Console.Error.WriteLine("usage: DmRemap.LinkerCheck BEFORE AFTER");
            return 2;
        }
        int compared = 0;
        List<string> changed = [];
        foreach (string linked in Directory.GetFiles(arguments[1], "*.dll").Order())
        {
            string original = Path.Combine(arguments[0], Path.GetFileName(linked));
            if (File.Exists(original))
            {
                Compare(RegionsIn(original), RegionsIn(linked), changed, ref compared);
            }
        }
        Console.WriteLine($"{compared} methods with exception regions compared, {changed.Count} changed");
        changed.ForEach(Console.WriteLine);
        return compared > 0 && changed.Count == 0 ? 0 : 1;
    }

    private static void Compare(
        Dictionary<string, string> before, Dictionary<string, string> after, List<string> changed,
        ref int compared)
    {
        foreach ((string method, string regions) in after)
        {
            string was = before.GetValueOrDefault(method, string.Empty);
            compared += was.Length > 0 ? 1 : 0;
            if (was != regions)
            {
                changed.Add($"{method}: [{was}] became [{regions}]");
            }
        }
    }

    /// <summary>Kinds of the regions of each method, in order.</summary>
    private static Dictionary<string, string> RegionsIn(string assembly)
    {
        using PEReader image = new(File.OpenRead(assembly));
        MetadataReader metadata = image.GetMetadataReader();
        Dictionary<string, string> regions = [];
        foreach (MethodDefinitionHandle handle in metadata.MethodDefinitions)
        {
            MethodDefinition method = metadata.GetMethodDefinition(handle);
            if (method.RelativeVirtualAddress == 0)
            {
                continue;
            }
            MethodBodyBlock body = image.GetMethodBody(method.RelativeVirtualAddress);
            string kinds = string.Join(' ', body.ExceptionRegions.Select(region => region.Kind));
            Add(regions, NameOf(metadata, method), kinds);
        }
        return regions;
    }

    /// <summary>
    /// Signatures name types by their row, which the linker changes: overloads that look alike are counted.
    /// </summary>
    private static void Add(Dictionary<string, string> regions, string name, string kinds)
    {
        string unique = name;
        for (int i = 2; !regions.TryAdd(unique, kinds); i++)
        {
            unique = $"{name} ({i})";
        }
    }

    private static string NameOf(MetadataReader metadata, MethodDefinition method)
    {
        string name = metadata.GetString(method.Name);
        TypeDefinitionHandle type = method.GetDeclaringType();
        while (!type.IsNil)
        {
            TypeDefinition definition = metadata.GetTypeDefinition(type);
            name = $"{metadata.GetString(definition.Namespace)}.{metadata.GetString(definition.Name)}/{name}";
            type = definition.GetDeclaringType();
        }
        return name;
    }
}
