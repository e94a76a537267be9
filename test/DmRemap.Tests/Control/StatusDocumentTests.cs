using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text.Json;
using DmRemap.Control.Contracts;
using DmRemap.Control.Protocol;
using DmRemap.Tests.Tidy;
using Xunit;

namespace DmRemap.Tests.Control;

/// <summary>docs/control-protocol.md names every field of a status and of the replies.</summary>
public sealed class StatusDocumentTests
{
    [Fact]
    public void Every_field_of_a_status_is_in_the_document()
    {
        string section = Section("## Status", "## Limits");
        List<string> missing = [.. Fields(typeof(DeviceStatus)).Where(name => !IsNamed(section, name))];
        Assert.Empty(missing);
    }

    [Fact]
    public void Every_field_of_the_reports_and_of_an_error_is_in_the_document()
    {
        string section = Section("## Replies", "## Status");
        Type[] reports =
        [
            typeof(RemapReport), typeof(StopReport), typeof(SuspendReport), typeof(ResumeReport),
            typeof(FaultList), typeof(FaultsCleared), typeof(PingReport), typeof(RemapProgress),
            typeof(ControlError),
        ];
        IEnumerable<string> fields = reports.SelectMany(type => Fields(type, isDeep: false));
        List<string> missing = [.. fields.Where(name => !IsNamed(section, name))];
        Assert.Empty(missing);
    }

    private static bool IsNamed(string section, string name) =>
        section.Contains($"`{name}`", StringComparison.Ordinal)
            || section.Contains($"`{name}[]`", StringComparison.Ordinal);

    private static IEnumerable<string> Fields(Type type, bool isDeep = true)
    {
        foreach (PropertyInfo field in type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            yield return JsonNamingPolicy.CamelCase.ConvertName(field.Name);
            Type inner = field.PropertyType.IsGenericType
                ? field.PropertyType.GetGenericArguments()[0]
                : field.PropertyType;
            bool isOurs = inner.Namespace == typeof(DeviceStatus).Namespace && !inner.IsEnum;
            foreach (string name in isDeep && isOurs ? Fields(inner) : [])
            {
                yield return name;
            }
        }
    }

    private static string Section(string from, string to)
    {
        string document = File.ReadAllText(
            Path.Combine(SourceTree.Root, "docs", "control-protocol.md"));
        int start = document.IndexOf(from, StringComparison.Ordinal);
        int end = document.IndexOf(to, StringComparison.Ordinal);
        Assert.InRange(start, 0, end);
        return document[start..end];
    }
}
