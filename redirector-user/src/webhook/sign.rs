//! What an endpoint knows us by: HMAC-SHA256 (RFC 2104) over the time and the body.

use aws_lc_rs::hmac;

use crate::hex;

/// The secrets of one webhook: one, or two while it is being changed. Each signs.
pub struct Secrets(Vec<hmac::Key>);

/// Why a text holds no secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("no secret in it; one line is one secret, as `openssl rand -hex 32` makes them")]
    None,
    /// There are more than anybody changes at a time.
    #[error(
        "more than {SECRETS_MAX} secrets in it; one line is one secret, and a second one is for changing it"
    )]
    TooMany,
    /// One that could be guessed, or was cut off.
    #[error(
        "line {0}: not a secret; allowed are {OCTETS_MIN} to {OCTETS_MAX} printable ASCII characters without blanks, as \
         `openssl rand -hex 32` makes them"
    )]
    Unfit(usize),
}

impl Secrets {
    /// Reads the text of a file: a secret on each line that is not empty.
    ///
    /// # Errors
    ///
    /// [`SecretError`]; it does not say what stands there.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().map(str::trim).zip(1..);
        let lines: Vec<_> = lines.filter(|(line, _)| !line.is_empty()).collect();
        match lines.len() {
            0 => return Err(SecretError::None),
            1..=SECRETS_MAX => {}
            _ => return Err(SecretError::TooMany),
        }
        let keys = lines.into_iter().map(|(line, number)| {
            let fits = (OCTETS_MIN..=OCTETS_MAX).contains(&line.len())
                && line.bytes().all(|octet| octet.is_ascii_graphic());
            fits.then(|| hmac::Key::new(hmac::HMAC_SHA256, line.as_bytes()))
                .ok_or(SecretError::Unfit(number))
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// The value of `Outgate-Signature`: `v1=` and hexadecimal digits for each secret, with commas between.
    #[must_use]
    pub fn signatures(&self, timestamp: i64, body: &[u8]) -> String {
        let signature = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(timestamp.to_string().as_bytes());
            context.update(b".");
            context.update(body);
            format!("v1={}", hex::encode(context.sign().as_ref()))
        };
        let signatures: Vec<String> = self.0.iter().map(signature).collect();
        signatures.join(",")
    }
}

/// Without the secrets.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}

/// The one in use, and the one that comes.
const SECRETS_MAX: usize = 2;
/// What nobody guesses, even of a person's making.
const OCTETS_MIN: usize = 16;
const OCTETS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // By Python: hmac.new(b"0123456789abcdef", b'1750000000.{"seq":7}', "sha256").hexdigest()
        let secrets = Secrets::read("0123456789abcdef\n").unwrap();
        let signature = secrets.signatures(1_750_000_000, br#"{"seq":7}"#);
        assert_eq!(signature, format!("v1={EXPECTED}"));
        let both = Secrets::read("\n  fedcba9876543210\n0123456789abcdef").unwrap();
        let signatures = both.signatures(1_750_000_000, br#"{"seq":7}"#);
        let parts: Vec<&str> = signatures.split(',').collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[1], signature);
        assert_ne!(parts[0], signature);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_told() {
        for (text, expected) in [
            ("", SecretError::None),
            ("\n \n", SecretError::None),
            ("0123456789abcde", SecretError::Unfit(1)),
            ("0123456789abcdef\n\nzu kurz", SecretError::Unfit(3)),
            ("0123456789 abcdef", SecretError::Unfit(1)),
            ("a\nb\nc", SecretError::TooMany),
        ] {
            let error = Secrets::read(text).unwrap_err();
            assert_eq!(error, expected, "{text:?}");
            assert!(!error.to_string().contains("kurz"));
        }
        let long = "x".repeat(OCTETS_MAX + 1);
        assert_eq!(Secrets::read(&long).unwrap_err(), SecretError::Unfit(1));
    }

    const EXPECTED: &str = "3f1df61276e7fe7088373c2170c788cf41afc7afe6559b9d55b5aebdfa2980cf";
}
