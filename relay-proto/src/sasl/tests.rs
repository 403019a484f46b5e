use super::*;

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn claim(name: &str, evidence: Evidence) -> Step {
    Step::Claim(Claim {
        user: user(name),
        evidence,
    })
}

fn base64<const N: usize>(text: &str) -> [u8; N] {
    let octets = data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    octets.try_into().unwrap()
}

/// Of `pencil`, as in RFC 7677 section 3.
fn keys() -> Keys {
    Keys {
        salt: base64::<16>("W22ZaJ0SNY7soEsUEjb6gQ==").to_vec(),
        iterations: 4096,
        stored_key: base64("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="),
        server_key: base64("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
    }
}

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// An exchange that waits for the client's last message.
fn asked(first: &str) -> Exchange {
    let mut exchange = Exchange::new(Mechanism::ScramSha256);
    assert!(matches!(exchange.respond(first.as_bytes()), Step::Keys(_)));
    let challenge = exchange.keys(keys(), SERVER_NONCE);
    assert_eq!(challenge, Step::Challenge(SERVER_FIRST.into()));
    exchange
}

#[test]
fn a_mechanism_has_one_name() {
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
    }
    for unknown in ["CRAM-MD5", "plain", "SCRAM-SHA-256-PLUS", ""] {
        assert_eq!(Mechanism::from_name(unknown), None);
    }
}

#[test]
fn plain_is_one_message() {
    for (response, expected) in [
        (
            "\0ann\0a b",
            claim("ann", Evidence::Password(password("a b"))),
        ),
        (
            "ann\0ann\0ü",
            claim("ann", Evidence::Password(password("ü"))),
        ),
        ("bob\0ann\0x", Step::Refused(ACTS_AS)),
    ] {
        let mut exchange = Exchange::new(Mechanism::Plain);
        assert_eq!(exchange.opening(), "");
        assert_eq!(exchange.respond(response.as_bytes()), expected);
    }
    let long = format!("\0ann\0{}", "x".repeat(1025));
    for malformed in [
        "",
        "ann",
        "\0ann",
        "\0\0x",
        "\0ann\0",
        "\0a\0b\0c",
        "\0a\nb\0x",
        &long,
    ] {
        let step = Exchange::new(Mechanism::Plain).respond(malformed.as_bytes());
        assert!(matches!(step, Step::Malformed(_)), "{malformed:?}");
    }
    let step = Exchange::new(Mechanism::Plain).respond(b"\0ann\0\xff");
    assert!(matches!(step, Step::Malformed(_)));
}

#[test]
fn login_asks_twice() {
    let mut exchange = Exchange::new(Mechanism::Login);
    assert_eq!(exchange.opening(), "Username:");
    let step = exchange.respond(b"ann");
    assert_eq!(step, Step::Challenge(b"Password:".to_vec()));
    let expected = claim("ann", Evidence::Password(password("secret")));
    assert_eq!(exchange.respond(b"secret"), expected);
    assert!(matches!(exchange.respond(b"x"), Step::Malformed(_)));
    let step = Exchange::new(Mechanism::Login).respond(b"");
    assert!(matches!(step, Step::Malformed(_)));
}

#[test]
fn scram_is_as_in_the_example_of_the_rfc() {
    let mut exchange = Exchange::new(Mechanism::ScramSha256);
    assert_eq!(exchange.opening(), "");
    let first = format!("n,,n=user,r={CLIENT_NONCE}");
    assert_eq!(exchange.respond(first.as_bytes()), Step::Keys(user("user")));
    assert_eq!(
        exchange.keys(keys(), SERVER_NONCE),
        Step::Challenge(SERVER_FIRST.into())
    );
    assert_eq!(
        exchange.respond(CLIENT_FINAL.as_bytes()),
        Step::Challenge(SERVER_FINAL.into())
    );
    assert_eq!(exchange.respond(b""), claim("user", Evidence::Proven));
}

