//! Key blobs, fingerprints and their text forms.

use super::super::{
    Fingerprint, HostKey, HostKeyPolicy, HostKeyProblem, KeyError, KeyType, KnownHosts, Verifier,
};
use super::support::{blob, dsa, ecdsa_p256, ed25519, modulus, rsa};

/// A key and its fingerprint as `ssh-keygen -l` prints it.
const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIpQ3Zh9hEiozfKrzWw3CGNo5EfiQXMMCXNaKZsI5hC web1";
const FINGERPRINT: &str = "SHA256:wBQCC2bKnbLGncCyeJlChR8nguhCPAm0VGMcM+lwKag";

#[test]
fn fingerprints_match_openssh() {
    let key = HostKey::from_openssh(PUBLIC).unwrap();
    assert_eq!(key.fingerprint().to_string(), FINGERPRINT);
    assert_eq!(FINGERPRINT.parse(), Ok(key.fingerprint()));
    assert_eq!(format!(" {FINGERPRINT}=\n").parse(), Ok(key.fingerprint()));
    assert_eq!(key.to_openssh(), PUBLIC.rsplit_once(' ').unwrap().0);
    assert_eq!((key.algorithm(), key.key_type()), ("ssh-ed25519", KeyType::Ed25519));
}

#[test]
fn invalid_fingerprints_are_refused() {
    let cut = &FINGERPRINT[..FINGERPRINT.len() - 1];
    let longer = format!("{FINGERPRINT}A");
    for text in ["", "SHA256:", "MD5:16:27:ac", cut, &longer, &FINGERPRINT[7..], "SHA256:????"] {
        assert!(text.parse::<Fingerprint>().is_err(), "{text}");
    }
}

#[test]
fn every_type_survives_its_text_form() {
    for key in [ed25519(1), rsa(1), dsa(1), ecdsa_p256(1)] {
        assert_eq!(HostKey::from_openssh(&key.to_openssh()), Ok(key.clone()));
        assert_eq!(HostKey::from_blob(key.blob().to_vec()), Ok(key));
    }
    let point = |coordinate: usize| [&[4], &vec![7; 2 * coordinate][..]].concat();
    for (name, curve, coordinate) in [("384", "nistp384", 48), ("521", "nistp521", 66)] {
        let name = format!("ecdsa-sha2-nistp{name}");
        let key = HostKey::from_blob(blob(&[name.as_bytes(), curve.as_bytes(), &point(coordinate)])).unwrap();
        assert_eq!(key.algorithm(), name);
    }
    let key = blob(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]);
    assert_eq!(HostKey::from_blob(key).unwrap().key_type(), KeyType::SkEd25519);
    let key = blob(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", &point(32), b"ssh:"]);
    assert_eq!(HostKey::from_blob(key).unwrap().key_type(), KeyType::SkEcdsaP256);
}

#[test]
fn damaged_blobs_are_refused() {
    let good = ed25519(1).blob().to_vec();
    for length in 0..good.len() {
        assert!(HostKey::from_blob(good[..length].to_vec()).is_err(), "cut to {length}");
    }
    let trailing = [&good[..], b"x"].concat();
    assert_eq!(HostKey::from_blob(trailing), Err(KeyError::Damaged));
    let negative = blob(&[b"ssh-rsa", &[1, 0, 1], &modulus(1)[1..]]);
    assert_eq!(HostKey::from_blob(negative), Err(KeyError::Damaged));
    let short = blob(&[b"ssh-rsa", &[1, 0, 1], &[0x7f; 128]]);
    assert_eq!(HostKey::from_blob(short), Err(KeyError::RsaTooShort));
    let compressed = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 33]]);
    assert_eq!(HostKey::from_blob(compressed), Err(KeyError::Damaged));
    let curve = blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]]);
    assert_eq!(HostKey::from_blob(curve), Err(KeyError::Damaged));
    let certificate = blob(&[b"ssh-ed25519-cert-v01@openssh.com", &[1; 32], &[2; 32]]);
    assert_eq!(HostKey::from_blob(certificate), Err(KeyError::UnsupportedType));
    let huge = [&[0xff, 0xff, 0xff, 0xff][..], b"ssh-ed25519"].concat();
    assert_eq!(HostKey::from_blob(huge), Err(KeyError::Damaged));
}

#[test]
fn an_rsa_key_may_be_too_short_for_the_settings() {
    let verifier = Verifier::new(KnownHosts::default(), HostKeyPolicy::strict());
    let shown = |key: &HostKey, required: usize| {
        let verification = verifier.begin(&"web1".into(), 22, key.blob().to_vec(), &[]).unwrap();
        verification.require_rsa_bits(required).map(drop)
    };
    let bits = 8 * modulus(1).len() - 8;
    assert!(shown(&rsa(1), bits).is_ok() && shown(&ed25519(1), 99_999).is_ok());
    let error = shown(&rsa(1), bits + 1).unwrap_err();
    let (fingerprint, required) = (rsa(1).fingerprint(), bits + 1);
    assert_eq!(
        error.to_string(),
        format!(
            "host key of web1 (ssh-rsa {fingerprint}) has {bits} bits, fewer than the {required} of \
             required_rsa_size; let the host have a longer key, or one of another type"
        )
    );
    assert!(matches!(error.problem(), HostKeyProblem::TooShort { .. }));
}

#[test]
fn one_rsa_key_has_one_blob() {
    let key = rsa(1);
    let padded = [&[0, 0, 0], &modulus(1)[..]].concat();
    for numbers in [[&[0, 1, 0, 1][..], &modulus(1)], [&[1, 0, 1], &padded], [&[0, 0, 1, 0, 1], &padded]] {
        let other = HostKey::from_blob(blob(&[b"ssh-rsa", numbers[0], numbers[1]])).unwrap();
        assert_eq!(other, key);
        assert_eq!(other.fingerprint(), key.fingerprint());
    }
}

#[test]
fn text_without_a_key_is_refused() {
    let text = ed25519(1).to_openssh();
    let other = text.replacen("ssh-ed25519", "ssh-rsa", 1);
    let errors = [
        ("", KeyError::Form),
        ("ssh-ed25519", KeyError::Form),
        ("ssh-ed25519 AAA", KeyError::Base64),
        ("ssh-ed448 AAAA", KeyError::UnsupportedType),
        (&other, KeyError::TypeMismatch),
    ];
    for (text, error) in errors {
        assert_eq!(HostKey::from_openssh(text), Err(error), "{text}");
    }
}
