//! Signatures over customers' mail, in the operator's name and beside the customers' own.
//!
//! They cover the whole of a message, and of our trace fields the token, which leads from a complaint to the customer: who
//! answers for the relay gets complaints by its domain and can believe what they quote. The content is read once, in
//! blocks; only the header is held in memory, and a header that is too long to be is not signed.
//!
//! # Diagnostics
//! Returned: [`Unsigned`]. It is no reason to keep a message back.

use std::io;

use mail_auth::common::headers::HeaderWriter;
use memchr::memmem;
use tokio::task::yield_now;

use super::Signer;
use crate::message::Message;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsigned {
    /// The content cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Its header is longer than anybody's whom one would answer for.
    #[error("its header has more than {HEADER_OCTETS_MAX} octets")]
    HeaderTooLong,
    /// It has so many fields that the signature would be longer than what it names.
    #[error("its signature would have more than {FIELDS_OCTETS_MAX} octets")]
    TooManyFields,
    /// The library cannot.
    #[error("{0}")]
    Library(#[from] mail_auth::Error),
}

impl Signer {
    /// The fields that go on top of `trace`, which goes on top of `content`: whole lines, and none without a key for
    /// customers' mail.
    pub(crate) async fn sign_customers(
        &self,
        trace: &str,
        content: &Message,
    ) -> Result<String, Unsigned> {
        if self.customers.is_empty() {
            return Ok(String::new());
        }
        let keys = self.customers.iter();
        let mut signatures: Vec<_> = keys.map(|key| key.signer.sign_streaming()).collect();
        let mut header = trace.as_bytes().to_vec();
        let mut in_body = false;
        let mut reader = content.reader();
        while let Some(block) = reader.next().await? {
            if in_body {
                for signature in &mut signatures {
                    signature.write(&block);
                }
            } else {
                let unseen = header.len().saturating_sub(EMPTY_LINE.len() - 1);
                header.extend_from_slice(&block);
                in_body =
                    memmem::find(header.get(unseen..).unwrap_or_default(), EMPTY_LINE).is_some();
                if in_body {
                    for signature in &mut signatures {
                        signature.write(&header);
                    }
                    header = Vec::new();
                } else if header.len() > HEADER_OCTETS_MAX {
                    return Err(Unsigned::HeaderTooLong);
                }
            }
            // What lies in memory is read without waiting, and others want this thread, too.
            yield_now().await;
        }
        let mut fields = Vec::new();
        for mut signature in signatures {
            signature.write(&header);
            signature.finish()?.write_header(&mut fields);
        }
        if fields.len() > FIELDS_OCTETS_MAX {
            return Err(Unsigned::TooManyFields);
        }
        String::from_utf8(fields).map_err(|error| io::Error::other(error).into())
    }
}

/// Not `Received` and the like, which change on the way (RFC 6376 section 5.4.1).
pub(super) const SIGNED: &[&str] = &[
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// Ours. Another relay of this kind adds its own.
pub(super) const TRACE: &[&str] = &["X-Outgate-Token", "X-Outgate-Id"];
const EMPTY_LINE: &[u8] = b"\r\n\r\n";
/// Some software writes a thousand recipients into To.
const HEADER_OCTETS_MAX: usize = 256 << 10;
/// Each name that is signed stands in it as often as there are fields of it.
const FIELDS_OCTETS_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use data_encoding::BASE64;

    use super::*;
    use crate::config::{DkimKey, DkimSigns};

    fn signer(directory: &tempfile::TempDir) -> Signer {
        let file = directory.path().join("key.pem");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        let key = DkimKey {
            domain: "operator.example".into(),
            selector: "s".into(),
            key: file,
            signs: DkimSigns::Customers,
        };
        Signer::open(&[key]).unwrap()
    }

    const TRACE: &str = "Received: by relay; date\r\nX-Outgate-Id: 1\r\n";

    #[tokio::test]
    async fn blocks_end_where_they_like() {
        let directory = tempfile::tempdir().unwrap();
        let signer = signer(&directory);
        let head = "From: a@customer.example\r\nX-Long: ";
        let mut contents = vec![
            // No header at all, no body, neither an end.
            b"\r\nbody\r\n".to_vec(),
            b"From: a@customer.example\r\n".to_vec(),
            Vec::new(),
        ];
        // The empty line around the end of the first block that is read.
        for octets in (64 << 10) - 6..(64 << 10) + 2 {
            let filler = "x".repeat(octets - head.len());
            contents.push(format!("{head}{filler}\r\n\r\nbody \t \r\n\r\n\r\n").into_bytes());
        }
        for content in contents {
            let message = Message::from(Bytes::from(content.clone()));
            let fields = signer.sign_customers(TRACE, &message).await.unwrap();
            let whole = [TRACE.as_bytes(), &content].concat();
            let expected = signer.customers[0].signer.sign(&whole).unwrap();
            let fields: String = fields.chars().filter(|c| !c.is_whitespace()).collect();
            let body = format!("bh={};", BASE64.encode(&expected.bh));
            let names = format!("h={};", expected.h.join(":"));
            assert!(fields.contains(&body), "{body} {fields}");
            assert!(fields.contains(&names), "{names} {fields}");
        }
    }

    #[tokio::test]
    async fn what_would_cost_too_much_is_not_signed() {
        let directory = tempfile::tempdir().unwrap();
        let signer = signer(&directory);
        let sign = async |content: String| {
            let message = Message::from(Bytes::from(content));
            signer.sign_customers(TRACE, &message).await
        };
        let long = format!("From: a@customer.example\r\n{}", "X: y\r\n".repeat(100_000));
        assert!(matches!(sign(long).await, Err(Unsigned::HeaderTooLong)));
        let many = "To: b@example.org\r\n".repeat(10_000);
        assert!(matches!(sign(many).await, Err(Unsigned::TooManyFields)));
        let none = Signer::default();
        let message = Message::from(Bytes::from_static(b"\r\n"));
        assert_eq!(none.sign_customers(TRACE, &message).await.unwrap(), "");
    }
}
