//! Submission: who has shown who he is may send, within his limits, and the queue delivers.
//!
//! A user is looked up again at each MAIL: who was disabled meanwhile sends nothing more. What is sent goes the way of
//! all queued mail, scanned, by its recipients' servers. Nothing is added to it or rewritten (RFC 6409 section 8 would
//! allow a missing Date and Message-ID): a client's signature may cover what is not there.
//!
//! # Diagnostics
//! `info` for each attempt to log in. Names are logged of known users alone: others may be passwords.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use contract::{Delivery, Treatment};
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Auth, Claim, Evidence, Offer, Question, UserName};
use tracing::{Span, error, info};

use super::outcome::shutting_down;
use super::queue::Queue;
use crate::Relay;
use crate::admission::Admitted;
use crate::config::Terms;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::{Application, Facts};
use crate::listen::Drain;
use crate::metrics::Counter;
use crate::origin::CustomerAddr;
use crate::snapshot::InForce;
use crate::submission::{Gate, NotNow, User};

/// One session.
pub(crate) struct Submission {
    relay: Arc<Relay>,
    gate: Arc<Gate>,
    address: IpAddr,
    queue: Queue,
    /// As it was when it logged in, or at the last MAIL.
    user: Option<Arc<User>>,
    failures: u32,
    /// Of this transaction.
    recipients: usize,
}

impl Submission {
    /// Nothing has been said yet. `None` without a spool, which the configuration does not allow.
    pub(crate) fn new(
        relay: Arc<Relay>,
        gate: Arc<Gate>,
        peer: SocketAddr,
        drain: Drain,
    ) -> Option<Self> {
        let Some(queueing) = relay.queueing.clone() else {
            error!("there is submission and no spool");
            return None;
        };
        let admitted = Admitted {
            customer: CustomerAddr::new(peer.ip()),
            policy: None,
            terms: Some(Arc::new(Terms {
                treatment: Treatment::Filter,
                delivery: Delivery::Queue,
                reason: None,
            })),
        };
        Some(Self {
            queue: Queue::new(Arc::clone(&relay), queueing, admitted, None, drain),
            relay,
            gate,
            address: peer.ip(),
            user: None,
            failures: 0,
            recipients: 0,
        })
    }

    /// The client has gone.
    pub(crate) async fn end(self) {
        self.queue.end().await;
    }

    fn offer(&self) -> Answer {
        match self.queue.draining() {
            Some(last_word) => last_word,
            None => Answer::Offer(Offer {
                auth: true,
                ..self.queue.offer()
            }),
        }
    }

    async fn auth(&mut self, question: Auth, facts: &Facts) -> Answer {
        match question {
            Auth::NotOffered(_) => Answer::Reply(not_offered(facts)),
            Auth::Keys(name) => self.keys(&name),
            Auth::Claim(claim) => self.claim(claim).await,
        }
    }

    fn keys(&self, name: &UserName) -> Answer {
        let Some(snapshot) = self.snapshot() else {
            return shutting_down(&self.relay);
        };
        match self.gate.keys(snapshot.users(), self.address, name) {
            Ok(keys) => Answer::Keys {
                keys,
                nonce: nonce(),
            },
            Err(not_now) => self.not_now(not_now),
        }
    }

    async fn claim(&mut self, claim: Claim) -> Answer {
        let Some(snapshot) = self.snapshot() else {
            return shutting_down(&self.relay);
        };
        let by = match claim.evidence {
            Evidence::Password(_) => "password",
            Evidence::Proven | Evidence::Disproven => "proof",
        };
        let known = snapshot.users().find(&claim.user).cloned();
        let judged = self.gate.judge(snapshot.users(), self.address, claim).await;
        match judged {
            Ok(Some(user)) => {
                self.relay.metrics().count(Counter::Authenticated);
                Span::current().record("user", &*user.name);
                info!(by, "logged in");
                self.queue.submits_as(Arc::clone(&user.name));
                self.user = Some(user);
                Answer::Reply(Reply::new(235, "2.7.0", "welcome"))
            }
            Ok(None) => {
                self.relay.metrics().count(Counter::NotAuthenticated);
                self.failures += 1;
                let known = known.as_ref().map(|user| &*user.name);
                info!(by, known, failures = self.failures, "not logged in");
                let refusal = Reply::new(535, "5.7.8", "user name or password is wrong");
                if self.failures < FAILURES_MAX {
                    Answer::Reply(refusal)
                } else {
                    Answer::ReplyAndClose(refusal)
                }
            }
            Err(not_now) => self.not_now(not_now),
        }
    }

    fn not_now(&self, not_now: NotNow) -> Answer {
        self.relay.metrics().count(Counter::AuthLimited);
        info!(?not_now, "not heard");
        match not_now {
            NotNow::Address => {
                let text = "too many wrong passwords from your address, try again in an hour";
                Answer::ReplyAndClose(Reply::new(421, "4.7.0", text))
            }
            NotNow::User => {
                let text = "too many wrong passwords for this user, try again in an hour";
                Answer::Reply(Reply::new(454, "4.7.0", text))
            }
            NotNow::Busy => {
                let text = "too many log in at once, try again in a minute";
                Answer::Reply(Reply::new(454, "4.7.0", text))
            }
        }
    }

