//! How numbers stand in the files of the classifier: seven bits an octet, the lowest first; and the frame around them.
//!
//! A file is a magic of four octets, a version, its content, and CRC-32C of all before it. What is not that is
//! damaged, and nobody guesses what it may have meant.

use super::model::ModelError;

/// Content that is being written.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(magic: [u8; 4], version: u16) -> Self {
        let mut octets = magic.to_vec();
        octets.extend(version.to_le_bytes());
        Self(octets)
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(low_octet(number) | 0x80);
            number >>= 7;
        }
        self.0.push(low_octet(number));
    }

    /// Small numbers of either sign are short.
    pub(super) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.octets(text.as_bytes());
    }

    pub(super) fn float(&mut self, number: f64) {
        self.octets(&number.to_le_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let sum = crc32c::crc32c(&self.0);
        self.octets(&sum.to_le_bytes());
        self.0
    }
}

/// Content that is being read.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of a whole file; what it is called, if it is something else.
    pub(super) fn new(
        file: &'a [u8],
        magic: [u8; 4],
        version: u16,
        what: &'static str,
    ) -> Result<Self, ModelError> {
        let Some(after) = file.strip_prefix(&magic) else {
            return Err(ModelError::SomethingElse(what));
        };
        let (content, sum) = file.split_last_chunk::<4>().ok_or(ModelError::Damaged)?;
        let mut reader = Self(after);
        let found = u16::from_le_bytes(reader.array()?);
        if found != version {
            return Err(ModelError::Version { found, version });
        }
        if crc32c::crc32c(content) != u32::from_le_bytes(*sum) {
            return Err(ModelError::Damaged);
        }
        reader.0 = reader
            .0
            .split_last_chunk::<4>()
            .ok_or(ModelError::Damaged)?
            .0;
        Ok(reader)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(ModelError::Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, ModelError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [octet] = self.array()?;
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ModelError::Damaged)
    }

    pub(super) fn signed(&mut self) -> Result<i64, ModelError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn text(&mut self) -> Result<&'a str, ModelError> {
        let octets = usize::try_from(self.number()?)
            .ok()
            .and_then(|octets| self.0.split_at_checked(octets));
        let (text, rest) = octets.ok_or(ModelError::Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_unfit| ModelError::Damaged)
    }

    pub(super) fn float(&mut self) -> Result<f64, ModelError> {
        let float = f64::from_le_bytes(self.array()?);
        float
            .is_finite()
            .then_some(float)
            .ok_or(ModelError::Damaged)
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), ModelError> {
        self.0.is_empty().then_some(()).ok_or(ModelError::Damaged)
    }
}

fn low_octet(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, -1, 63, -64, 64, 300, i64::MAX, i64::MIN];
        let mut writer = Writer::new(*b"TEST", 1);
        for number in numbers {
            writer.signed(number);
            writer.number(number.cast_unsigned());
        }
        writer.text("ä");
        writer.float(-0.1);
        let file = writer.finish();
        let mut reader = Reader::new(&file, *b"TEST", 1, "a test").unwrap();
        for number in numbers {
            assert_eq!(reader.signed().unwrap(), number);
            assert_eq!(reader.number().unwrap(), number.cast_unsigned());
        }
        assert_eq!(reader.text().unwrap(), "ä");
        assert_eq!(reader.float().unwrap().to_bits(), (-0.1_f64).to_bits());
        reader.end().unwrap();
    }
}
