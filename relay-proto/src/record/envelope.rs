//! [`Queued`] in octets: a version, then fields with tags (`fields`).
//!
//! What a later version adds is a new tag: older readers pass over it, and newer ones do without it in older records.
//! Only what must not be passed over is given a critical tag. Addresses and parameters of SMTP stand there as on the
//! wire, because that form has a parser already, and people can read it. The scope of an IPv6 destination is not kept.

use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use super::fields::{self, CRITICAL, Malformed, Writer, fields};
use crate::envelope::{BodyType, EhloName, Mail, Recipient, TlsTag};
use crate::queued::{Egress, QueueId, Queued, Source, UnixMillis};

/// Why octets are no [`Queued`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEnvelope {
    /// They are damaged.
    #[error("not an envelope")]
    Malformed,
    /// A later version wrote them, with something that must be understood.
    #[error("an envelope of a later version")]
    Newer,
}

/// The octets of an envelope.
#[must_use]
pub fn encode(queued: &Queued) -> Vec<u8> {
    let Queued {
        id,
        arrived,
        source,
        egress,
        mail,
        recipients,
        trace,
        may_notify,
        held,
    } = queued;
    let mut fields = Writer::after(&[VERSION]);
    fields.number(ID, id.get());
    fields.number(ARRIVED, arrived.0);
    match source {
        Source::Customer {
            address,
            original_dst,
            ehlo,
            tls,
            flag_id,
            user,
        } => fields.group(CUSTOMER, |customer| {
            customer.octets(ADDRESS, &address_octets(*address));
            if let Some(destination) = original_dst {
                let mut octets = address_octets(destination.ip());
                octets.extend_from_slice(&destination.port().to_be_bytes());
                customer.octets(ORIGINAL_DST, &octets);
            }
            if let Some(ehlo) = ehlo {
                customer.text(EHLO, ehlo.as_str());
            }
            customer.flag(TLS, *tls);
            if let Some(flag_id) = flag_id {
                customer.number(FLAG_ID, u64::from(*flag_id));
            }
            if let Some(user) = user {
                customer.text(USER, user);
            }
        }),
        Source::Relay => fields.flag(RELAY, true),
    }
    fields.text(EGRESS, egress_word(*egress));
    fields.group(MAIL, |group| write_mail(group, mail));
    for recipient in recipients {
        fields.group(RECIPIENT, |group| write_recipient(group, recipient));
    }
    fields.text(TRACE, trace);
    fields.flag(MAY_NOTIFY, *may_notify);
    if let Some(reason) = held {
        fields.text(HELD, reason);
    }
    fields.finish()
}

/// The envelope that these octets are.
pub fn decode(octets: &[u8]) -> Result<Queued, NoEnvelope> {
    let (&version, octets) = octets.split_first().ok_or(NoEnvelope::Malformed)?;
    if version != VERSION {
        return Err(NoEnvelope::Newer);
    }
    let (mut id, mut arrived, mut source, mut mail) = (None, None, None, None);
    let mut egress = Egress::default();
    let mut recipients = Vec::new();
    let mut trace = String::new();
    let mut may_notify = false;
    let mut held = None;
    for field in fields(octets) {
        let (tag, value) = field?;
        match tag {
            ID => id = QueueId::from_number(fields::number(value)?),
            ARRIVED => arrived = Some(UnixMillis(fields::number(value)?)),
            CUSTOMER => source = Some(read_customer(value)?),
            RELAY => source = Some(Source::Relay),
            EGRESS => egress = read_egress(value)?,
            MAIL => mail = Some(read_mail(value)?),
            RECIPIENT => recipients.push(read_recipient(value)?),
            TRACE => trace = fields::text(value)?.to_owned(),
            MAY_NOTIFY => may_notify = true,
            HELD => held = Some(fields::text(value)?.to_owned()),
            unknown => pass_over(unknown)?,
        }
    }
    Ok(Queued {
        id: id.ok_or(NoEnvelope::Malformed)?,
        arrived: arrived.ok_or(NoEnvelope::Malformed)?,
        source: source.ok_or(NoEnvelope::Malformed)?,
        egress,
        mail: mail.ok_or(NoEnvelope::Malformed)?,
        recipients,
        trace,
        may_notify,
        held,
    })
}

fn write_mail(fields: &mut Writer, mail: &Mail) {
    let Mail {
        reverse_path,
        size,
        body,
        smtputf8,
        ret,
        envelope_id,
        tls,
        // What was said of it was not kept.
        auth: _,
    } = mail;
    fields.text(PATH, &reverse_path.to_string());
    if let Some(size) = size {
        fields.number(SIZE, *size);
    }
    if let Some(body) = body {
        fields.text(
            BODY,
            match body {
                BodyType::SevenBit => SEVEN_BIT,
                BodyType::EightBitMime => EIGHT_BIT_MIME,
            },
        );
    }
    fields.flag(SMTPUTF8, *smtputf8);
    if let Some(ret) = ret {
        fields.text(RET, &ret.to_string());
    }
    if let Some(envelope_id) = envelope_id {
        fields.text(ENVELOPE_ID, &envelope_id.to_string());
    }
    fields.flag(TLS_REQUIRED, *tls == TlsTag::Required);
    fields.flag(TLS_OPTIONAL, *tls == TlsTag::Optional);
}

