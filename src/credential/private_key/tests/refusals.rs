//! Files without a usable key, and the texts of the errors.

use std::fs;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::made::{Made, by_openssl_alone, run};
use super::*;

fn armored(label: &str, data: &[u8]) -> Vec<u8> {
    let base64 = BASE64_STANDARD.encode(data);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").into_bytes()
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A container in OpenSSH's format.
fn container(cipher: &str, kdf: &str, options: &[u8], public: &[u8], private: &[u8]) -> Vec<u8> {
    let fields = [cipher.as_bytes(), kdf.as_bytes(), options].map(field).concat();
    let keys = [field(public), field(private)].concat();
    armored("OPENSSH PRIVATE KEY", &[openssh::MAGIC, &fields, &[0, 0, 0, 1], &keys].concat())
}

#[test]
fn files_of_other_kinds_are_named() {
    let made = Made::of(1);
    let public = made.public.clone().into_bytes();
    let dir = tempfile::tempdir().unwrap();
    let key = made.in_file(dir.path());
    let exported = run(Command::new("ssh-keygen").args(["-e", "-f"]).arg(key)).into_bytes();
    let spki = made.converted(&["pkey", "-pubout"]);
    let told_public = "holds a public key; give the file of the private key, without .pub";
    for text in [&public, &exported, &spki] {
        assert_eq!(told(text, None), told_public);
    }
    let told_der = "is in binary form (DER); convert it: openssl pkey -inform DER -in key.der -out key.pem";
    for arguments in
        [&["pkey", "-outform", "DER"][..], &["pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:x"]]
    {
        for index in [1, 5] {
            assert_eq!(told(&Made::of(index).converted(arguments), None), told_der);
        }
    }
    for version in [2, 3] {
        let text =
            format!("PuTTY-User-Key-File-{version}: ssh-ed25519\r\nEncryption: none\r\nComment: x\r\n");
        let told_putty = "is in PuTTY's format; convert it: puttygen key.ppk -O private-openssh -o key";
        assert_eq!(told(text.as_bytes(), None), told_putty);
    }
    let text = b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n";
    assert_eq!(told(text, None), "is in SSH.COM's format; convert it: ssh-keygen -i -f key > key.openssh");
    for (mark, swap) in [(b"\xff\xfe", false), (b"\xfe\xff", true)] {
        let units = String::from_utf8(made.text()).unwrap();
        let units =
            units.encode_utf16().flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() });
        let text: Vec<u8> = mark.iter().copied().chain(units).collect();
        assert_eq!(told(&text, None), "is text in UTF-16; save it as UTF-8");
    }
    let certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in [&b""[..], b"no key", b"\n\n", b"\0\xff", b"ssh-agent says hello", b"0", certificate] {
        assert_eq!(told(text, None), "holds no private key in a supported format");
    }
    assert_eq!(told(&vec![b'\n'; 65_537], None), "is larger than 65536 bytes");
    assert_eq!(told(&vec![b'\n'; 65_536], None), "holds no private key in a supported format");
}

#[test]
fn unsupported_types_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dsa");
    let openssl = |arguments: &[&str]| by_openssl_alone(arguments);
    run(Command::new("ssh-keygen").args(["-q", "-t", "dsa", "-N", "", "-f"]).arg(&path));
    let told_dsa = "is a DSA key, which is not supported any more; make a new one: ssh-keygen -t ed25519";
    assert_eq!(told(&fs::read(&path).unwrap(), None), told_dsa);
    for format in ["PEM", "PKCS8"] {
        run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "", "-m", format, "-f"]).arg(&path));
        assert_eq!(told(&fs::read(&path).unwrap(), None), told_dsa);
    }
    let told_sk = "belongs to a security key (FIDO); add it to an ssh-agent with ssh-add, and use that";
    for name in ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] {
        let public = field(name.as_bytes());
        assert_eq!(told(&container("none", "none", b"", &public, &[0; 8]), None), told_sk);
        // These keys are rejected before a passphrase is needed.
        assert_eq!(told(&container("aes256-ctr", "bcrypt", b"", &public, &[0; 16]), None), told_sk);
    }
    let unknown = container("none", "none", b"", &field(b"ssh-xmss@openssh.com"), &[0; 8]);
    assert_eq!(told(&unknown, None), "is of the unsupported type ssh-xmss@openssh.com");
    let text = openssl(&["genpkey", "-algorithm", "ed448"]);
    assert_eq!(told(&text, None), "is of the unsupported type 1.3.101.113");
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"];
    let text = openssl(&[&["genpkey"][..], &curve].concat());
    assert_eq!(told(&text, None), "is of the unsupported type elliptic curve 1.3.132.0.10");
}

