//! Messages: the queries sent, and what is accepted as a response.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::dns::wire::{Extension, Kind, Response, encode, id, name, read};
use crate::limits;

fn web1() -> Name {
    name("web1.example").unwrap()
}

fn reply() -> Message {
    let mut message = Message::response(7, OpCode::Query);
    message.add_query(Query::query(web1(), RecordType::A));
    message
}

fn a(owner: &Name, last: u8, ttl: u32) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::A(A(Ipv4Addr::new(192, 0, 2, last))))
}

fn cname(owner: &Name, target: &Name, ttl: u32) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::CNAME(CNAME(target.clone())))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let zone = name("example").unwrap();
    Record::from_rdata(zone.clone(), ttl, RData::SOA(SOA::new(zone.clone(), zone, 1, 1, 1, 1, minimum)))
}

fn read_a(message: &Message) -> Option<Response> {
    read(&message.to_vec().unwrap(), &web1(), Kind::A)
}

fn addresses(last: &[u8], ttl: u64) -> Option<Response> {
    let addresses = last.iter().map(|&last| IpAddr::from([192, 0, 2, last])).collect();
    Some(Response::Addresses { addresses, ttl: Duration::from_secs(ttl) })
}

#[test]
fn a_query_contains_its_name_and_kind_and_nothing_else() {
    for (kind, wanted) in [(Kind::A, RecordType::A), (Kind::Aaaa, RecordType::AAAA)] {
        for extension in [Extension::Edns, Extension::None] {
            let bytes = encode(0xabcd, &web1(), kind, extension).unwrap();
            assert_eq!(id(&bytes), Some(0xabcd));
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!(message.metadata.message_type, MessageType::Query);
            assert!(message.metadata.recursion_desired);
            assert_eq!(message.queries, [Query::query(web1(), wanted)]);
            let payload = message.edns.map(|edns| edns.max_payload());
            assert_eq!(payload, (extension == Extension::Edns).then_some(limits::DNS_PAYLOAD));
            assert!(message.answers.is_empty() && message.authorities.is_empty());
            assert_eq!(read(&bytes, &web1(), kind), None, "a query is not a response");
        }
    }
}

#[test]
fn addresses_of_the_name_have_the_shortest_ttl() {
    let mut message = reply();
    let other = name("web2.example").unwrap();
    message.add_answers([a(&web1(), 1, 60), a(&other, 2, 5), a(&name("WEB1.example").unwrap(), 3, 30)]);
    // The same address appears again, and is kept only once.
    message.add_answer(a(&web1(), 1, 60));
    let v6 = Record::from_rdata(web1(), 1, RData::AAAA(AAAA("2001:db8::1".parse().unwrap())));
    message.add_answer(v6);
    let mut chaos = a(&web1(), 4, 1);
    chaos.dns_class = DNSClass::CH;
    message.add_answer(chaos);
    assert_eq!(read_a(&message), addresses(&[1, 3], 30));
}

#[test]
fn ttls_are_bounded() {
    for (ttl, expected) in [(0, 0), (1, 1), (0x7fff_ffff, 24 * 3600), (0x8000_0000, 0), (u32::MAX, 0)] {
        let mut message = reply();
        message.add_answer(a(&web1(), 1, ttl));
        assert_eq!(read_a(&message), addresses(&[1], expected), "{ttl}");
    }
    for (ttl, minimum, expected) in [(60, 30, 30), (30, 60, 30), (u32::MAX, 7, 7), (86_400, 86_400, 3600)] {
        let mut message = reply();
        message.add_authority(soa(ttl, minimum));
        let expected = Some(Duration::from_secs(expected));
        assert_eq!(read_a(&message), Some(Response::NoData { ttl: expected }));
        message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(read_a(&message), Some(Response::NoSuchName { ttl: expected }));
    }
    assert_eq!(read_a(&reply()), Some(Response::NoData { ttl: None }), "without SOA it must not be kept");
}

#[test]
fn aliases_are_followed_within_the_message() {
    let [x, y] = ["x.example", "y.example"].map(|text| name(text).unwrap());
    let mut message = reply();
    // The records may be in any order.
    message.add_answers([a(&y, 5, 50), cname(&x, &y, 20), cname(&web1(), &x, 30)]);
    assert_eq!(read_a(&message), addresses(&[5], 20));
    let mut message = reply();
    message.add_answers([cname(&x, &y, 20), cname(&web1(), &x, 30)]);
    assert_eq!(read_a(&message), Some(Response::Alias { target: y.clone(), ttl: Duration::from_secs(20) }));
    // The server has resolved the alias and says that its target has no address.
    message.add_authority(soa(10, 10));
    assert_eq!(read_a(&message), Some(Response::NoData { ttl: Some(Duration::from_secs(10)) }));
    let mut message = reply();
    message.add_answers([cname(&web1(), &x, 30), cname(&x, &web1(), 30)]);
    assert_eq!(read_a(&message), Some(Response::NoData { ttl: None }), "a loop");
}

#[test]
fn addresses_are_limited_to_those_that_are_tried() {
    let mut message = reply();
    message.add_answers((0..200).map(|last| a(&web1(), last, 60)));
    let Some(Response::Addresses { addresses, .. }) = read_a(&message) else { panic!() };
    assert_eq!(addresses.len(), limits::ADDRESSES);
}

#[test]
fn responses_to_other_queries_are_ignored() {
    let mut message = reply();
    message.add_answer(a(&web1(), 1, 60));
    let bytes = message.to_vec().unwrap();
    assert!(read(&bytes, &web1(), Kind::A).is_some());
    assert_eq!(read(&bytes, &web1(), Kind::Aaaa), None, "another type");
    assert_eq!(read(&bytes, &name("web2.example").unwrap(), Kind::A), None, "another name");
    let with = |alter: &dyn Fn(&mut Message)| {
        let mut altered = message.clone();
        alter(&mut altered);
        read_a(&altered)
    };
    assert_eq!(with(&|m| m.queries[0].query_class = DNSClass::CH), None, "another class");
    assert_eq!(with(&|m| m.metadata.message_type = MessageType::Query), None);
    assert_eq!(with(&|m| m.metadata.op_code = OpCode::Status), None);
    assert_eq!(with(&|m| m.queries.clear()), None);
    assert_eq!(with(&|m| m.queries.push(m.queries[0].clone())), None);
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length], &web1(), Kind::A), None, "cut to {length} bytes");
    }
}

#[test]
fn response_codes_are_distinguished() {
    let of = |code: u16| {
        let mut message = reply();
        message.metadata.response_code = ResponseCode::from((code >> 4) as u8, (code & 15) as u8);
        read_a(&message)
    };
    assert_eq!(of(1), Some(Response::FormatError));
    for code in [2, 4, 5, 9] {
        assert_eq!(of(code), Some(Response::Failure(code)), "{code}");
    }
    // A server that does not understand the query may leave it out of the response.
    let mut message = reply();
    message.metadata.response_code = ResponseCode::FormErr;
    message.queries.clear();
    assert_eq!(read_a(&message), Some(Response::FormatError));
}

#[test]
fn a_response_truncated_within_a_record_counts_as_truncated() {
    let mut message = reply();
    message.add_answers((0..20).map(|last| a(&web1(), last, 60)));
    message.metadata.truncation = true;
    let bytes = message.to_vec().unwrap();
    for length in [bytes.len(), bytes.len() - 1, bytes.len() - 7, 40] {
        assert_eq!(read(&bytes[..length], &web1(), Kind::A), Some(Response::Truncated), "{length}");
    }
}