fn read_mail(octets: &[u8]) -> Result<Mail, NoEnvelope> {
    let mut path = None;
    let (mut size, mut body, mut ret, mut envelope_id) = (None, None, None, None);
    let mut smtputf8 = false;
    let mut tls = TlsTag::None;
    for field in fields(octets) {
        let (tag, value) = field?;
        match tag {
            PATH => path = Some(parse(value)?),
            SIZE => size = Some(fields::number(value)?),
            BODY => {
                body = Some(match fields::text(value)? {
                    SEVEN_BIT => BodyType::SevenBit,
                    EIGHT_BIT_MIME => BodyType::EightBitMime,
                    _ => return Err(NoEnvelope::Newer),
                });
            }
            SMTPUTF8 => smtputf8 = true,
            RET => ret = Some(parse(value)?),
            ENVELOPE_ID => envelope_id = Some(parse(value)?),
            TLS_REQUIRED => tls = TlsTag::Required,
            TLS_OPTIONAL => tls = TlsTag::Optional,
            unknown => pass_over(unknown)?,
        }
    }
    Ok(Mail {
        reverse_path: path.ok_or(NoEnvelope::Malformed)?,
        size,
        body,
        smtputf8,
        ret,
        envelope_id,
        tls,
        auth: false,
    })
}

fn write_recipient(fields: &mut Writer, recipient: &Recipient) {
    let Recipient {
        forward_path,
        notify,
        original,
    } = recipient;
    fields.text(PATH, &forward_path.to_string());
    if let Some(notify) = notify {
        fields.text(NOTIFY, &notify.to_string());
    }
    if let Some(original) = original {
        fields.text(ORIGINAL, original.as_str());
    }
}

fn read_recipient(octets: &[u8]) -> Result<Recipient, NoEnvelope> {
    let (mut path, mut notify, mut original) = (None, None, None);
    for field in fields(octets) {
        let (tag, value) = field?;
        match tag {
            PATH => path = Some(parse(value)?),
            NOTIFY => notify = Some(parse(value)?),
            ORIGINAL => original = Some(parse(value)?),
            unknown => pass_over(unknown)?,
        }
    }
    Ok(Recipient {
        forward_path: path.ok_or(NoEnvelope::Malformed)?,
        notify,
        original,
    })
}

fn read_customer(octets: &[u8]) -> Result<Source, NoEnvelope> {
    let (mut address, mut original_dst, mut ehlo, mut flag_id) = (None, None, None, None);
    let (mut tls, mut user) = (false, None);
    for field in fields(octets) {
        let (tag, value) = field?;
        match tag {
            ADDRESS => address = Some(read_address(value)?),
            ORIGINAL_DST => {
                let (ip, port) = value.split_last_chunk().ok_or(NoEnvelope::Malformed)?;
                let port = u16::from_be_bytes(*port);
                original_dst = Some(SocketAddr::new(read_address(ip)?, port));
            }
            EHLO => {
                let name = EhloName::new(fields::text(value)?);
                ehlo = Some(name.ok_or(NoEnvelope::Malformed)?);
            }
            TLS => tls = true,
            FLAG_ID => {
                let number = u32::try_from(fields::number(value)?);
                flag_id = Some(number.map_err(|_too_large| NoEnvelope::Malformed)?);
            }
            USER => user = Some(fields::text(value)?.to_owned()),
            unknown => pass_over(unknown)?,
        }
    }
    Ok(Source::Customer {
        address: address.ok_or(NoEnvelope::Malformed)?,
        original_dst,
        ehlo,
        tls,
        flag_id,
        user,
    })
}

fn address_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn read_address(octets: &[u8]) -> Result<IpAddr, Malformed> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_not_v4| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .map_err(|_neither| Malformed)
}

fn egress_word(egress: Egress) -> &'static str {
    match egress {
        Egress::Pool => "pool",
        Egress::Customer => "customer",
        Egress::Socks5 => "socks5",
    }
}

fn read_egress(value: &[u8]) -> Result<Egress, NoEnvelope> {
    let word = fields::text(value)?;
    [Egress::Pool, Egress::Customer, Egress::Socks5]
        .into_iter()
        .find(|&egress| egress_word(egress) == word)
        .ok_or(NoEnvelope::Newer)
}

fn parse<T: FromStr>(value: &[u8]) -> Result<T, Malformed> {
    fields::text(value)?
        .parse()
        .map_err(|_unparsable| Malformed)
}

fn pass_over(tag: u8) -> Result<(), NoEnvelope> {
    if tag < CRITICAL {
        Ok(())
    } else {
        Err(NoEnvelope::Newer)
    }
}

impl From<Malformed> for NoEnvelope {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

const VERSION: u8 = 1;

const ID: u8 = 1;
const ARRIVED: u8 = 2;
const CUSTOMER: u8 = 3;
const RELAY: u8 = 4;
const EGRESS: u8 = 5;
const MAIL: u8 = 6;
const RECIPIENT: u8 = 7;
const TRACE: u8 = 8;
const MAY_NOTIFY: u8 = 9;
/// An older relay would send what waits for a person.
const HELD: u8 = CRITICAL;

/// Within [`CUSTOMER`].
const ADDRESS: u8 = 1;
const ORIGINAL_DST: u8 = 2;
const EHLO: u8 = 3;
const TLS: u8 = 4;
const FLAG_ID: u8 = 5;
const USER: u8 = 6;

/// Within [`MAIL`] and [`RECIPIENT`].
const PATH: u8 = 1;
/// Within [`MAIL`].
const SIZE: u8 = 2;
const BODY: u8 = 3;
const SMTPUTF8: u8 = 4;
const RET: u8 = 5;
const ENVELOPE_ID: u8 = 6;
const TLS_OPTIONAL: u8 = 7;
/// Who passed over this would send in clear text what must not go so.
const TLS_REQUIRED: u8 = CRITICAL;
/// Within [`RECIPIENT`].
const NOTIFY: u8 = 2;
const ORIGINAL: u8 = 3;

const SEVEN_BIT: &str = "7BIT";
const EIGHT_BIT_MIME: &str = "8BITMIME";