    fn mail(&mut self, mail: &Mail, facts: &Facts) -> Result<(), Answer> {
        self.recipients = 0;
        let Some(user) = &self.user else {
            let text = if facts.tls {
                "log in first (AUTH)"
            } else {
                "say STARTTLS and log in first (AUTH)"
            };
            return Err(Answer::Reply(Reply::new(530, "5.7.0", text)));
        };
        // What is known of it now counts, not what was known when it came.
        let newest = self.snapshot();
        let user = newest.and_then(|newest| newest.users().named(&user.name).cloned());
        let Some(user) = user else {
            info!("the user is no more, and the session ends");
            let hostname = &self.relay.config.identity.hostname;
            let text = format!("{hostname} does not know you any more, log in again");
            return Err(Answer::ReplyAndClose(Reply::new(421, "4.7.0", &text)));
        };
        let refused = self.refusal(&user, mail);
        self.user = Some(user);
        refused.map_or(Ok(()), |reply| Err(Answer::Reply(reply)))
    }

    fn refusal(&self, user: &User, mail: &Mail) -> Option<Reply> {
        if let Some(permitted) = user.forbids(&mail.reverse_path) {
            self.relay.metrics().count(Counter::SenderForbidden);
            let text = format!("you may not send as this address, but as one of {permitted}");
            return Some(Reply::new(550, "5.7.1", &text));
        }
        (!self.gate.may_send(user)).then(|| self.enough(user))
    }

    fn enough(&self, user: &User) -> Reply {
        self.relay.metrics().count(Counter::SubmissionLimited);
        let limit = user.messages_per_hour;
        info!(%limit, "the user's messages of this hour are sent");
        let text = format!("your limit is {limit} messages an hour, try again later");
        Reply::new(450, "4.7.1", &text)
    }

    fn recipient(&mut self) -> Result<(), Answer> {
        let limit = self
            .user
            .as_ref()
            .map_or(0, |user| user.recipients_per_message);
        if self.recipients < limit {
            return Ok(());
        }
        let text = format!(
            "your limit is {limit} recipients a message, send to the others in another one"
        );
        Err(Answer::Reply(Reply::new(452, "4.5.3", &text)))
    }

    /// A message is about to come.
    fn data(&self) -> Result<(), Answer> {
        match &self.user {
            // Another session of the same user may have sent meanwhile.
            Some(user) if !self.gate.sends(user) => Err(Answer::Reply(self.enough(user))),
            Some(_) => Ok(()),
            None => Err(Answer::Reply(Reply::new(530, "5.7.0", "log in first"))),
        }
    }

    fn snapshot(&self) -> Option<Arc<InForce>> {
        self.relay.newest.borrow().clone()
    }
}

impl Application for Submission {
    async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        let asked = match &question {
            Question::Hello(_) => return self.offer(),
            Question::Mail(mail) => self.mail(mail, &facts),
            Question::Recipient(_) => self.recipient(),
            Question::Data => self.data(),
            Question::Message | Question::Auth(_) => Ok(()),
        };
        if let Err(answer) = asked {
            return answer;
        }
        let is_recipient = matches!(question, Question::Recipient(Recipient { .. }));
        let answer = match question {
            Question::Auth(auth) => self.auth(auth, &facts).await,
            other => self.queue.answer(other, facts).await,
        };
        if let Answer::Reply(reply) = &answer
            && is_recipient
        {
            self.recipients += usize::from(reply.code().is_positive());
        }
        answer
    }

    async fn body(&mut self, octets: Bytes) {
        self.queue.body(octets).await;
    }

    async fn aborted(&mut self, abort: Abort) {
        self.queue.aborted(abort);
    }

    fn awaits_hearing(&self) -> bool {
        self.queue.awaits_hearing()
    }

    fn heard(&mut self, hearing: Hearing) {
        self.queue.heard(hearing);
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("user", &self.user)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// AUTH where it is not offered: in clear text, or after HELO.
fn not_offered(facts: &Facts) -> Reply {
    if facts.tls {
        return Reply::new(503, "5.5.1", "say EHLO first");
    }
    let text = "say STARTTLS first; a password that was sent in clear text is to be changed";
    Reply::new(538, "5.7.11", text)
}

/// 144 bits in the letters of base64, which has no comma.
fn nonce() -> String {
    let mut octets = [0; 18];
    aws_lc_rs::rand::fill(&mut octets).expect("the kernel has randomness");
    data_encoding::BASE64.encode(&octets)
}

/// Of one session. People mistype; programs that guess do so for longer.
const FAILURES_MAX: u32 = 3;
