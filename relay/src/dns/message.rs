//! One question as it goes on the wire, and what comes back, read.
//!
//! Pure: octets in, an [`Answer`] out. Nothing is believed that does not answer this very question, in
//! the very case of letters that was asked.

use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::DnsName;
use super::answer::{Answer, Data};

/// A question.
#[derive(Debug)]
pub(super) struct Question {
    query: Query,
    id: u16,
    octets: Vec<u8>,
}

/// What octets are that came back.
#[derive(Debug)]
pub(super) enum Reading {
    /// No answer to this question: an old one, a stranger's, or noise.
    Foreign,
    /// It did not fit into a datagram.
    Truncated,
    /// The resolver says that it cannot tell, with its code.
    Failed(ResponseCode),
    /// An answer, and for how long it holds.
    Answer(Answer, Duration),
}

impl Question {
    /// `None` asks about the root. Each has a random id and letters of random case: with the random port of
    /// its socket, what an attacker who sees none of it has to guess (RFC 5452).
    pub(super) fn new(name: Option<&DnsName>, kind: RecordType) -> Result<Self, NotAsked> {
        let mut name = match name {
            Some(name) => Name::from_ascii(name.as_str()).map_err(|_proto| NotAsked)?,
            None => Name::root(),
        };
        name.set_fqdn(true);
        name.randomize_label_case();
        let query = Query::query(name, kind);
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        // "I understand AD" (RFC 6840 section 5.7); signatures themselves would only fill the datagram.
        message.metadata.authentic_data = true;
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_OCTETS);
        message.set_edns(edns);
        message.add_query(query.clone());
        Ok(Self {
            query,
            id: message.metadata.id,
            octets: message.to_vec().map_err(|_proto| NotAsked)?,
        })
    }

    /// As it goes into a datagram.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What `octets` say to it.
    pub(super) fn read(&self, octets: &[u8]) -> Reading {
        let Ok(message) = Message::from_vec(octets) else {
            return self.damaged(octets);
        };
        let header = &message.metadata;
        let ours = header.id == self.id
            && header.message_type == MessageType::Response
            && header.op_code == OpCode::Query
            && matches!(&message.queries[..], [query] if self.is(query));
        if !ours {
            return Reading::Foreign;
        }
        if header.truncation {
            return Reading::Truncated;
        }
        match header.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => self.gather(&message, octets.len()),
            failed => Reading::Failed(failed),
        }
    }

    /// A datagram cut in mid-record has the mark of that, though it cannot be read whole.
    fn damaged(&self, octets: &[u8]) -> Reading {
        match octets {
            [a, b, flags, ..]
                if u16::from_be_bytes([*a, *b]) == self.id && flags & 0x82 == 0x82 =>
            {
                Reading::Truncated
            }
            [a, b, ..] if u16::from_be_bytes([*a, *b]) == self.id => {
                Reading::Failed(ResponseCode::FormErr)
            }
            _ => Reading::Foreign,
        }
    }

    fn is(&self, query: &Query) -> bool {
        query.name.eq_case(&self.query.name)
            && query.query_type == self.query.query_type
            && query.query_class == DNSClass::IN
    }

    /// Follows aliases to the records that were asked for. A chain that ends nowhere is the resolver's word
    /// that there are none.
    fn gather(&self, message: &Message, octets: usize) -> Reading {
        let kind = self.query.query_type;
        let mut owner = &self.query.name;
        let mut ttl = POSITIVE_MAX;
        let mut aliases = 0;
        let records_of = |owner: &Name| -> Vec<&Record> {
            let mine = |record: &&Record| {
                record.name.eq_ignore_root(owner)
                    && record.dns_class == DNSClass::IN
                    && record.record_type() == kind
            };
            message
                .answers
                .iter()
                .filter(mine)
                .take(RECORDS_MAX)
                .collect()
        };
        let mut records = records_of(owner);
        while records.is_empty() && aliases < ALIASES_MAX {
            let alias = message
                .answers
                .iter()
                .find_map(|record| match &record.data {
                    RData::CNAME(target) if record.name.eq_ignore_root(owner) => {
                        Some((record.ttl, &target.0))
                    }
                    _ => None,
                });
            let Some((alias_ttl, target)) = alias else {
                break;
            };
            aliases += 1;
            ttl = ttl.min(seconds(alias_ttl));
            owner = target;
            records = records_of(owner);
        }
        if records.is_empty() {
            ttl = ttl.min(negative_ttl(message));
        }
        for record in &records {
            ttl = ttl.min(seconds(record.ttl));
        }
        let answer = Answer {
            exists: message.metadata.response_code != ResponseCode::NXDomain,
            secure: message.metadata.authentic_data,
            aliased: aliases > 0,
            canonical: DnsName::new(&owner.to_ascii()).ok(),
            data: records.iter().filter_map(|record| data(record)).collect(),
            octets,
        };
        Reading::Answer(answer, ttl.max(TTL_MIN))
    }
}

/// A name that no message can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotAsked;

fn data(record: &Record) -> Option<Data> {
    Some(match &record.data {
        RData::A(address) => Data::Address(address.0.into()),
        RData::AAAA(address) => Data::Address(address.0.into()),
        RData::MX(mx) => Data::Exchanger {
            preference: mx.preference,
            // The root is the name of nobody (RFC 7505); others that are no names of hosts lead nowhere, too.
            host: DnsName::new(&mx.exchange.to_ascii()).ok(),
            null: mx.exchange.is_root(),
        },
        RData::TXT(text) => Data::Text(text.txt_data.concat().into()),
        RData::TLSA(tlsa) => Data::Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.as_slice().into(),
        },
        RData::CNAME(_) | RData::SOA(_) => Data::Other,
        _ => return None,
    })
}

/// RFC 2308 section 5. Who sends no SOA is not believed for long.
fn negative_ttl(message: &Message) -> Duration {
    let soa = message
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(seconds(record.ttl.min(soa.minimum))),
            _ => None,
        });
    soa.unwrap_or(TTL_MIN).min(NEGATIVE_MAX)
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

/// What goes over every path without fragments (DNS flag day 2020).
const EDNS_OCTETS: u16 = 1232;
/// Longer chains are a mistake or an attack.
const ALIASES_MAX: usize = 16;
/// More than anybody needs of one kind; an answer by TCP could hold thousands.
const RECORDS_MAX: usize = 128;
const POSITIVE_MAX: Duration = Duration::from_secs(24 * 3600);
const NEGATIVE_MAX: Duration = Duration::from_secs(3600);
/// Records of no lifetime serve the sessions of this moment.
const TTL_MIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
