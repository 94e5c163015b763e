//! Keys that are truncated, altered, or made up.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::made::{Made, TYPES};
use super::parts::{Curve, RsaParts};
use super::*;

/// One key of each format, with the label of its `BEGIN` line.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let (ed25519, ecdsa, rsa) = (Made::of(0), Made::of(1), Made::of(4));
    let pkcs8 = ["pkcs8", "-topk8", "-passout", "pass:x", "-iter", "1"];
    vec![
        ("OPENSSH PRIVATE KEY", ed25519.text()),
        ("OPENSSH PRIVATE KEY", ecdsa.text()),
        ("OPENSSH PRIVATE KEY", rsa.text()),
        ("PRIVATE KEY", ecdsa.rewritten("", &["-m", "PKCS8"])),
        ("RSA PRIVATE KEY", rsa.rewritten("", &["-m", "PEM"])),
        ("EC PRIVATE KEY", ecdsa.rewritten("", &["-m", "PEM"])),
        ("ENCRYPTED PRIVATE KEY", ecdsa.converted(&pkcs8)),
        ("OPENSSH PRIVATE KEY", ed25519.rewritten(PASSPHRASE, &["-Z", "aes256-gcm@openssh.com"])),
        ("EC PRIVATE KEY", ecdsa.converted(&["pkey", "-traditional", "-aes128", "-passout", "pass:x"])),
    ]
}

/// Puts the same armor around other data.
fn rearmored(text: &[u8], label: &str, data: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(text).unwrap();
    let headers: Vec<&str> = text.lines().filter(|line| line.contains(": ")).collect();
    let (headers, base64) = (headers.join("\n"), BASE64_STANDARD.encode(data));
    format!("-----BEGIN {label}-----\n{headers}\n\n{base64}\n-----END {label}-----\n").into_bytes()
}

#[test]
fn no_prefix_of_a_file_or_its_content_is_a_key() {
    for (label, text) in samples() {
        open(&text, Some(PASSPHRASE)).unwrap();
        let end = text.windows(8).rposition(|window| window == b"-----END").unwrap();
        for length in 0..=end {
            assert!(open(&text[..length], Some(PASSPHRASE)).is_err(), "{label}: {length} bytes");
        }
        let data = KeyText::find(&text).unwrap().data;
        for length in 0..data.len() {
            let text = rearmored(&text, label, &data[..length]);
            assert!(open(&text, Some(PASSPHRASE)).is_err(), "{label}: {length} bytes of {}", data.len());
        }
        let longer = rearmored(&text, label, &[&data[..], &[0]].concat());
        assert!(open(&longer, Some(PASSPHRASE)).is_err(), "{label}: a byte too many");
    }
}

/// A changed byte is detected, or is not part of the key, which then stays the same.
#[test]
fn no_changed_byte_makes_another_key() {
    for (label, text) in samples() {
        let blob = open(&text, Some(PASSPHRASE)).unwrap().blob().to_vec();
        let data = KeyText::find(&text).unwrap().data;
        for index in 0..data.len() {
            for flip in [0x01, 0x80] {
                let mut data = data.to_vec();
                data[index] ^= flip;
                let opener = Opener { passphrase: Some(PASSPHRASE.as_bytes()), rounds_max: 1 };
                let found = KeyText::find(&rearmored(&text, label, &data)).unwrap();
                if let Ok(key) = found.open(opener) {
                    assert_eq!(key.blob(), blob, "{label}: byte {index}");
                }
            }
        }
    }
}

/// A key whose halves do not belong together is rejected.
#[test]
fn halves_of_different_keys_are_detected() {
    for (index, of_type) in TYPES.iter().enumerate().take(4) {
        let (one, other) = (Made::of(index), open(&another(index), None).unwrap());
        let data = KeyText::find(&one.text()).unwrap().data;
        let mixed = replaced(&data, &one.blob, other.blob(), 1);
        let text = rearmored(b"", "OPENSSH PRIVATE KEY", &mixed);
        assert_eq!(told(&text, None), "is damaged: its two public keys differ", "{:?}", of_type);
        // Changes both copies of the public half.
        let mixed = replaced(&data, &one.blob, other.blob(), 2);
        let text = rearmored(b"", "OPENSSH PRIVATE KEY", &mixed);
        let problem = told(&text, None);
        let expected = match index {
            0 => "is damaged: its two public keys differ",
            _ => "is damaged: its public half does not belong to its private half",
        };
        assert_eq!(problem, expected, "{:?}", of_type);
    }
    let [seed, other] = [[1; 32], [2; 32]];
    let problem = PlainKey::new(&Parts::Ed25519 { seed: &seed, public: Some(&other) }).unwrap_err();
    assert_eq!(problem.to_string(), "is damaged: its public half does not belong to its private half");
}

