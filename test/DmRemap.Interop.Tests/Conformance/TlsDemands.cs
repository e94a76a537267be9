using System.Collections.Generic;
using System.Threading.Tasks;
using DmRemap.Interop.Tests.Support;

namespace DmRemap.Interop.Tests.Conformance;

/// <summary>What the protocol says of a server that requires TLS.</summary>
internal sealed class TlsDemands(string clientFolder)
{
    private const uint StartTls = 5;

    private readonly string _clientFolder = clientFolder;

    public List<Demand> All =>
    [
        new("C32", EverythingElseIsRefusedAsync),
        new("C33", ExportNameEndsAsync),
        new("C34", DataIsInvalidAsync),
        new("C35", SecondIsInvalidAsync),
        new("C36", AgreementsAreForgottenAsync),
        new("C37", NothingFollowsInPlainAsync),
        new("C38", OtherHandshakesEndAsync),
        new("C39", NotFixedIsNotServedAsync),
    ];

    private static async Task EverythingElseIsRefusedAsync(WireClient client)
    {
        await client.GreetAsync();
        foreach (uint option in new uint[] { 3, 6, 7, 8, 9, 10, 0x7777_0000 })
        {
            byte[] data = option is 6 or 7 ? NbdTestClient.GoOption("")[16..]
                : option is 9 or 10 ? WireClient.Contexts("base:allocation") : [];
            await client.OptionAsync(option, data);
            (uint type, _) = await client.ReplyAsync(option);
            Deviation.If(type != WireClient.ErrorTlsRequired, $"option {option}: reply {type:x}");
        }
        await EnterAsync(client);
    }

    private static async Task EnterAsync(WireClient client)
    {
        await client.OptionAsync(StartTls);
        await client.ExpectReplyAsync(StartTls, WireClient.Ack);
    }

    private static async Task ExportNameEndsAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(NbdTestClient.OptionExportName);
        byte[] said = await client.ReceiveUntilClosedAsync();
        Deviation.If(said.Length > 0, $"{said.Length} bytes of an answer");
    }

    private static async Task DataIsInvalidAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(StartTls, 1, 2, 3);
        (uint type, _) = await client.ReplyAsync(StartTls);
        Deviation.If(type < WireClient.FirstError, "it is taken");
    }

    private async Task SecondIsInvalidAsync(WireClient client)
    {
        await client.GreetAsync();
        await EnterAsync(client);
        await client.StartTlsAsync(_clientFolder);
        await client.OptionAsync(StartTls);
        await client.ExpectReplyAsync(StartTls, WireClient.ErrorInvalid);
        await client.GoAsync();
        await client.ExpectAliveAsync();
    }

    /// <summary>They could have been somebody else's on the way.</summary>
    private async Task AgreementsAreForgottenAsync(WireClient client)
    {
        await client.GreetAsync();
        await client.OptionAsync(8);
        await client.ReplyAsync(8);
        await EnterAsync(client);
        await client.StartTlsAsync(_clientFolder);
        await client.GoAsync();
        await client.ExpectAliveAsync();
    }

    private static async Task NothingFollowsInPlainAsync(WireClient client)
    {
        await client.GreetAsync();
        byte[] both =
        [
            .. NbdTestClient.Option(StartTls, []), .. NbdTestClient.Option(NbdTestClient.OptionList, []),
        ];
        await client.SendAsync(both);
        await client.ExpectReplyAsync(StartTls, WireClient.Ack);
        byte[] more = await client.ReceiveUntilClosedAsync();
        // A record that says why is allowed (21: an alert); a reply to the option is not.
        Deviation.If(more.Length > 0 && more[0] != 21, "an answer without TLS");
    }

    private static async Task OtherHandshakesEndAsync(WireClient client)
    {
        await client.GreetAsync();
        await EnterAsync(client);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray());
        await client.ReceiveUntilClosedAsync();
    }

    /// <summary>A client that has not agreed to fixed newstyle has no TLS; here, it may as well go.</summary>
    private static async Task NotFixedIsNotServedAsync(WireClient client)
    {
        await client.GreetAsync(0);
        try
        {
            await client.OptionAsync(StartTls);
            (uint type, _) = await client.ReplyAsync(StartTls);
            Deviation.If(type < WireClient.FirstError, "STARTTLS is taken");
        }
        catch (Deviation deviation) when (deviation.Message == WireClient.Closed)
        {
            // Nothing is left that it could be served.
        }
    }
}
