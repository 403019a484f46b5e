//! What the text of a message is like.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use mail_parser::decoders::html::html_to_text;
use relay_proto::behaviour::simhash::Simhash;
use tokio::task::spawn_blocking;

use crate::message::Message;
use crate::scan::mime::{Bounded, Limits, Part};

/// What the decoded text of `content` is like; `None` if it has too little. Of a long one only the beginning counts.
pub(crate) async fn simhash(content: &Message) -> io::Result<Option<u64>> {
    let octets = content.beginning(OCTETS_MAX).await?;
    // Decoding is work for the processor, not for the threads that serve sockets.
    Ok(spawn_blocking(move || of(octets)).await?)
}

fn of(octets: Bytes) -> Option<u64> {
    let message = Bounded::parse(octets, Limits::default());
    let of = |media: &'static str| {
        let parts = message.parts.iter().filter(move |part| part.media == media);
        parts.filter_map(Part::text)
    };
    let mut simhash = Simhash::default();
    let mut plain = of("text/plain").peekable();
    // Without its tags, if there is no other.
    let html = plain.peek().is_none().then(|| of("text/html"));
    let html = html.into_iter().flatten().map(|text| html_to_text(&text));
    for text in plain.map(Cow::into_owned).chain(html) {
        simhash.push(&text);
        simhash.push("\n");
    }
    simhash.finish()
}

/// A text of so many octets is no letter any more; what stands behind are attachments.
const OCTETS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_in_another_encoding_is_the_same_text() {
        let text = "This letter is about a very good offer that nobody should miss who wants to be rich and \
                    happy before the end of this week or the next one at least";
        let plain = format!("Subject: x\r\n\r\n{text}\r\n");
        let base64 = data_encoding::BASE64.encode(text.as_bytes());
        let encoded =
            format!("Subject: y\r\nContent-Transfer-Encoding: base64\r\n\r\n{base64}\r\n");
        let html = format!(
            "Subject: z\r\nContent-Type: text/html\r\n\r\n<html><body><p>{}</p></body></html>\r\n",
            text.replace("offer", "<b>offer</b>")
        );
        let all = [plain, encoded, html].map(|message| of(message.into()));
        assert!(all[0].is_some());
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
        assert_eq!(of(Bytes::from_static(b"Subject: x\r\n\r\nshort\r\n")), None);
        assert_eq!(of(Bytes::new()), None);
    }
}
