use super::*;

fn identity(blob: &[u8], comment: &[u8]) -> Identity {
    Identity::new(blob, comment)
}

fn list(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut message = vec![IDENTITIES_ANSWER];
    message.extend(length(entries.len()));
    for (blob, comment) in entries {
        message.extend([&length(blob.len())[..], blob, &length(comment.len()), comment].concat());
    }
    message
}

fn signature(bytes: &[u8]) -> Vec<u8> {
    signed(bytes)[4..].to_vec()
}

#[test]
fn requests_are_what_the_draft_says() {
    assert_eq!(request_identities(), [0, 0, 0, 1, 11]);
    assert_eq!(failure(), [0, 0, 0, 1, 5]);
    assert_eq!(signed(b"sig"), *b"\0\0\0\x08\x0e\0\0\0\x03sig");
    let answer = identities_of(&identity(b"key", b"me"));
    assert_eq!(answer, *b"\0\0\0\x12\x0c\0\0\0\x01\0\0\0\x03key\0\0\0\x02me");
}

#[test]
fn a_list_comes_back_as_it_was_made() {
    let alone = identity(b"blob", b"/home/me/.ssh/id");
    assert_eq!(parse_identities(&identities_of(&alone)[4..]), Ok(vec![alone]));
    let expected = vec![identity(b"a", b""), identity(b"", b"b"), identity(b"c", b"\xff\0")];
    assert_eq!(parse_identities(&list(&[(b"a", b""), (b"", b"b"), (b"c", b"\xff\0")])), Ok(expected));
    assert_eq!(parse_identities(&list(&[])), Ok(vec![]));
}

#[test]
fn the_agent_signs_for_a_certificate_with_the_key_that_it_holds() {
    let plain = identity(b"key", b"me");
    let certified = plain.certified(b"certificate");
    assert_eq!((certified.blob(), certified.comment()), (&b"certificate"[..], &b"me"[..]));
    let request = |blob: &[u8]| {
        frame(&[&[SIGN_REQUEST], &length(blob.len()), blob, &length(4), b"data", &4_u32.to_be_bytes()])
    };
    assert_eq!(certified.addressed(request(b"certificate")), Some(request(b"key")));
    assert_eq!(plain.addressed(request(b"key")), Some(request(b"key")));
    assert_eq!(certified.addressed(request(b"certificate")[..10].to_vec()), None);
    assert_eq!(certified.addressed(failure()), None);
}

#[test]
fn every_truncation_is_noticed() {
    let answers = [list(&[(b"first", b"one"), (b"second", b"")]), signature(b"a signature"), list(&[])];
    for whole in answers {
        let parse = |message: &[u8]| match message.first() {
            Some(&SIGN_RESPONSE) => parse_signature(message).err(),
            _ => parse_identities(message).err(),
        };
        assert_eq!(parse(&whole), None);
        assert_eq!(parse(&[]), Some(AgentError::Empty));
        for end in 1..whole.len() {
            assert_eq!(parse(&whole[..end]), Some(AgentError::Truncated), "{end} of {whole:?}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(parse(&longer), Some(AgentError::Trailing), "{longer:?}");
    }
}

#[test]
fn refusals_are_told_from_nonsense() {
    for kind in [5, 30, 102] {
        assert_eq!(parse_identities(&[kind]), Err(AgentError::Refused));
        assert_eq!(parse_signature(&[kind]), Err(AgentError::Refused));
    }
    assert_eq!(parse_identities(&signature(b"")), Err(AgentError::Unexpected(14)));
    assert_eq!(parse_signature(&list(&[])), Err(AgentError::Unexpected(12)));
    assert_eq!(parse_signature(&[6]), Err(AgentError::Unexpected(6)));
}

#[test]
fn lists_and_signatures_are_bounded() {
    let counted = |count: u32| [&[IDENTITIES_ANSWER][..], &count.to_be_bytes()].concat();
    let max = u32::try_from(limits::AGENT_KEYS).unwrap();
    assert_eq!(parse_identities(&counted(max + 1)), Err(AgentError::TooManyKeys(max + 1)));
    assert_eq!(parse_identities(&counted(u32::MAX)), Err(AgentError::TooManyKeys(u32::MAX)));
    // A large count without entries allocates nothing.
    assert_eq!(parse_identities(&counted(max)), Err(AgentError::Truncated));
    let full = vec![(&b""[..], &b""[..]); limits::AGENT_KEYS];
    assert_eq!(parse_identities(&list(&full)).map(|keys| keys.len()), Ok(limits::AGENT_KEYS));

    let long = vec![b'x'; limits::AGENT_KEY + 1];
    let kept = identity(b"k", b"c");
    let mixed = list(&[(&long, b"c"), (b"k", b"c"), (b"k", &long), (&long[1..], b"")]);
    assert_eq!(parse_identities(&mixed), Ok(vec![kept, identity(&long[1..], b"")]));

    let limit = limits::AGENT_SIGNATURE;
    assert_eq!(parse_signature(&signature(&vec![1; limit])).map(<[u8]>::len), Ok(limit));
    assert_eq!(parse_signature(&signature(&vec![1; limit + 1])), Err(AgentError::LongSignature(limit + 1)));
}

#[test]
fn a_stream_is_cut_into_messages_however_it_arrives() {
    let stream = [request_identities(), signed(&[7; 300]), failure()].concat();
    for size in [1, 2, 3, 5, 7, 300, stream.len()] {
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            messages.push(piece);
            while let Some(message) = messages.next().unwrap() {
                found.push(message.to_vec());
            }
        }
        assert!(messages.is_empty());
        assert_eq!(found, [vec![11], signature(&[7; 300]), vec![5]], "pieces of {size}");
    }
}

#[test]
fn a_stream_that_makes_no_sense_is_refused_before_its_bytes_arrive() {
    let next = |bytes: &[u8]| {
        let mut messages = Messages::default();
        messages.push(bytes);
        messages.next().map(|message| message.map(<[u8]>::len))
    };
    assert_eq!(next(&[0, 0, 0]), Ok(None));
    assert_eq!(next(&[0, 0, 0, 0]), Err(AgentError::Empty));
    assert_eq!(next(&[0x40, 0, 0, 0]), Err(AgentError::TooLong(1 << 30)));
    let max = u32::try_from(limits::AGENT_MESSAGE).unwrap();
    assert_eq!(next(&(max + 1).to_be_bytes()), Err(AgentError::TooLong(max + 1)));
    assert_eq!(next(&max.to_be_bytes()), Ok(None));
}

#[test]
fn a_request_for_a_signature_is_found_behind_others() {
    let request = frame(&[&[SIGN_REQUEST], b"data"]);
    let stream = [request_identities(), request.clone()].concat();
    assert_eq!(find_sign_request(&stream), Some(&request[..]));
    assert_eq!(find_sign_request(&request_identities()), None);
    for end in 0..stream.len() {
        assert_eq!(find_sign_request(&stream[..end]), None);
    }
}

#[test]
fn debug_of_an_identity_is_one_clean_line() {
    assert_eq!(format!("{:?}", identity(b"blob", b"a\x1b]0;\n")), r"Identity(a\x1b]0;\n)");
}