fn another(index: usize) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let mut program = std::process::Command::new("ssh-keygen");
    super::made::run(program.args(["-q", "-N", ""]).args(TYPES[index]).arg("-f").arg(&path));
    std::fs::read(path).unwrap()
}

fn replaced(data: &[u8], from: &[u8], to: &[u8], times: usize) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..times {
        let at = data.windows(from.len()).position(|window| window == from).unwrap();
        data.splice(at..at + from.len(), to.iter().copied());
    }
    data
}

#[test]
fn ecdsa_numbers_out_of_range_are_refused() {
    let told = |curve, scalar: &[u8], point| {
        PlainKey::new(&Parts::Ecdsa { curve, scalar, point }).unwrap_err().to_string()
    };
    for curve in Curve::ALL {
        for scalar in [vec![], vec![0; 66], vec![0xff; curve.bytes], vec![1; curve.bytes + 1], vec![1; 9999]]
        {
            assert_eq!(
                told(curve, &scalar, None),
                "is damaged: its private number is too large for its curve"
            );
        }
        for point in [&b""[..], &[0], &[4], &[4; 65], &[4; 97], &[4; 133], &[2; 9999]] {
            let problem = told(curve, &[1], Some(point));
            assert!(problem.starts_with("is damaged: its public half "), "{problem}");
        }
    }
}

/// Each of these keys is rejected quickly. Most of them would keep libcrypto busy, or make it
/// divide by zero.
#[test]
fn absurd_rsa_numbers_are_refused() {
    let text = Made::of(4).rewritten("", &["-m", "PEM"]);
    let der = KeyText::find(&text).unwrap().data;
    let Parts::Rsa(good) = asn1::rsa(&der).unwrap() else { panic!() };
    PlainKey::new(&Parts::Rsa(good)).unwrap();
    let (huge, large) = (vec![0xff; 2049], vec![0xff; 128]);
    let absurd: [&[u8]; 9] = [b"", &[0], &[1], &[2], &[3], &[0xff; 40], &large, &huge, &[0x80; 2048]];
    for number in absurd {
        let changed = [
            RsaParts { n: number, ..good },
            RsaParts { e: number, ..good },
            RsaParts { d: number, ..good },
            RsaParts { p: number, ..good },
            RsaParts { q: number, ..good },
            RsaParts { q_inv: number, ..good },
            RsaParts { p: good.n, q: number, ..good },
            RsaParts { n: number, p: number, q: &[1], ..good },
            RsaParts { n: number, e: number, d: number, p: number, q: number, q_inv: number },
        ];
        for (index, parts) in changed.into_iter().enumerate() {
            let problem = PlainKey::new(&Parts::Rsa(parts)).expect_err("an absurd key");
            let expected = matches!(problem, KeyProblem::Damaged(_) | KeyProblem::RsaSize { .. });
            assert!(expected, "{index}, {} bytes: {problem}", number.len());
        }
    }
    let size = PlainKey::new(&Parts::Rsa(RsaParts { n: &huge, ..good })).unwrap_err().to_string();
    assert_eq!(size, "is an RSA key of 16392 bits; from 512 to 16384 are supported");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0..5usize) {
        let labels =
            ["OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
        let _ = open(&bytes, Some(PASSPHRASE));
        prop_assert!(open(&rearmored(b"", labels[which], &bytes), Some(PASSPHRASE)).is_err());
        let magic = [openssh::MAGIC, &bytes].concat();
        prop_assert!(open(&rearmored(b"", labels[0], &magic), Some(PASSPHRASE)).is_err());
    }
}
