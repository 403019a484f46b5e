//! Lines and the commands, or the errors, that they are.

use super::*;
use crate::envelope::Ret;

fn path<P: FromStr<Err = AddressError>>(text: &str) -> P {
    text.parse().unwrap()
}

fn mail_from(text: &str) -> Mail {
    Mail::new(path(text))
}

#[test]
fn commands_are_read_in_any_case_and_with_trailing_space() {
    let name = |text| EhloName::new(text).unwrap();
    let cases = [
        ("EHLO host.example", Command::Ehlo(name("host.example"))),
        ("ehlo [192.0.2.1] \t", Command::Ehlo(name("[192.0.2.1]"))),
        ("HeLo  host_1", Command::Helo(name("host_1"))),
        ("MAIL FROM:<>", Command::Mail(mail_from("<>"))),
        ("mail from: <a@b>  ", Command::Mail(mail_from("<a@b>"))),
        (
            "MAIL FROM:<a@b> SIZE=10 body=8bitmime SMTPUTF8",
            Command::Mail(Mail {
                size: Some(10),
                body: Some(BodyType::EightBitMime),
                smtputf8: true,
                ..mail_from("<a@b>")
            }),
        ),
        (
            "MAIL FROM:<a@b> SIZE=99999999999999999999 BODY=7BIT",
            Command::Mail(Mail {
                size: Some(u64::MAX),
                body: Some(BodyType::SevenBit),
                ..mail_from("<a@b>")
            }),
        ),
        (
            "RCPT TO:<\"a b> c\"@d>",
            Command::Rcpt(Recipient::new(path("<\"a b> c\"@d>"))),
        ),
        (
            "MAIL FROM:<a@b> ret=full ENVID=a+2Bb",
            Command::Mail(Mail {
                ret: Some(Ret::Full),
                envelope_id: "a+2Bb".parse().ok(),
                ..mail_from("<a@b>")
            }),
        ),
        (
            "MAIL FROM:<a@b> requiretls SIZE=1",
            Command::Mail(Mail {
                size: Some(1),
                tls: TlsTag::Required,
                ..mail_from("<a@b>")
            }),
        ),
        (
            "RCPT TO:<a@b> notify=failure,delay ORCPT=rfc822;c@d",
            Command::Rcpt(Recipient {
                notify: "FAILURE,DELAY".parse().ok(),
                original: "rfc822;c@d".parse().ok(),
                ..Recipient::new(path("<a@b>"))
            }),
        ),
        ("DATA", Command::Data),
        ("data ", Command::Data),
        ("RSET", Command::Rset),
        ("NOOP whatever", Command::Noop),
        ("VRFY someone", Command::Vrfy),
        ("HELP MAIL", Command::Help),
        ("QUIT", Command::Quit),
        ("STARTTLS", Command::StartTls),
        (
            "BDAT 10",
            Command::Bdat {
                octets: 10,
                last: false,
            },
        ),
        (
            "bdat 0  last ",
            Command::Bdat {
                octets: 0,
                last: true,
            },
        ),
        (
            "AUTH PLAIN AGEAYg==",
            Command::Auth(Mechanism::named("PLAIN")),
        ),
        ("auth login", Command::Auth(Mechanism::named("LOGIN"))),
        ("AUTH AGEAYg==", Command::Auth(Mechanism::UNREGISTERED)),
        ("GET / HTTP/1.1", Command::Foreign),
    ];
    for (line, command) in cases {
        assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
    }
}

