//! What the client's side says of REQUIRETLS (RFC 8689), and reads of LIMITS (RFC 9422).

use relay_proto::client::{Config, Mail, Recipient, Session, Timeouts};
use relay_proto::envelope::TlsTag;

use crate::client_player::play;

/// A session under TLS whose server then offers this.
fn under_tls(offers: &str, rest: &str) -> String {
    format!(
        r"S: 220 mx.example
          C: EHLO relay.example
          S: 250-mx.example
          S: 250-REQUIRETLS
          S: 250 STARTTLS
          C: STARTTLS
          S: 220 go
          T:
          C: EHLO relay.example
          {offers}
          {rest}"
    )
}

#[test]
fn requiretls_is_said_where_it_is_offered_under_tls() {
    play(&under_tls(
        r"S: 250-mx.example
          S: 250-LIMITS MAILMAX=5 RCPTMAX=2 X=1
          S: 250 REQUIRETLS
          E: ready requiretls MAILMAX=5 RCPTMAX=2",
        r">: mail <a@b> requiretls
          C: MAIL FROM:<a@b> REQUIRETLS
          S: 250 ok
          E: Mail 250 ok
          >: rset
          C: RSET
          S: 250 ok
          E: Rset 250 ok
          >: mail <> requiretls
          C: MAIL FROM:<> REQUIRETLS
          S: 250 ok
          E: Mail 250 ok",
    ));
}

#[test]
fn nothing_is_sent_of_a_mail_that_insists_on_it_elsewhere() {
    // A notification is not lost for want of it.
    let asked_and_refused = r">: mail <a@b> requiretls
          E: Mail 550 5.7.30 the destination does not take REQUIRETLS
          >: mail <> requiretls
          C: MAIL FROM:<>
          S: 250 ok
          E: Mail 250 ok";
    play(&under_tls("S: 250 mx.example\nE: ready", asked_and_refused));
    // In clear text the offer means nothing.
    play(&format!(
        r"S: 220 mx.example
          C: EHLO relay.example
          S: 250-mx.example
          S: 250 REQUIRETLS
          E: ready
          {asked_and_refused}"
    ));
}

#[test]
fn an_envelope_that_insists_on_it_is_not_said_in_one_go_elsewhere() {
    let config = Config {
        ehlo_name: "relay.example".into(),
        timeouts: Timeouts::default(),
    };
    let mut session = Session::new(config, core::time::Duration::ZERO);
    let greeting = b"220 mx\r\n250-mx\r\n250-REQUIRETLS\r\n250 PIPELINING\r\n";
    session.receive(core::time::Duration::ZERO, greeting);
    let recipient = Recipient::new("<c@d>".parse().unwrap());
    for (path, tls, can) in [
        ("<a@b>", TlsTag::None, true),
        ("<a@b>", TlsTag::Optional, true),
        ("<a@b>", TlsTag::Required, false),
        ("<>", TlsTag::Required, true),
    ] {
        let mail = Mail {
            tls,
            ..Mail::new(path.parse().unwrap())
        };
        assert_eq!(session.can_pipeline(&mail, &[&recipient]), can, "{mail:?}");
    }
}
