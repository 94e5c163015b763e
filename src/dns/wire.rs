//! Questions and answers on the wire (RFC 1035, RFC 6891), by hickory's codec.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::host::AddressFamily;
use crate::limits;

/// What is asked for: one question is about one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    /// What is asked for where these addresses are wanted, IPv6 last.
    pub(super) fn of(family: AddressFamily) -> &'static [Self] {
        match family {
            AddressFamily::V4 => &[Self::A],
            AddressFamily::V6 => &[Self::Aaaa],
            AddressFamily::Any | AddressFamily::PreferV4 | AddressFamily::PreferV6 => &[Self::A, Self::Aaaa],
        }
    }

    pub(super) fn fits(self, address: IpAddr) -> bool {
        match self {
            Self::A => address.is_ipv4(),
            Self::Aaaa => address.is_ipv6(),
        }
    }

    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }

    fn address(self, data: &RData) -> Option<IpAddr> {
        match (self, data) {
            (Self::A, RData::A(address)) => Some(address.0.into()),
            (Self::Aaaa, RData::AAAA(address)) => Some(address.0.into()),
            _ => None,
        }
    }
}

/// Whether a question carries EDNS, which some old servers reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    Edns,
    None,
}

/// What a server says to a question. `ttl` is how long it may be kept; `None`: not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one address, and at most [`limits::ADDRESSES`].
    Addresses { addresses: Vec<IpAddr>, ttl: Duration },
    /// The name is another's alias, whose addresses are not in the message.
    Alias { target: Name, ttl: Duration },
    /// The name exists, without such an address.
    NoData { ttl: Option<Duration> },
    /// The name does not exist.
    NoSuchName { ttl: Option<Duration> },
    /// The server does not understand the question.
    FormatError,
    /// The server will not or cannot answer, for which it has this code.
    Failure(u16),
    /// The answer does not fit in a datagram.
    Truncated,
}

/// A question, ready to be sent. `None` for a name that DNS cannot carry, which a [`Name`] is not.
pub(super) fn encode(id: u16, name: &Name, kind: Kind, extension: Extension) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind.record_type()));
    if extension == Extension::Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(limits::DNS_PAYLOAD);
        message.set_edns(edns);
    }
    message.to_vec().ok()
}

/// The id of a message.
pub(super) fn id(message: &[u8]) -> Option<u16> {
    message.first_chunk().copied().map(u16::from_be_bytes)
}

/// What `message` answers to the question for `name`. `None` if it is no answer to it, or none that can be read: the real
/// one may still come.
pub(super) fn read(message: &[u8], name: &Name, kind: Kind) -> Option<Answer> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type != MessageType::Response || header.metadata.op_code != OpCode::Query {
        return None;
    }
    // Servers that do not understand a question need not repeat it.
    let repeats = header.counts.queries == 1;
    let is_format_error = header.metadata.response_code == ResponseCode::FormErr;
    if repeats {
        let query = Query::read(&mut decoder).ok()?;
        let matches = query.name() == name
            && query.query_type() == kind.record_type()
            && query.query_class() == DNSClass::IN;
        if !matches {
            return None;
        }
    } else if !is_format_error || header.counts.queries != 0 {
        return None;
    }
    if is_format_error {
        return Some(Answer::FormatError);
    }
    // Before the records are read: the last of them may be cut short.
    if header.metadata.truncation {
        return Some(Answer::Truncated);
    }
    let message = Message::from_vec(message).ok()?;
    match message.metadata.response_code {
        ResponseCode::NoError => Some(follow(&message, name, kind)),
        ResponseCode::NXDomain => Some(Answer::NoSuchName { ttl: negative_ttl(&message) }),
        code => Some(Answer::Failure(code.into())),
    }
}

/// Follows the aliases from `name` as far as the message goes.
fn follow(message: &Message, name: &Name, kind: Kind) -> Answer {
    let mut current = name;
    let mut ttl = limits::DNS_TTL_MAX;
    for _ in 0..=limits::DNS_ALIASES {
        let records = || of_name(&message.answers, current);
        let found = records().filter_map(|record| Some((kind.address(&record.data)?, record)));
        let mut addresses = Vec::new();
        for (address, record) in found {
            ttl = ttl.min(seconds(record.ttl));
            if addresses.len() < limits::ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if !addresses.is_empty() {
            return Answer::Addresses { addresses, ttl };
        }
        let alias = records().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else {
            if current == name {
                return Answer::NoData { ttl: negative_ttl(message) };
            }
            // A server that has looked the target up and found no such address says so with an SOA record (RFC 2308).
            return match negative_ttl(message) {
                Some(negative) => Answer::NoData { ttl: Some(negative.min(ttl)) },
                None => Answer::Alias { target: current.clone(), ttl },
            };
        };
        ttl = ttl.min(seconds(alias_ttl));
        current = target;
    }
    // A loop, or a chain that nobody needs.
    Answer::NoData { ttl: None }
}

fn of_name<'a>(records: &'a [Record], name: &'a Name) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.dns_class == DNSClass::IN && record.name == *name)
}

/// How long "there is none" holds (RFC 2308 section 5); without an SOA record it must not be kept.
fn negative_ttl(message: &Message) -> Option<Duration> {
    let of_soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    of_soa.map(|ttl| seconds(ttl).min(limits::DNS_NEGATIVE_TTL_MAX))
}

/// A TTL. With the highest bit set it counts as zero (RFC 2181 section 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(if ttl >> 31 == 0 { ttl.into() } else { 0 })
}

/// The name as DNS carries it, absolute. `None` if it cannot: an empty or too long label, or too long a name.
///
/// A name that is not ASCII is converted (IDNA). Others are taken as they are, as by glibc: not every name that is in use
/// is a valid host name.
pub(super) fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut name = if text.is_ascii() {
        text.split('.').try_fold(Name::new(), |name, label| name.append_label(label.as_bytes()).ok())?
    } else {
        Name::from_utf8(text).ok()?
    };
    name.set_fqdn(true);
    Some(name)
}
