//! Files of revoked keys. `ssh-keygen` makes the KRLs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::files::{FileNames, HostKeyFiles};
use super::super::revoked::RevokedKeys;
use super::super::{HostKey, HostKeyPins, HostKeyPolicy, HostKeyProblem, Verdict, Verifier};
use super::support::{blob, ed25519, rsa};

const MAGIC: &[u8] = b"SSHKRL\n\0";

/// A KRL with these sections.
fn krl(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut krl = [MAGIC, &[0, 0, 0, 1], &[0; 24], &blob(&[b"", b"a comment"])].concat();
    for (number, content) in sections {
        krl.push(*number);
        krl.extend(blob(&[content]));
    }
    krl
}

fn parse(content: &[u8]) -> Result<RevokedKeys, String> {
    RevokedKeys::parse(content, Path::new("revoked")).map_err(|error| error.to_string())
}

fn fault(content: &[u8]) -> String {
    parse(content).expect_err("it is damaged")
}

/// A KRL that `ssh-keygen -k` makes of a specification, with public keys in files.
fn made(directory: &Path, specification: &str, name: &str) -> PathBuf {
    let (spec, krl) = (directory.join(format!("{name}.spec")), directory.join(name));
    fs::write(&spec, specification).unwrap();
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f"]).arg(&krl).arg(&spec).status().unwrap();
    assert!(made.success(), "{specification}");
    krl
}

/// Whether OpenSSH finds the key in the file.
fn is_revoked_by_openssh(directory: &Path, krl: &Path, key: &HostKey) -> bool {
    let file = directory.join("asked.pub");
    fs::write(&file, key.to_openssh()).unwrap();
    !Command::new("ssh-keygen").args(["-q", "-Q", "-f"]).arg(krl).arg(file).status().unwrap().success()
}

#[test]
fn krls_made_by_openssh_revoke_the_same_keys() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let keys: Vec<HostKey> = (1..=4).map(ed25519).chain([rsa(1), rsa(2)]).collect();
    let (fingerprint, rsa_key) = (keys[1].fingerprint(), keys[4].to_openssh());
    let explicit = format!("key: {}\nkey: {rsa_key}\n", keys[0].to_openssh());
    let by_hash = format!("hash: {fingerprint}\nsha256: {rsa_key}\n");
    let sha1 = format!("sha1: {}\nsha1: {rsa_key}\n", keys[2].to_openssh());
    let ca = directory.join("ca.pub");
    fs::write(&ca, ed25519(9).to_openssh()).unwrap();
    let specifications = [
        ("empty", String::new(), vec![]),
        ("explicit", explicit.clone(), vec![0, 4]),
        ("sha256", by_hash.clone(), vec![1, 4]),
        ("sha1", sha1.clone(), vec![2, 4]),
        ("all", format!("{explicit}{by_hash}{sha1}"), vec![0, 1, 2, 4]),
    ];
    for (name, specification, revoked) in specifications {
        let krl = made(directory, &specification, name);
        let parsed = parse(&fs::read(&krl).unwrap()).unwrap();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(parsed.contains(key), revoked.contains(&index), "{name}, key {index}");
            assert_eq!(
                is_revoked_by_openssh(directory, &krl, key),
                revoked.contains(&index),
                "{name}: {index}"
            );
        }
    }
    // Serial numbers and ids of certificates are skipped, here together with a plain key.
    let (spec, krl) = (directory.join("certificates.spec"), directory.join("certificates"));
    fs::write(&spec, format!("serial: 1-1000\nserial: 5000\nid: web\n{explicit}")).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-k", "-z", "7", "-f"]).arg(&krl).arg("-s").arg(&ca).arg(&spec);
    assert!(keygen.status().unwrap().success());
    let parsed = parse(&fs::read(&krl).unwrap()).unwrap();
    assert_eq!([0, 1].map(|index| parsed.contains(&keys[index])), [true, false]);
}

