//! Frames of milters under any octets, and messages as they are shown to them.

use bytes::Bytes;

use crate::milter::{Command, Reply, Section, frame_octets};

/// What is read as a frame comes back from what is written of it, and its length in front of it.
pub fn frame(octets: &[u8]) {
    let octets = Bytes::copy_from_slice(octets);
    if let Ok(reply) = Reply::decode(&octets) {
        assert_eq!(Reply::decode(&body(&reply.encode())), Ok(reply));
    }
    if let Ok(command) = Command::decode(&octets) {
        assert_eq!(Command::decode(&body(&command.encode())), Ok(command));
    }
}

/// Nothing of a message is lost between its fields and its body, however many fields are wanted.
pub fn section(content: &[u8]) {
    for fields_max in [0, 1, 1000] {
        let section = Section::read(content, fields_max);
        assert!(section.fields.len() <= fields_max);
        assert!(section.body_at <= content.len());
        let above = content.get(..section.body_at).unwrap_or_default();
        let mut shown: usize = 0;
        for field in &section.fields {
            shown += field.name.len() + field.value.len();
            let (name, value, fits) = field.words(true, 100);
            assert!(name.as_bytes().len() + value.as_bytes().len() + 2 <= 100 || !fits);
        }
        // What is not shown of it are colons, blanks before them, and ends of lines.
        let passed_over = above.len() - shown;
        let white = above.iter().filter(|octet| octet.is_ascii_whitespace());
        assert!(passed_over <= white.count() + section.fields.len());
    }
}

fn body(encoded: &[u8]) -> Bytes {
    let Some((length, body)) = encoded.split_first_chunk::<4>() else {
        return Bytes::new();
    };
    // A frame that was read may be as long as any; its letter was read, too.
    assert!(body.len() > 1 << 20 || frame_octets(*length) == Ok(body.len()));
    Bytes::copy_from_slice(body)
}
