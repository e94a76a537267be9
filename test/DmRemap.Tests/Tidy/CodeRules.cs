using System.Collections.Generic;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace DmRemap.Tests.Tidy;

/// <summary>
/// The style guide's measurable rules, each from one file to its violations ("path:line: what").
/// </summary>
internal static class CodeRules
{
    public const int MethodLinesMax = 70;
    public const int FileLinesMax = 500;
    public const int LineCharactersMax = 110;

    public static IEnumerable<string> LongMethods(SourceFile file)
    {
        foreach (SyntaxNode node in Parse(file).DescendantNodes())
        {
            if (node is BaseMethodDeclarationSyntax or AccessorDeclarationSyntax
                or LocalFunctionStatementSyntax)
            {
                FileLinePositionSpan span = node.GetLocation().GetLineSpan();
                int lines = span.EndLinePosition.Line - span.StartLinePosition.Line + 1;
                if (lines > MethodLinesMax)
                {
                    yield return $"{At(file, span)}: a method of {lines} lines, {MethodLinesMax} are allowed";
                }
            }
        }
    }

    public static IEnumerable<string> LongFile(SourceFile file)
    {
        int lines = file.Text.TrimEnd('\n').Split('\n').Length;
        if (lines > FileLinesMax)
        {
            yield return $"{file.Path}: {lines} lines, {FileLinesMax} are allowed";
        }
    }

    public static IEnumerable<string> LongLines(SourceFile file)
    {
        string[] lines = file.Lines;
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].Length > LineCharactersMax)
            {
                int length = lines[i].Length;
                yield return $"{file.Path}:{i + 1}: {length} characters, {LineCharactersMax} are allowed";
            }
        }
    }

    public static IEnumerable<string> UnsafeCode(SourceFile file)
    {
        foreach (SyntaxToken token in Parse(file).DescendantTokens())
        {
            if (token.IsKind(SyntaxKind.UnsafeKeyword))
            {
                string place = At(file, token.GetLocation().GetLineSpan());
                yield return $"{place}: unsafe code outside DmRemap.Linux";
            }
        }
    }

    /// <summary>
    /// A lock in the finally of an async method: the trimmer (.NET 10.0.12) drops its release, so that a
    /// trimmed program hangs at the next one who wants it.
    /// </summary>
    public static IEnumerable<string> LocksLostToTheTrimmer(SourceFile file)
    {
        foreach (LockStatementSyntax taken in Parse(file).DescendantNodes().OfType<LockStatementSyntax>())
        {
            SyntaxNode? body = taken.Ancestors().FirstOrDefault(node => node is BaseMethodDeclarationSyntax
                or LocalFunctionStatementSyntax or LambdaExpressionSyntax);
            bool isAsync = body?.ChildTokens().Any(token => token.IsKind(SyntaxKind.AsyncKeyword)) == true;
            bool isInFinally = taken.Ancestors().TakeWhile(node => node != body)
                .Any(node => node is FinallyClauseSyntax);
            if (isAsync && isInFinally)
            {
                string place = At(file, taken.GetLocation().GetLineSpan());
                yield return $"{place}: a lock in the finally of an async method";
            }
        }
    }

    /// <summary>A namespace is the folder path below src/ or test/.</summary>
    public static IEnumerable<string> MisplacedNamespace(SourceFile file)
    {
        string[] parts = file.Path.Split('/');
        string expected = string.Join('.', parts[1..^1]);
        string? actual = Parse(file).DescendantNodes().OfType<BaseNamespaceDeclarationSyntax>()
            .FirstOrDefault()?.Name.ToString();
        if (actual is not null && actual != expected)
        {
            yield return $"{file.Path}: namespace {actual}, the folder says {expected}";
        }
    }

    /// <summary>Method bodies and the checks among them, for a report: nothing is demanded.</summary>
    public static (int Methods, int Checks) CountChecks(SourceFile file)
    {
        int methods = 0;
        int checks = 0;
        foreach (SyntaxNode node in Parse(file).DescendantNodes())
        {
            methods += node is BaseMethodDeclarationSyntax { Body: not null } ? 1 : 0;
            checks += node is InvocationExpressionSyntax call
                && call.Expression.ToString().StartsWith("Invariant.Check", System.StringComparison.Ordinal)
                    ? 1 : 0;
        }

        return (methods, checks);
    }

    public static CompilationUnitSyntax Parse(SourceFile file) =>
        CSharpSyntaxTree.ParseText(file.Text, new CSharpParseOptions(LanguageVersion.Preview))
            .GetCompilationUnitRoot();

    private static string At(SourceFile file, FileLinePositionSpan span) =>
        $"{file.Path}:{span.StartLinePosition.Line + 1}";
}