/// No length is believed, and nothing is skipped that could revoke a key.
#[test]
fn a_damaged_krl_is_an_error_wherever_it_ends() {
    let key = ed25519(1);
    let [one, two] = [vec![7; 20], vec![9; 32]];
    let sections = [
        (2, blob(&[key.blob()])),
        (3, blob(&[&one])),
        (5, blob(&[&two])),
        (255, [blob(&[b"name@host"]), vec![0], blob(&[b"value"])].concat()),
        (4, key.blob().to_vec()),
    ];
    let whole = [krl(&sections), blob(&[b"signature"])].concat();
    assert!(parse(&whole).unwrap().contains(&key));
    let starts: Vec<usize> = (0..=4).map(|count| krl(&sections[..count]).len()).collect();
    for end in MAGIC.len()..whole.len() {
        // A file may end between two sections.
        assert_eq!(parse(&whole[..end]).is_ok(), starts.contains(&end), "cut at {end}");
    }
    let mut long = krl(&[(2, blob(&[key.blob()]))]);
    let length_at = long.len() - key.blob().len() - 4;
    long[length_at..length_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(fault(&long), "damaged KRL: a field ends too early");

    assert_eq!(fault(&krl(&[(3, blob(&[&[0; 19]]))])), "damaged KRL: a fingerprint has a wrong length");
    assert_eq!(fault(&krl(&[(5, blob(&[&[0; 20]]))])), "damaged KRL: a fingerprint has a wrong length");
    assert_eq!(fault(&krl(&[(6, vec![])])), "damaged KRL: a section of the unknown type 6");
    let critical = [blob(&[b"name@host"]), vec![1], blob(&[b""])].concat();
    assert_eq!(fault(&krl(&[(255, critical)])), "damaged KRL: a critical extension, which is not supported");
    let more = [krl(&[(4, vec![])]), blob(&[b""]), vec![2], blob(&[b""])].concat();
    assert_eq!(fault(&more), "damaged KRL: a section after the signature");
    let mut version = krl(&[]);
    version[11] = 2;
    assert_eq!(fault(&version), "damaged KRL: its format version is 2, not 1");
    // Keys that no host can send take no memory.
    assert!(parse(&krl(&[(2, blob(&[b"", b"junk"]))])).is_ok());
}

#[test]
fn a_text_has_a_key_per_line() {
    let [one, two, three] = [1, 2, 3].map(ed25519);
    let short = STANDARD.encode(blob(&[b"ssh-rsa", &[1, 0, 1], &[0x7f; 64]]));
    let text = format!(
        "# a comment\n\n  {} a comment\r\n\t{}\nssh-rsa {short}\nssh-ed25519-cert-v01@openssh.com AAAA\n{}",
        one.to_openssh(),
        two.to_openssh(),
        three.to_openssh()
    );
    let revoked = parse(text.as_bytes()).unwrap();
    assert_eq!([1, 2, 3, 4].map(|seed| revoked.contains(&ed25519(seed))), [true, true, true, false]);

    // As in OpenSSH, a line that cannot be read is an error, because it may revoke the key.
    let good = one.to_openssh();
    for (bad, expected) in [
        ("ssh-ed25519", "line 2: not of the form \"type base64\""),
        ("ssh-ed25519 AAAA!", "line 2: invalid base64"),
        ("ssh-ed25519 AAAA", "line 2: malformed key"),
        ("@revoked * ssh-ed25519 AAAA", "line 2: unsupported key type"),
        ("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU x", "line 2: unsupported key type"),
    ] {
        assert_eq!(fault(format!("{good}\n{bad}\n").as_bytes()), expected);
    }
    assert!(parse(b"").is_ok());
}

fn verifier(revoked: &Path, policy: HostKeyPolicy) -> Verifier {
    let names = FileNames { revoked: Some(revoked.to_owned()), ..FileNames::default() };
    Verifier::new(HostKeyFiles::load(names).unwrap(), policy)
}

fn is_revoked(verifier: &Verifier, seed: u64) -> bool {
    let key = ed25519(seed);
    match verifier.verify("web1", 22, &key) {
        Ok(_) => false,
        Err(error) => {
            let HostKeyProblem::RevokedByFile { path } = error.problem() else { panic!("{error}") };
            let text = format!(
                "host key of web1 (ssh-ed25519 {}) is revoked by {}; the host may be using a stolen key",
                key.fingerprint(),
                path.display()
            );
            assert_eq!(error.to_string(), text);
            true
        }
    }
}

#[test]
fn a_revoked_key_is_refused_by_every_policy() {
    let directory = tempfile::tempdir().unwrap();
    let [file, new] = ["revoked", "new"].map(|name| directory.path().join(name));
    fs::write(&file, ed25519(1).to_openssh()).unwrap();
    let both =
        HostKeyPins::new().for_any_host(ed25519(1).fingerprint()).for_any_host(ed25519(2).fingerprint());
    let policies = [
        HostKeyPolicy::accept_new(&new),
        HostKeyPolicy::pinned(both),
        HostKeyPolicy::ask(|_| super::super::HostKeyDecision::Accept),
        HostKeyPolicy::danger_accept_changed(&new),
        HostKeyPolicy::danger_accept_any_host_key(),
    ];
    for policy in policies {
        let text = format!("{policy:?}");
        let verifier = verifier(&file, policy);
        assert_eq!([1, 2].map(|seed| is_revoked(&verifier, seed)), [true, false], "{text}");
    }
    // A key on record is no exception.
    fs::write(&new, format!("web1 {}\n", ed25519(1).to_openssh())).unwrap();
    let names = FileNames { known_hosts: vec![new], revoked: Some(file), ..FileNames::default() };
    assert!(is_revoked(&Verifier::new(HostKeyFiles::load(names).unwrap(), HostKeyPolicy::strict()), 1));
}

/// A scan accepts no key, so it takes another way than the policies.
#[test]
fn a_scan_finds_revoked_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("revoked");
    fs::write(&file, ed25519(1).to_openssh()).unwrap();
    let verifier = verifier(&file, HostKeyPolicy::strict());
    let verdict = |seed| {
        let blob = ed25519(seed).blob().to_vec();
        let verification = verifier.begin(&"web1".into(), 22, blob, &[]).unwrap();
        verification.search_all().verdict(usize::MAX).unwrap().0
    };
    let Verdict::Revoked { location } = verdict(1) else { panic!("{:?}", verdict(1)) };
    assert_eq!((location.path(), location.line()), (file.as_path(), None));
    assert_eq!(verdict(2), Verdict::Unknown);
}

/// The file is read again before a key is refused, but a damaged one changes nothing.
#[test]
fn a_file_that_has_changed_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("revoked");
    fs::write(&file, ed25519(1).to_openssh()).unwrap();
    let verifier = verifier(&file, HostKeyPolicy::danger_accept_any_host_key());
    fs::write(&file, "damaged").unwrap();
    assert!(is_revoked(&verifier, 1));
    let error = verifier.files().read_again().unwrap_err();
    let expected = format!("cannot read revoked host keys file {}: line 1: not of the form", file.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    fs::remove_file(&file).unwrap();
    assert!(is_revoked(&verifier, 1));
    fs::write(&file, format!("{}\n", ed25519(2).to_openssh())).unwrap();
    assert_eq!([1, 2].map(|seed| is_revoked(&verifier, seed)), [false, true]);
}
