//! Queries and responses on the wire (RFC 1035, RFC 6891), with hickory's codec.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::host::AddressFamily;
use crate::limits;

/// The kinds of address that a query can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    /// The kinds to query for a family, IPv6 last.
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
        data.ip_addr().filter(|&address| self.fits(address))
    }
}

/// Whether a query carries EDNS, which some old servers reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    Edns,
    None,
}

/// A server's response to a query. `ttl` is how long the response may be cached; `None` means not
/// at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Response {
    /// At least one address, and at most [`limits::ADDRESSES`].
    Addresses { addresses: Vec<IpAddr>, ttl: Duration },
    /// The name is an alias, and the addresses of its target are not in the message.
    Alias { target: Name, ttl: Duration },
    /// The name exists, but has no such address.
    NoData { ttl: Option<Duration> },
    /// The name does not exist.
    NoSuchName { ttl: Option<Duration> },
    /// The server does not understand the query.
    FormatError,
    /// The server refuses or fails to answer, with this response code.
    Failure(u16),
    /// The response does not fit in a UDP message.
    Truncated,
}

/// Encodes a query. `None` if DNS cannot represent the name, which cannot happen with a [`Name`].
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

/// Reads `message` as the response to the query for `name`. `None` if the message is not that
/// response or cannot be read; the real response may still arrive.
pub(super) fn read(message: &[u8], name: &Name, kind: Kind) -> Option<Response> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type != MessageType::Response || header.metadata.op_code != OpCode::Query {
        return None;
    }
    // Servers that do not understand a query need not repeat it.
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
        return Some(Response::FormatError);
    }
    // Checked before the records are read, because the last record may be cut off.
    if header.metadata.truncation {
        return Some(Response::Truncated);
    }
    let message = Message::from_vec(message).ok()?;
    match message.metadata.response_code {
        ResponseCode::NoError => Some(follow(&message, name, kind)),
        ResponseCode::NXDomain => Some(Response::NoSuchName { ttl: negative_ttl(&message) }),
        code => Some(Response::Failure(code.into())),
    }
}

/// Follows the aliases from `name` as far as the message contains them.
fn follow(message: &Message, name: &Name, kind: Kind) -> Response {
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
            return Response::Addresses { addresses, ttl };
        }
        let alias = records().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else {
            if current == name {
                return Response::NoData { ttl: negative_ttl(message) };
            }
            // A server that resolved the target and found no such address adds an SOA record
            // (RFC 2308).
            return match negative_ttl(message) {
                Some(negative) => Response::NoData { ttl: Some(negative.min(ttl)) },
                None => Response::Alias { target: current.clone(), ttl },
            };
        };
        ttl = ttl.min(seconds(alias_ttl));
        current = target;
    }
    // The aliases form a loop, or a longer chain than any real name needs.
    Response::NoData { ttl: None }
}

fn of_name<'a>(records: &'a [Record], name: &'a Name) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.dns_class == DNSClass::IN && record.name == *name)
}

/// How long a negative response may be cached (RFC 2308 section 5). Without an SOA record it may
/// not be cached.
fn negative_ttl(message: &Message) -> Option<Duration> {
    let of_soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    of_soa.map(|ttl| seconds(ttl).min(limits::DNS_NEGATIVE_TTL_MAX))
}

/// The duration of a TTL. If its highest bit is set, the TTL counts as zero (RFC 2181 section 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(if ttl >> 31 == 0 { ttl.into() } else { 0 })
}

/// Encodes an absolute name for DNS. `None` if the name or one of its labels is empty or too long.
///
/// A name that is not ASCII is converted (IDNA). An ASCII name is used unchanged, as in glibc,
/// because not every name in use is a valid host name.
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