#[test]
fn a_proof_of_another_password_proves_nothing() {
    let first = format!("n,,n=user,r={CLIENT_NONCE}");
    let mut exchange = asked(&first);
    let wrong = CLIENT_FINAL.replace("p=dH", "p=eH");
    let step = exchange.respond(wrong.as_bytes());
    assert_eq!(step, claim("user", Evidence::Disproven));
    // Nor do keys that nothing was made of.
    let mut exchange = Exchange::new(Mechanism::ScramSha256);
    exchange.respond(first.as_bytes());
    let decoy = Keys {
        stored_key: [0; 32],
        ..keys()
    };
    exchange.keys(decoy, SERVER_NONCE);
    let step = exchange.respond(CLIENT_FINAL.as_bytes());
    assert_eq!(step, claim("user", Evidence::Disproven));
}

#[test]
fn scram_takes_no_message_of_another_exchange() {
    let first = format!("n,,n=user,r={CLIENT_NONCE}");
    let shortened = CLIENT_FINAL.replace("k0,p=", "k,p=");
    for wrong in [
        // It said n before, and now y.
        CLIENT_FINAL.replace("biws", "eSws"),
        shortened,
        CLIENT_FINAL.replace(",p=dHzb", ",p="),
        CLIENT_FINAL.replace(",p=", ",q="),
        CLIENT_FINAL.replace("c=biws,", ""),
        String::new(),
        "e=other-error".into(),
    ] {
        let step = asked(&first).respond(wrong.as_bytes());
        assert!(matches!(step, Step::Malformed(_)), "{wrong}: {step:?}");
    }
    let mut exchange = asked(&first);
    exchange.respond(CLIENT_FINAL.as_bytes());
    assert!(matches!(exchange.respond(b"x"), Step::Malformed(_)));
    let step = Exchange::new(Mechanism::ScramSha256).keys(keys(), SERVER_NONCE);
    assert!(matches!(step, Step::Malformed(_)));
}

#[test]
fn scram_reads_names_and_refuses_what_it_does_not_have() {
    let cases = [
        ("y,,n=a=2Cb=3Dc,r=x", Step::Keys(user("a,b=c"))),
        ("n,a=ann,n=ann,r=x", Step::Keys(user("ann"))),
        ("n,,n=ü,r=x,later=1", Step::Keys(user("ü"))),
        ("n,a=bob,n=ann,r=x", Step::Refused(ACTS_AS)),
        (
            "p=tls-exporter,,n=ann,r=x",
            Step::Refused("channel binding is not offered"),
        ),
    ];
    for (first, expected) in cases {
        let step = Exchange::new(Mechanism::ScramSha256).respond(first.as_bytes());
        assert_eq!(step, expected, "{first}");
    }
    for malformed in [
        "",
        "n",
        "n,",
        "n,,",
        "x,,n=ann,r=x",
        "n,,n=ann",
        "n,,n=ann,r=",
        "n,,n=ann,r=a b",
        "n,,n=,r=x",
        "n,,n=a=b,r=x",
        "n,,n=a=2c,r=x",
        "n,,r=x,n=ann",
        "n,,m=1,n=ann,r=x",
    ] {
        let step = Exchange::new(Mechanism::ScramSha256).respond(malformed.as_bytes());
        assert!(matches!(step, Step::Malformed(_)), "{malformed}: {step:?}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let claim = Claim {
        user: user("hunter2"),
        evidence: Evidence::Password(password("hunter2")),
    };
    let mut exchange = Exchange::new(Mechanism::ScramSha256);
    exchange.respond(b"n,,n=hunter2,r=hunter2");
    let first = format!("{exchange:?}");
    exchange.keys(keys(), SERVER_NONCE);
    let mut login = Exchange::new(Mechanism::Login);
    login.respond(b"hunter2");
    let shown = format!("{claim:?} {first} {exchange:?} {login:?} {:?}", keys());
    assert!(
        !shown.contains("hunter2") && !shown.contains("88"),
        "{shown}"
    );
    assert_eq!(password("a"), password("a"));
    assert_ne!(password("a"), password("ab"));
    assert_ne!(password("a"), password("b"));
}
