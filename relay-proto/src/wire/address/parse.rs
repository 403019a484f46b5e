//! Reading of paths, from left to right, without going back.

use super::{
    AddressError, Domain, DomainName, ForwardPath, MAX_DOMAIN_OCTETS, MAX_LABEL_OCTETS,
    MAX_LOCAL_PART_OCTETS, MAX_MAILBOX_OCTETS, Mailbox, ReversePath,
};

/// What has not been read yet of a command's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(crate) fn rest(self) -> &'a str {
        self.rest
    }

    pub(crate) fn reverse_path(&mut self) -> Result<ReversePath, AddressError> {
        self.open()?;
        if self.take(">") {
            return Ok(ReversePath::Null);
        }
        self.source_route()?;
        let local_part = self.local_part()?;
        self.mailbox(local_part).map(ReversePath::Mailbox)
    }

    pub(crate) fn forward_path(&mut self) -> Result<ForwardPath, AddressError> {
        self.open()?;
        if self.take(">") {
            return Err(AddressError::Empty);
        }
        self.source_route()?;
        let local_part = self.local_part()?;
        if local_part.eq_ignore_ascii_case("postmaster") && self.take(">") {
            return Ok(ForwardPath::Postmaster);
        }
        self.mailbox(local_part).map(ForwardPath::Mailbox)
    }

    pub(crate) fn expect_end(self) -> Result<(), AddressError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(AddressError::Brackets)
        }
    }

    fn open(&mut self) -> Result<(), AddressError> {
        if self.take("<") {
            Ok(())
        } else {
            Err(AddressError::Brackets)
        }
    }

    /// `@ONE,@TWO:` before the mailbox.
    fn source_route(&mut self) -> Result<(), AddressError> {
        while self.take("@") {
            self.domain().map_err(|_route| AddressError::SourceRoute)?;
            if self.take(":") {
                return Ok(());
            }
            if !self.take(",") || !self.rest.starts_with('@') {
                return Err(AddressError::SourceRoute);
            }
        }
        Ok(())
    }

    fn local_part(&mut self) -> Result<&'a str, AddressError> {
        let octets = if self.rest.starts_with('"') {
            self.quoted_octets()?
        } else {
            self.octets_while(|c| is_atom(c) || c == '.')
        };
        match self.split(octets) {
            "" => Err(AddressError::LocalPart),
            long if long.len() > MAX_LOCAL_PART_OCTETS => Err(AddressError::TooLong),
            local_part => Ok(local_part),
        }
    }

    /// The length of the quoted string that the text starts with, quotes included.
    fn quoted_octets(self) -> Result<usize, AddressError> {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                _ if c.is_control() => return Err(AddressError::LocalPart),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok(at + 1),
                _ => {}
            }
        }
        Err(AddressError::LocalPart)
    }

    /// The rest of a mailbox, after its local part.
    fn mailbox(&mut self, local_part: &str) -> Result<Mailbox, AddressError> {
        if !self.take("@") {
            return Err(match self.rest.chars().next() {
                None => AddressError::Brackets,
                Some('>' | '"') => AddressError::NoDomain,
                Some(c) if is_atom(c) => AddressError::NoDomain,
                Some(_) => AddressError::LocalPart,
            });
        }
        let before = self.rest.len();
        let domain = self.domain()?;
        let domain_octets = before - self.rest.len();
        if !self.take(">") {
            return Err(if self.rest.is_empty() {
                AddressError::Brackets
            } else {
                AddressError::Domain
            });
        }
        if local_part.len() + 1 + domain_octets > MAX_MAILBOX_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(Mailbox {
            local_part: local_part.to_owned(),
            domain,
        })
    }

    fn domain(&mut self) -> Result<Domain, AddressError> {
        if self.take("[") {
            return self.literal();
        }
        let octets = self.octets_while(|c| is_label(c) || c == '.');
        let name = self.split(octets);
        if name.len() > MAX_DOMAIN_OCTETS || name.split('.').any(|l| l.len() > MAX_LABEL_OCTETS) {
            return Err(AddressError::TooLong);
        }
        let malformed = |l: &str| l.is_empty() || l.starts_with('-') || l.ends_with('-');
        if name.split('.').any(malformed) {
            return Err(AddressError::Domain);
        }
        Ok(Domain::Name(DomainName(name.to_owned())))
    }

    fn literal(&mut self) -> Result<Domain, AddressError> {
        let octets = self.octets_while(|c| c != ']' && c != '>');
        let text = self.split(octets);
        if !self.take("]") {
            return Err(AddressError::Literal);
        }
        let bad = AddressError::Literal;
        match text.split_at_checked(IPV6_TAG.len()) {
            Some((tag, address)) if tag.eq_ignore_ascii_case(IPV6_TAG) => {
                address.parse().map(Domain::Ipv6).map_err(|_parse| bad)
            }
            Some(_) | None => text.parse().map(Domain::Ipv4).map_err(|_parse| bad),
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn octets_while(self, wanted: impl Fn(char) -> bool) -> usize {
        self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len())
    }

    fn split(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self
            .rest
            .split_at_checked(octets)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

/// RFC 5322 section 3.2.3 `atext`, and any UTF-8 that is no control character (RFC 6531 section 3.3).
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8(c)
}

fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8(c)
}

fn is_utf8(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

const IPV6_TAG: &str = "IPv6:";
