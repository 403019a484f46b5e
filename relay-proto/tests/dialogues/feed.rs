//! A server session fed with octets, before an application that takes everything.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::reply::Reply;
use relay_proto::server::{Action, Answer, Config, Offer, Question, Session};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    pub(crate) said: String,
    pub(crate) messages: Vec<Vec<u8>>,
    /// Transactions that ended without their message.
    pub(crate) aborted: usize,
}

/// Feeds the octets in pieces of `step`, then hangs up.
pub(crate) fn feed(octets: &[u8], step: usize) -> Fed {
    let config = Config::new("relay.example", "Example");
    let mut session = Session::new(Arc::new(config), Duration::ZERO);
    let mut fed = Fed::default();
    let mut body = Vec::new();
    for piece in octets.chunks(step).map(Some).chain([None]) {
        match piece {
            Some(piece) => session.receive(Duration::ZERO, piece),
            None => session.hang_up(),
        }
        while let Some(action) = session.poll() {
            let answer = match action {
                Action::Ask(Question::Hello(_)) => Answer::Offer(Offer {
                    chunking: true,
                    ..Offer::default()
                }),
                Action::Ask(Question::Data) => Answer::Proceed,
                Action::Ask(Question::Message) => {
                    fed.messages.push(std::mem::take(&mut body));
                    Answer::Reply(Reply::new(250, "2.6.0", "the message is here"))
                }
                Action::Ask(_) => Answer::Reply(Reply::new(250, "2.0.0", "ok")),
                Action::Body(piece) => {
                    body.extend_from_slice(&piece);
                    continue;
                }
                Action::Send(octets) => {
                    fed.said += &String::from_utf8_lossy(&octets);
                    continue;
                }
                Action::Aborted(_) => {
                    body.clear();
                    fed.aborted += 1;
                    continue;
                }
                Action::StartTls => unreachable!(),
                Action::Close => continue,
            };
            session.answer(Duration::ZERO, answer);
        }
    }
    fed
}
