//! Sealing for people who are elsewhere: the format of age with X25519 recipients, which Debian's `age` opens and makes,
//! too.
//!
//! A [`Sealer`] is fed and yields octets as they become final; an [`Opener`] reads.
//!
//! # Diagnostics
//! Returned: [`SealError`], [`OpenError`]. An opener that finds a changed or missing octet yields nothing of its chunk.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};

mod keys;

pub use keys::{Identity, NotARecipient, NotAnIdentity, Recipient};

/// Why nothing can be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It would be sealed for nobody.
    #[error("nobody could open it: there is no recipient")]
    NoRecipient,
    /// The library refuses.
    #[error("{0}")]
    Refused(#[from] EncryptError),
    /// What is sealed cannot be put together.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Why something cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else, or of a later version.
    #[error("not a sealed file of age, version 1")]
    NotSealed,
    /// It was sealed for others.
    #[error("none of these identities can open it; it was sealed for somebody else")]
    WrongIdentity,
    /// Somebody has changed its head.
    #[error("damaged or forged: its head does not prove itself")]
    Forged,
}

/// Seals one text.
pub struct Sealer {
    writer: StreamWriter<Sealed>,
    sealed: Sealed,
}

/// Reads what was sealed.
pub struct Opener<R: BufRead>(StreamReader<R>);

/// What has become final; the library's writer puts it in at one end, and the caller takes it out at the other.
#[derive(Clone, Default)]
struct Sealed(Arc<Mutex<Vec<u8>>>);

impl Sealer {
    /// For these recipients; and the first octets of the sealed form.
    pub fn new(recipients: &[Recipient]) -> Result<(Self, Vec<u8>), SealError> {
        if recipients.is_empty() {
            return Err(SealError::NoRecipient);
        }
        let sealed = Sealed::default();
        let encryptor = Encryptor::with_recipients(recipients.iter().map(Recipient::as_age))?;
        let writer = encryptor.wrap_output(sealed.clone())?;
        let sealer = Self { writer, sealed };
        let mut head = Vec::new();
        sealer.sealed.move_to(&mut head);
        Ok((sealer, head))
    }

    /// More of the text; what became final of the sealed form is put behind `sealed`.
    pub fn update(&mut self, text: &[u8], sealed: &mut Vec<u8>) -> Result<(), SealError> {
        self.writer.write_all(text)?;
        self.sealed.move_to(sealed);
        Ok(())
    }

    /// Nothing more follows.
    pub fn finish(self, sealed: &mut Vec<u8>) -> Result<(), SealError> {
        self.writer.finish()?.move_to(sealed);
        Ok(())
    }
}

impl Sealed {
    fn move_to(&self, to: &mut Vec<u8>) {
        to.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Write for Sealed {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut sealed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sealed.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: BufRead> Opener<R> {
    /// Opens with whichever of the identities fits.
    pub fn new(inner: R, identities: &[Identity]) -> Result<Self, OpenError> {
        let decryptor = Decryptor::new_buffered(inner)?;
        Ok(Self(
            decryptor.decrypt(identities.iter().map(Identity::as_age))?,
        ))
    }
}

impl From<DecryptError> for OpenError {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::NotSealed
            }
            DecryptError::Io(error) => Self::Io(error),
            DecryptError::InvalidHeader | DecryptError::UnknownFormat => Self::NotSealed,
            DecryptError::NoMatchingKeys => Self::WrongIdentity,
            _ => Self::Forged,
        }
    }
}

impl<R: BufRead> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[cfg(test)]
mod tests;
