//! Every type in every format, compared with what OpenSSH reads.

use super::made::{Made, TYPES, by_openssl, ed25519_by_openssl};
use super::*;

/// All ciphers of `ssh-keygen -Z`.
const CIPHERS: [&str; 10] = [
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// Checks that the key opens, is the expected one, and reads the same after it was written.
#[track_caller]
fn assert_opens(bytes: &[u8], blob: &[u8], passphrase: Option<&str>) {
    let key = open(bytes, passphrase).unwrap();
    assert_eq!(key.blob(), blob);
    let again = key.reopened().unwrap();
    assert_eq!((again.blob(), again.as_c_str()), (key.blob(), key.as_c_str()));
}

/// Like [`assert_opens`] for an encrypted key: a missing and a wrong passphrase are different
/// errors.
#[track_caller]
fn assert_opens_with_passphrase_only(bytes: &[u8], blob: &[u8]) {
    assert_opens(bytes, blob, Some(PASSPHRASE));
    for none in [None, Some("")] {
        assert_eq!(told(bytes, none), "is encrypted and no passphrase was given");
    }
    assert_eq!(told(bytes, Some("y")), "is encrypted and the passphrase does not open it");
}

#[test]
fn openssh_keys_of_every_type() {
    for index in 0..TYPES.len() {
        let made = Made::of(index);
        assert_opens(&made.text(), &made.blob, None);
        assert_opens(&made.text(), &made.blob, Some("not needed"));
        assert_opens_with_passphrase_only(&made.rewritten(PASSPHRASE, &[]), &made.blob);
    }
}

/// With three of these ciphers, libssh 0.10 and 0.11 call a null pointer.
#[test]
fn openssh_keys_with_every_cipher() {
    let listed = made::run(std::process::Command::new("ssh").args(["-Q", "cipher"]));
    for cipher in listed.lines() {
        assert!(CIPHERS.contains(&cipher), "ssh-keygen has another cipher: {cipher}");
    }
    for cipher in CIPHERS {
        for index in [0, 1, 4] {
            let made = Made::of(index);
            assert_opens_with_passphrase_only(&made.rewritten(PASSPHRASE, &["-Z", cipher]), &made.blob);
        }
    }
}

/// `ssh-keygen -m PEM` writes PKCS#1 and SEC 1, `-m PKCS8` PBES2. Neither supports Ed25519.
#[test]
fn pem_and_pkcs8_of_ssh_keygen() {
    for index in 1..TYPES.len() {
        let made = Made::of(index);
        for format in ["PEM", "PKCS8"] {
            assert_opens(&made.rewritten("", &["-m", format]), &made.blob, None);
            // PEM requires passphrases of at least four characters.
            let text = made.rewritten("xxxxx", &["-m", format]);
            assert_opens(&text, &made.blob, Some("xxxxx"));
            assert_eq!(told(&text, None), "is encrypted and no passphrase was given");
            assert_eq!(told(&text, Some("y")), "is encrypted and the passphrase does not open it");
        }
    }
}

#[test]
fn pkcs8_of_openssl_with_every_cipher_and_derivation() {
    let made = Made::of(1);
    let encrypted =
        |options: &[&str]| made.converted(&[&["pkcs8", "-topk8", "-passout", "pass:x"], options].concat());
    for cipher in ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"] {
        assert_opens_with_passphrase_only(&encrypted(&["-v2", cipher]), &made.blob);
    }
    for hash in ["hmacWithSHA1", "hmacWithSHA224", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"] {
        assert_opens_with_passphrase_only(&encrypted(&["-v2prf", hash, "-iter", "1"]), &made.blob);
    }
    assert_opens_with_passphrase_only(&encrypted(&["-scrypt"]), &made.blob);
}

#[test]
fn pem_of_openssl_with_its_own_encryption() {
    for index in [1, 4] {
        let made = Made::of(index);
        for cipher in ["-aes128", "-aes192", "-aes256", "-des3"] {
            let arguments = ["pkey", "-traditional", cipher, "-passout", "pass:x"];
            assert_opens_with_passphrase_only(&made.converted(&arguments), &made.blob);
        }
        assert_opens(&made.converted(&["pkey", "-traditional"]), &made.blob, None);
    }
}

/// Ed25519 in PKCS#8 has no public half. ECDSA may have parameters before it, a compressed point,
/// or none.
#[test]
fn keys_that_openssl_makes() {
    let (text, public) = ed25519_by_openssl();
    assert_eq!(open(&text, None).unwrap().blob(), public);
    let (text, blob) = by_openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    assert_opens(&text, &blob, None);
    let (text, blob) = by_openssl(&["ecparam", "-name", "prime256v1", "-genkey"]);
    assert!(text.starts_with(b"-----BEGIN EC PARAMETERS-----"));
    assert_opens(&text, &blob, None);
    let (text, blob) = by_openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    assert_opens(&text, &blob, None);
    for index in 1..4 {
        let made = Made::of(index);
        assert_opens(&made.converted(&["ec", "-conv_form", "compressed"]), &made.blob, None);
        assert_opens(&made.converted(&["ec", "-no_public"]), &made.blob, None);
    }
}

/// One in 512 of these has a number of 31 bytes or less; the `ssh-key` crate refuses them.
#[test]
fn ecdsa_numbers_with_leading_zeros() {
    for length in [20, 31] {
        let scalar = vec![1; length];
        let key = PlainKey::new(&Parts::Ecdsa { curve: parts::Curve::P256, scalar: &scalar, point: None });
        assert_read_by_ssh_keygen(&key.unwrap());
    }
}

#[test]
fn openssh_reads_the_plain_form() {
    for index in 0..TYPES.len() {
        assert_read_by_ssh_keygen(&open(&Made::of(index).text(), None).unwrap());
    }
}

#[track_caller]
fn assert_read_by_ssh_keygen(key: &PlainKey) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, key.as_c_str().to_bytes()).unwrap();
    assert_eq!(made::public_half(&path), key.blob());
    assert_eq!(key.reopened().unwrap().blob(), key.blob());
}

/// Like OpenSSH, accepts other lines around PEM, in any encoding, and the line ends of other
/// systems.
#[test]
fn other_lines_around_the_key() {
    for index in 0..TYPES.len() {
        let made = Made::of(index);
        let text = made.text();
        let dos = String::from_utf8(text.clone()).unwrap().replace('\n', "\r\n").into_bytes();
        let around: [(&[u8], &[u8], &[u8]); 6] = [
            (b"# caf\xe9: the key of\nBag Attributes: <none>\n\n", &text, b"\n# \xff\xfe\x00 the end"),
            (b"\xef\xbb\xbf", &text, b""),
            (b"", &dos, b"\r\n\x1a"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &text, b""),
            (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA the public half\n", &text, b""),
            (b"", &text, &text),
        ];
        for (before, key, behind) in around {
            assert_opens(&[before, key, behind].concat(), &made.blob, None);
        }
    }
}

#[test]
fn nothing_secret_is_shown() {
    let key = open(&Made::of(0).text(), None).unwrap();
    assert_eq!(format!("{key:?}"), "PlainKey(..)");
    let opener = Opener { passphrase: Some(b"hunter2"), rounds_max: 1 };
    assert_eq!(format!("{opener:?}"), "Opener { rounds_max: 1, .. }");
}
