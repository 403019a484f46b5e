//! What the client's side asks about notifications (RFC 3461).

use crate::client_player::play;

#[test]
fn notifications_are_asked_for_only_where_that_is_offered() {
    let mail = ">: mail <a@b> full envid\n";
    let rcpt = ">: rcpt <c@d> notify=FAILURE,SUCCESS orcpt=utf-8;ä@f\n";
    play(&format!(
        r"S: 220 mx.example
          C: EHLO relay.example
          S: 250-mx.example
          S: 250-CHUNKING
          S: 250 DSN
          E: ready chunking dsn
          {mail}
          C: MAIL FROM:<a@b> RET=FULL ENVID=id+3D7
          S: 250 ok
          E: Mail 250 ok
          >: rcpt <c@d> notify=FAILURE,SUCCESS orcpt=rfc822;e@f
          C: RCPT TO:<c@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;e@f
          S: 250 ok
          E: Rcpt 250 ok
          {rcpt}
          E: Rcpt 550 5.6.7 the destination does not take SMTPUTF8
          "
    ));
    play(&format!(
        r"S: 220 mx.example
              C: EHLO relay.example
              S: 250 mx.example
              E: ready
              {mail}
              C: MAIL FROM:<a@b>
              S: 250 ok
              E: Mail 250 ok
              {rcpt}
              C: RCPT TO:<c@d>
              S: 250 ok
              E: Rcpt 250 ok
              "
    ));
}
