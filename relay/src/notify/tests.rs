//! Who is told, how often, and by whom it is signed.

use relay_proto::reply::Reply;

use super::*;

const CONFIG: &str = r#"
    name = "relay-1"
    operator = "Example Hosting"
    hostname = "relay-1.example.net"
    help_url = "https://abuse.example.net/smtp"
    state_dir = "/nonexistent"
    [message]
    spill_dir = "/nonexistent"
    [[scanner]]
    kind = "builtin"
    [[authorised]]
    listen = ["192.0.2.1:25"]
    from = ["192.0.2.0/24"]
    destination = "so-original-dst"
"#;

fn notifier(more: &str) -> Notifier {
    let config = Config::parse(&format!("{CONFIG}{more}")).unwrap();
    Notifier::new(&config, Arc::new(Metrics::new()))
}

fn queued(sender: &str, customer: &str) -> Queued {
    Queued {
        id: QueueId::from_number(1).unwrap(),
        arrived: UnixMillis(1_795_291_380_000),
        source: Source::Customer {
            address: customer.parse().unwrap(),
            original_dst: None,
            ehlo: None,
            tls: true,
            flag_id: None,
            user: None,
        },
        egress: Egress::Pool,
        mail: Mail::new(sender.parse().unwrap()),
        recipients: vec![Recipient::new("<bob@example.org>".parse().unwrap())],
        trace: String::new(),
        may_notify: true,
        held: None,
    }
}

fn refused() -> Vec<Attempt> {
    let reply = Reply::new(550, "5.1.1", "no such user");
    vec![Attempt {
        recipient: 0,
        outcome: Outcome::Failed(Cause::Reply(reply)),
        remote: None,
    }]
}

fn tell(notifier: &Notifier, queued: &Queued) -> Option<(Queued, Message)> {
    let id = QueueId::from_number(2).unwrap();
    notifier.at_the_end(
        id,
        queued,
        &refused(),
        &Head::new(),
        UnixMillis(1_795_291_390_000),
    )
}

#[tokio::test]
async fn a_notification_is_a_message_to_the_sender_from_nobody() {
    let notifier = notifier("");
    let about = queued("<alice@customer.example>", "192.0.2.10");
    assert!(notifier.would(&about, &refused()));
    let (notification, content) = tell(&notifier, &about).unwrap();
    assert_eq!(notification.source, Source::Relay);
    assert_eq!(notification.mail, Mail::new("<>".parse().unwrap()));
    let to: Vec<String> = notification
        .recipients
        .iter()
        .map(|it| it.forward_path.to_string())
        .collect();
    assert_eq!(to, ["<alice@customer.example>"]);
    assert_eq!(notifier.metrics.value(Counter::Notified), 1);
    let content = content.read_whole().await.unwrap();
    let content = String::from_utf8(content.to_vec()).unwrap();
    assert!(
        content.starts_with("Date: Sat, 21 Nov 2026 20:03:10 +0000\r\nFrom: "),
        "{content}"
    );
    assert!(
        content.contains("<mailer-daemon@relay-1.example.net>"),
        "{content}"
    );
    // About itself it makes none.
    assert!(!notifier.would(&notification, &refused()));
    assert!(tell(&notifier, &notification).is_none());
    let internationalised = queued("<grün@customer.example>", "192.0.2.10");
    let (notification, _) = tell(&notifier, &internationalised).unwrap();
    assert!(notification.mail.smtputf8);
    assert_eq!(notification.mail.body, Some(BodyType::EightBitMime));
}

#[test]
fn nobody_is_flooded() {
    let notifier =
        notifier("[notifications]\nper_domain_per_hour = 2\nper_customer_per_hour = 3\n");
    let told = |sender: &str, customer: &str| tell(&notifier, &queued(sender, customer)).is_some();
    // Two to a domain, whoever sends; three of a customer, whatever the domain.
    assert!(told("<a@one.example>", "192.0.2.10"));
    assert!(told("<b@ONE.example>", "192.0.2.11"));
    assert!(!told("<c@one.example>", "192.0.2.12"));
    assert!(told("<a@two.example>", "192.0.2.10"));
    assert!(told("<a@three.example>", "192.0.2.10"));
    assert!(!told("<a@four.example>", "192.0.2.10"));
    assert!(told("<a@four.example>", "192.0.2.13"));
    assert_eq!(notifier.metrics.value(Counter::NotificationsLimited), 2);
    // Customers of IPv6 are counted by the /64.
    for (host, expected) in [
        ("::10", true),
        ("::11", true),
        ("::12", true),
        ("::13", false),
    ] {
        let sender = format!("<a@six{}.example>", host.trim_start_matches(':'));
        assert_eq!(
            told(&sender, &format!("2001:db8:a:a{host}")),
            expected,
            "{host}"
        );
    }
}

#[test]
fn who_is_not_vouched_for_is_an_event() {
    let notifier = notifier("");
    let mut about = queued("<victim@elsewhere.example>", "192.0.2.10");
    about.may_notify = false;
    assert!(notifier.would(&about, &refused()), "it has to be logged");
    assert!(tell(&notifier, &about).is_none());
    assert_eq!(notifier.metrics.value(Counter::NotVouched), 1);
    assert_eq!(notifier.metrics.value(Counter::Notified), 0);
    assert_eq!(outcomes(&about, &refused()), "example.org 5.1.1");
    let many: Vec<Attempt> = std::iter::repeat_n(refused(), 25).flatten().collect();
    assert!(outcomes(&about, &many).ends_with("example.org 5.1.1, and 5 more"));
}

#[test]
fn warnings_are_sent_if_the_configuration_wants_them() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert!(!notifier("").warning_is_due(hours(3), hours(5)));
    let notifier = notifier("[notifications]\ndelay_after = \"4h\"\n");
    assert!(notifier.warning_is_due(hours(3), hours(5)));
    assert!(!notifier.warning_is_due(hours(5), hours(9)));
    let about = queued("<alice@customer.example>", "192.0.2.10");
    let deferred = vec![Attempt {
        recipient: 0,
        outcome: Outcome::Deferred(Cause::Local {
            status: "4.4.1",
            text: "timed out".into(),
        }),
        remote: None,
    }];
    let (id, now) = (
        QueueId::from_number(2).unwrap(),
        UnixMillis(1_795_311_380_000),
    );
    let until = UnixMillis(1_795_691_380_000);
    assert!(
        notifier
            .of_delay(id, &about, &deferred, until, &Head::new(), now)
            .is_some()
    );
    assert!(
        notifier
            .of_delay(id, &about, &refused(), until, &Head::new(), now)
            .is_none()
    );
}

#[tokio::test]
async fn the_head_is_all_that_is_read() {
    let mut content = b"Subject: x\r\n\r\n".to_vec();
    content.resize(1 << 20, b'x');
    let head = head(&Message::from(Bytes::from(content))).await.unwrap();
    let mut expected = Head::new();
    expected.push(b"Subject: x\r\n\r\nxxxx");
    assert_eq!(format!("{head:?}"), format!("{expected:?}"));
}
