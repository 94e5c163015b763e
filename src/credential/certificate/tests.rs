//! Certificates made by `ssh-keygen -s`, and data that must not be accepted as a certificate.

mod samples;

use std::path::Path;

use proptest::prelude::*;

use self::samples::{EC, EC_KEY, ED25519, ED25519_KEY, HOST, RSA, RSA_KEY};
use super::*;

fn parse(text: &str) -> Result<Certificate, CertProblem> {
    Certificate::parse("id-cert.pub".into(), text.as_bytes())
}

fn blob(public: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 2020-01-01 00:00:00 UTC.
const YEAR_2020: u64 = 1_577_836_800;
const YEAR_2030: u64 = 1_893_456_000;

#[test]
fn each_type_is_parsed_and_matches_its_key() {
    let keys = [ED25519_KEY, RSA_KEY, EC_KEY].map(blob);
    for (index, text) in [ED25519, RSA, EC].into_iter().enumerate() {
        let certificate = parse(text).unwrap();
        assert_eq!(certificate.type_name(), text.split(' ').next().unwrap());
        assert_eq!(certificate.blob(), blob(text));
        for (other, key) in keys.iter().enumerate() {
            assert_eq!(certificate.is_for(key), index == other, "{text}");
        }
    }
}

#[test]
fn text_around_type_and_base64_is_ignored() {
    let text = ED25519.split(' ').take(2).collect::<Vec<_>>().join(" ");
    for text in [text.clone(), format!("\n {text}\r\n"), format!("{text} a comment of words\n{RSA}")] {
        assert_eq!(parse(&text).unwrap(), parse(ED25519).unwrap());
    }
}

#[test]
fn validity_and_names_match_the_certificate() {
    let certificate = parse(ED25519).unwrap();
    let path = || Path::new("id-cert.pub").to_owned();
    let early = AuthProblem::CertificateNotYetValid { path: path(), from: at(YEAR_2020) };
    let late = AuthProblem::CertificateExpired { path: path(), until: at(YEAR_2030) };
    let principals = vec!["deploy".to_owned(), "root".to_owned()];
    let stranger = AuthProblem::CertificateOfOthers { path: path(), principals };
    assert_eq!(certificate.problem("deploy", at(YEAR_2020 - 1)), Some(early));
    assert_eq!(certificate.problem("deploy", at(YEAR_2020)), None);
    assert_eq!(certificate.problem("root", at(YEAR_2030 - 1)), None);
    assert_eq!(certificate.problem("deploy", at(YEAR_2030)), Some(late));
    assert_eq!(certificate.problem("eve", at(YEAR_2020)), Some(stranger));
    assert_eq!(parse(RSA).unwrap().problem("deploy", at(TIME_MAX)), None, "valid forever");
    let nobody = AuthProblem::CertificateOfOthers { path: path(), principals: Vec::new() };
    assert_eq!(parse(EC).unwrap().problem("deploy", at(YEAR_2020)), Some(nobody));
}

#[test]
fn other_kinds_of_files_are_named() {
    assert!(matches!(parse(HOST), Err(CertProblem::ForHosts)));
    assert!(matches!(parse(ED25519_KEY), Err(CertProblem::PlainKey)));
    let security_key = ED25519.replacen("ssh-ed25519", "sk-ssh-ed25519", 1);
    let Err(CertProblem::Unsupported(name)) = parse(&security_key) else { panic!() };
    assert_eq!(name, "sk-ssh-ed25519-cert-v01@openssh.com");
    let rsa = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
    let words = [
        "",
        "one",
        "two words",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com %%%",
        &rsa,
    ];
    for text in words {
        assert!(matches!(parse(text), Err(CertProblem::Malformed)), "{text}");
    }
    assert!(matches!(Certificate::parse("x".into(), b"\xff\xfe a"), Err(CertProblem::Malformed)));
    let too_large = vec![b'\n'; limits::KEY_FILE + 1];
    let problem = Certificate::parse("x".into(), &too_large).unwrap_err();
    assert_eq!(problem.to_string(), "is larger than 65536 bytes");
}

/// Like `ssh`, takes the first line that is a certificate.
#[test]
fn other_lines_are_ignored_in_any_encoding() {
    let before: [&[u8]; 6] = [
        b"# caf\xe9\n\n  # two\n",
        b"\xef\xbb\xbf",
        b"\xff\xfe\x00\n",
        b"ssh-ed25519-cert-v01@openssh.com AAAAdamaged\r\n",
        ED25519_KEY.as_bytes(),
        HOST.as_bytes(),
    ];
    for before in before {
        let newline: &[u8] = if before.starts_with(b"\xef\xbb\xbf") { b"" } else { b"\n" };
        let text = [before, newline, ED25519.as_bytes(), b" caf\xe9\r\n\xff"].concat();
        assert_eq!(Certificate::parse("id-cert.pub".into(), &text).unwrap(), parse(ED25519).unwrap());
    }
    // The error is that of the first line with a specific problem.
    assert!(matches!(parse(&format!("# one\n{ED25519_KEY}\n{HOST}\n")), Err(CertProblem::PlainKey)));
    assert!(matches!(parse(&format!("# one\n{HOST}\n{ED25519_KEY}\n")), Err(CertProblem::ForHosts)));
}

/// Which keys listed by an agent may be passed to libssh.
#[test]
fn keys_and_certificates_of_an_agent_are_well_formed() {
    for text in [ED25519_KEY, RSA_KEY, EC_KEY, ED25519, RSA, EC, HOST] {
        let blob = blob(text);
        assert!(is_well_formed(&blob), "{text}");
        for end in 0..blob.len() {
            assert!(!is_well_formed(&blob[..end]), "{text}: {end} bytes");
        }
        assert!(!is_well_formed(&[blob.as_slice(), &[0]].concat()), "{text}: a byte too many");
    }
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    for name in ["", "ssh-ed25519", "ssh-xmss@openssh.com", "ssh-ed25519-cert-v01@openssh.com"] {
        assert!(!is_well_formed(&field(name.as_bytes())), "{name}");
    }
    // A certificate for a security key is made from that of a plain key, with another type and with
    // the key's application added.
    let plain = blob(ED25519);
    let at = 4 + "ssh-ed25519-cert-v01@openssh.com".len();
    let key = at + 36 + 36;
    let name = field(b"sk-ssh-ed25519-cert-v01@openssh.com");
    let of_security_key = [&name[..], &plain[at..key], &field(b"ssh:"), &plain[key..]].concat();
    assert!(is_well_formed(&of_security_key));
    assert!(matches!(parse(&text(&of_security_key)), Err(CertProblem::Malformed)));
}

/// libssh reads only keys in canonical form.
#[test]
fn a_key_in_noncanonical_form_is_malformed() {
    let good = blob(RSA);
    let number =
        |blob: &[u8], at: usize| 4 + u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    // After the type and the nonce.
    let at = number(&good, 0) + number(&good, number(&good, 0));
    let with = |exponent: &[u8]| {
        let length = u32::try_from(exponent.len()).unwrap().to_be_bytes();
        let (before, behind) = (&good[..at], &good[at + number(&good, at)..]);
        let blob = [before, &length[..], exponent, behind].concat();
        parse(&format!("ssh-rsa-cert-v01@openssh.com {}", BASE64_STANDARD.encode(blob)))
    };
    assert_eq!(with(&[1, 0, 1]).unwrap(), parse(RSA).unwrap());
    for exponent in [&[0, 1, 0, 1][..], &[0xff, 0, 1], &[0xff; 2100]] {
        assert!(matches!(with(exponent), Err(CertProblem::Malformed)), "{exponent:?}");
    }
    let good = blob(ED25519);
    let at = number(&good, 0) + number(&good, number(&good, 0));
    let short = [&good[..at], &[0, 0, 0, 1, 7], &good[at + 36..]].concat();
    assert!(matches!(parse(&text(&short)), Err(CertProblem::Malformed)));
}

fn text(blob: &[u8]) -> String {
    format!("ssh-ed25519-cert-v01@openssh.com {}", BASE64_STANDARD.encode(blob))
}

#[test]
fn a_certificate_of_the_wrong_length_is_malformed() {
    let blob = blob(ED25519);
    assert!(parse(&text(&blob)).is_ok());
    for end in 0..blob.len() {
        assert!(matches!(parse(&text(&blob[..end])), Err(CertProblem::Malformed)), "{end} bytes");
    }
    let longer = [blob.as_slice(), &[0]].concat();
    assert!(matches!(parse(&text(&longer)), Err(CertProblem::Malformed)));
}

proptest! {
    /// In particular, wrong lengths.
    #[test]
    fn no_byte_makes_it_panic(at in 0usize..400, byte: u8) {
        let mut blob = blob(ED25519);
        let at = at % blob.len();
        blob[at] = byte;
        if let Ok(certificate) = parse(&text(&blob)) {
            let _ = certificate.problem("deploy", super::time(u64::MAX)).map(|problem| problem.to_string());
        }
    }
}