#[test]
fn unsupported_encryption_is_named() {
    let ends = "which is not supported; change it with ssh-keygen -p or openssl pkcs8 -topk8";
    let public = field(b"ssh-ed25519");
    let unknown = container("rijndael-cbc@lysator.liu.se", "bcrypt", b"", &public, &[0; 16]);
    assert_eq!(told(&unknown, Some("x")), format!("is encrypted with rijndael-cbc@lysator.liu.se, {ends}"));
    let unknown = container("aes256-ctr", "argon2id", b"", &public, &[0; 16]);
    assert_eq!(told(&unknown, Some("x")), format!("is encrypted with key derivation argon2id, {ends}"));
    let made = Made::of(1);
    let text = made.converted(&["pkey", "-traditional", "-camellia128", "-passout", "pass:x"]);
    assert_eq!(told(&text, Some("x")), format!("is encrypted with CAMELLIA-128-CBC, {ends}"));
    let pbes1 = made.converted(&["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:x"]);
    assert_eq!(told(&pbes1, Some("x")), format!("is encrypted with 1.2.840.113549.1.12.1.3, {ends}"));
    let aria = made.converted(&["pkcs8", "-topk8", "-v2", "aria-128-cbc", "-passout", "pass:x"]);
    assert_eq!(told(&aria, Some("x")), format!("is encrypted with 1.2.410.200046.1.1.2, {ends}"));
}

/// The number is checked before any work is done, and before a missing passphrase is reported.
#[test]
fn the_work_of_opening_is_bounded() {
    let open = |bytes: &[u8], rounds_max| {
        KeyText::find(bytes).unwrap().open(Opener { passphrase: Some(b"x"), rounds_max })
    };
    let made = Made::of(0);
    let text = made.rewritten(PASSPHRASE, &["-a", "3"]);
    assert!(open(&text, 3).is_ok());
    let error = open(&text, 2).unwrap_err().to_string();
    assert_eq!(error, "needs 3 rounds of bcrypt to decrypt, but kdf_rounds_max allows only 2");
    for rounds in [1025, u32::MAX] {
        let options = [field(b"0123456789abcdef"), rounds.to_be_bytes().to_vec()].concat();
        let text = container("aes256-ctr", "bcrypt", &options, &made.blob, &[0; 16]);
        let error =
            format!("needs {rounds} rounds of bcrypt to decrypt, but kdf_rounds_max allows only 1024");
        assert_eq!(told(&text, Some("x")), error);
        assert_eq!(told(&text, None), error);
    }
    let pbkdf2 = |iterations: &str| {
        Made::of(1).converted(&["pkcs8", "-topk8", "-passout", "pass:x", "-iter", iterations])
    };
    assert!(open(&pbkdf2("10000"), 1).is_ok());
    let error = open(&pbkdf2("10001"), 1).unwrap_err().to_string();
    assert_eq!(error, "needs 10001 rounds of PBKDF2 to decrypt, but kdf_rounds_max allows only 10000");
}

#[test]
fn the_memory_of_opening_is_bounded() {
    let text = Made::of(1).converted(&["pkcs8", "-topk8", "-passout", "pass:x", "-scrypt"]);
    let der = KeyText::find(&text).unwrap().data;
    // N = 16384, r = 8, p = 1.
    let parameters = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    let at = der.windows(parameters.len()).position(|window| window == parameters).unwrap();
    let with = |parameters: [u8; 10]| {
        let mut der = der.to_vec();
        der[at..at + parameters.len()].copy_from_slice(&parameters);
        told(&armored("ENCRYPTED PRIVATE KEY", &der), Some("x"))
    };
    let ends = "bytes of memory for scrypt, but at most 67108864 are allowed; re-encrypt it with PBKDF2";
    assert_eq!(with([2, 2, 0x40, 0, 2, 1, 0x7f, 2, 1, 1]), format!("needs 266338304 {ends}"));
    assert_eq!(with([2, 2, 0x40, 0, 2, 1, 8, 2, 1, 0x7f]), format!("needs 2130706432 {ends}"));
    // This is just within the limit, so only the passphrase is wrong.
    assert_eq!(with([2, 2, 0x40, 0, 2, 1, 8, 2, 1, 4]), KeyProblem::PassphraseWrong.to_string());
    for impossible in [
        [2, 2, 0x40, 1, 2, 1, 8, 2, 1, 1],
        [2, 2, 0x40, 0, 2, 1, 0, 2, 1, 1],
        [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 0],
    ] {
        assert_eq!(with(impossible), "is damaged: its scrypt parameters are invalid");
    }
}

#[test]
fn headers_of_pem_are_checked() {
    let pem = |headers: &str| {
        format!("-----BEGIN EC PRIVATE KEY-----\n{headers}\n\nAAAA\n-----END EC PRIVATE KEY-----")
    };
    let told = |headers: &str| told(pem(headers).as_bytes(), Some("x"));
    let together = "is damaged: its Proc-Type and DEK-Info headers contradict each other";
    assert_eq!(told("Proc-Type: 4,ENCRYPTED"), together);
    assert_eq!(told("DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF"), together);
    assert_eq!(told("Proc-Type: 4,MIC-ONLY\nDEK-Info: AES-128-CBC,00"), together);
    let vector = "is damaged: its DEK-Info header has no valid initialization vector";
    for iv in ["", ",", ",0", ",0011", ",0011223344556677", ",zz112233445566778899AABBCCDDEEFF"] {
        assert_eq!(told(&format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC{iv}")), vector);
    }
    let blocks = "is damaged: its encrypted data is not a whole number of blocks";
    assert_eq!(told("Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0011223344556677"), blocks);
    let cipher = told("Proc-Type: 4,ENCRYPTED\nDEK-Info: \x1b[2J,00");
    assert!(cipher.starts_with("is encrypted with ") && !cipher.contains('\x1b'), "{cipher}");
}
