//! Readers of content as strangers wrote them: each takes more for the end of data than RFC 5321 does.

/// What a reader takes for a line end, and what it makes of NUL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    bare_lf: bool,
    bare_cr: bool,
    nul: Nul,
}

#[derive(Clone, Copy, Debug)]
enum Nul {
    Kept,
    /// Taken out before anything else is looked at.
    Dropped,
    /// The end of its line, as strings of C have it.
    EndsText,
}

/// All of them, the strict one first.
pub(crate) const READERS: [Reader; 12] = {
    let mut readers = [Reader {
        bare_lf: false,
        bare_cr: false,
        nul: Nul::Kept,
    }; 12];
    let mut index = 0;
    while index < 12 {
        readers[index].bare_lf = index & 1 != 0;
        readers[index].bare_cr = index & 2 != 0;
        readers[index].nul = match index / 4 {
            0 => Nul::Kept,
            1 => Nul::Dropped,
            _ => Nul::EndsText,
        };
        index += 1;
    }
    readers
};

impl Reader {
    /// Where it sees the end of data: the index after it.
    pub(crate) fn end_of_data(self, wire: &[u8]) -> Option<usize> {
        let mut line = Vec::new();
        let mut at = 0;
        while at < wire.len() {
            let rest = &wire[at..];
            let end = match rest {
                [b'\r', b'\n', ..] => 2,
                [b'\r', ..] if self.bare_cr => 1,
                [b'\n', ..] if self.bare_lf => 1,
                [b'\r', 0, b'\n', ..] if matches!(self.nul, Nul::Dropped) => 3,
                _ => 0,
            };
            if end > 0 {
                at += end;
                if self.text(&line) == b"." {
                    return Some(at);
                }
                line.clear();
            } else {
                line.push(rest[0]);
                at += 1;
            }
        }
        None
    }

    fn text(self, line: &[u8]) -> Vec<u8> {
        match self.nul {
            Nul::Kept => line.to_vec(),
            Nul::Dropped => line.iter().copied().filter(|octet| *octet != 0).collect(),
            Nul::EndsText => line.split(|octet| *octet == 0).next().unwrap().to_vec(),
        }
    }
}