#[test]
fn what_is_no_command_says_which_rule_it_broke() {
    let argument = CommandError::Argument;
    let parameter = |keyword: &str| CommandError::Parameter(keyword.to_owned());
    let cases: [(&[u8], CommandError); 47] = [
        (b"", CommandError::Unknown),
        (b" EHLO x", CommandError::Unknown),
        (b"HELLO", CommandError::Unknown),
        (b"MAILFROM:<a@b>", CommandError::Unknown),
        (b"NOOP\x1b[2J", CommandError::NotText),
        (b"NO\tOP", CommandError::NotText),
        (b"NOOP \xff", CommandError::NotText),
        (
            b"EHLO",
            argument("EHLO and HELO need one domain name or address literal"),
        ),
        (
            b"EHLO a b",
            argument("EHLO and HELO need one domain name or address literal"),
        ),
        (b"DATA x", argument("the command takes no argument")),
        (b"STARTTLS now", argument("the command takes no argument")),
        (b"BDAT", CommandError::Chunk),
        (b"BDAT LAST", CommandError::Chunk),
        (b"BDAT -1", CommandError::Chunk),
        (b"BDAT +1", CommandError::Chunk),
        (b"BDAT 1 MORE", CommandError::Chunk),
        (b"BDAT 1 LAST x", CommandError::Chunk),
        (b"BDAT 99999999999999999999", CommandError::Chunk),
        (b"AUTH ", argument("AUTH needs a mechanism")),
        (b"VRFY", argument("VRFY needs an argument")),
        (b"MAIL", argument("MAIL needs FROM:<address>")),
        (b"MAIL TO:<a@b>", argument("MAIL needs FROM:<address>")),
        (b"RCPT FROM:<a@b>", argument("RCPT needs TO:<address>")),
        (
            b"MAIL FROM:a@b",
            CommandError::ReversePath(AddressError::Brackets),
        ),
        (
            b"MAIL FROM:<a@b>SIZE=1",
            CommandError::ReversePath(AddressError::Brackets),
        ),
        (
            b"RCPT TO:<>",
            CommandError::ForwardPath(AddressError::Empty),
        ),
        (
            b"MAIL FROM:<a@b> SIZE=",
            argument("SIZE must be a number of octets"),
        ),
        (
            b"MAIL FROM:<a@b> SIZE=-1",
            argument("SIZE must be a number of octets"),
        ),
        (b"MAIL FROM:<a@b> SIZE", argument(NO_VALUE)),
        (b"MAIL FROM:<a@b> RET", argument(NO_VALUE)),
        (b"MAIL FROM:<a@b> RET=ALL", argument(RET)),
        (b"MAIL FROM:<a@b> ENVID=+0D", argument(ENVID)),
        (b"RCPT TO:<a@b> NOTIFY", argument(NO_VALUE)),
        (b"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", argument(NOTIFY)),
        (b"RCPT TO:<a@b> ORCPT=c@d", argument(ORCPT)),
        (
            b"RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER",
            argument("a parameter is given twice"),
        ),
        (
            b"MAIL FROM:<a@b> BODY=BINARYMIME",
            argument("BODY must be 7BIT or 8BITMIME"),
        ),
        (
            b"MAIL FROM:<a@b> SMTPUTF8=1",
            argument("SMTPUTF8 takes no value"),
        ),
        (
            b"MAIL FROM:<a@b> SIZE=1 SIZE=1",
            argument("a parameter is given twice"),
        ),
        (
            b"MAIL FROM:<a@b> REQUIRETLS=YES",
            argument("REQUIRETLS takes no value"),
        ),
        (
            b"MAIL FROM:<a@b> REQUIRETLS requiretls",
            argument("a parameter is given twice"),
        ),
        (b"MAIL FROM:<a@b> AUTH=a b", parameter("b")),
        (b"MAIL FROM:<a@b> AUTH=a+2", argument(SUBMITTER)),
        (b"MAIL FROM:<a@b> AUTH=", argument(SUBMITTER)),
        (b"MAIL FROM:<a@b> AUTH", argument(NO_VALUE)),
        (
            b"MAIL FROM:<a@b> AUTH=<> AUTH=<>",
            argument("a parameter is given twice"),
        ),
        (b"RCPT TO:<a@b> SIZE=1", parameter("SIZE")),
    ];
    for (line, error) in cases {
        let shown = String::from_utf8_lossy(line);
        assert_eq!(Command::parse(line), Err(error), "{shown}");
    }
}

#[test]
fn nothing_that_may_be_a_password_is_kept_of_auth() {
    for line in [
        &b"AUTH PLAIN hunter2"[..],
        b"AUTH hunter2",
        b"AUTH  LOGIN hunter2 hunter2",
        b"AUTH\thunter2",
        b"AUTH PLAIN hunter2\x07",
        b"AUTH PLAIN hunter2\xff",
        b"AUTHhunter2",
        b"hunter2",
    ] {
        let read = Command::parse(line);
        let error = read.as_ref().err().map(ToString::to_string);
        let shown = format!("{read:?} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
