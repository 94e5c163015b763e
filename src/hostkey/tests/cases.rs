//! A table of known hosts files, keys that hosts send, and the verdicts on these keys. Both sshoal
//! and OpenSSH must follow the table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::HostKey;
use super::super::line::hashed_column;

/// One line of the table.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The file. `{A}` and `{B}` are Ed25519 keys, `{R}` is an RSA key, `{A64}` and `{R64}` are
    /// keys without their type, `{H:name}` is a hashed name.
    pub(super) file: &'static str,
    /// `host` or `host port`.
    pub(super) host: &'static str,
    /// The key that the host sends.
    pub(super) shown: char,
    /// The verdict, with line numbers.
    pub(super) verdict: &'static str,
    /// The verdict of `ssh`, if the verdict of sshoal is stricter.
    pub(super) ssh: Option<&'static str>,
}

/// The keys that the letters stand for.
pub(super) struct Keys {
    pub(super) a: HostKey,
    pub(super) b: HostKey,
    pub(super) r: HostKey,
}

impl Case {
    const fn new(
        name: &'static str,
        file: &'static str,
        host: &'static str,
        shown: char,
        verdict: &'static str,
    ) -> Self {
        Self { name, file, host, shown, verdict, ssh: None }
    }

    /// A case in which the verdict of `ssh` differs.
    const fn stricter(mut self, ssh: &'static str) -> Self {
        self.ssh = Some(ssh);
        self
    }

    pub(super) fn host_and_port(&self) -> (&str, u16) {
        match self.host.split_once(' ') {
            Some((host, port)) => (host, port.parse().unwrap()),
            None => (self.host, 22),
        }
    }

    pub(super) fn shown_key<'a>(&self, keys: &'a Keys) -> &'a HostKey {
        match self.shown {
            'A' => &keys.a,
            'B' => &keys.b,
            _ => &keys.r,
        }
    }

    pub(super) fn text(&self, keys: &Keys) -> String {
        let mut text = self.file.to_owned();
        while let Some(start) = text.find("{H:") {
            let end = start + text[start..].find('}').unwrap();
            let hashed = hashed_column(b"twenty bytes of salt", &text[start + 3..end]);
            text.replace_range(start..=end, &hashed);
        }
        text = text.replace("{A64}", &STANDARD.encode(keys.a.blob()));
        text = text.replace("{R64}", &STANDARD.encode(keys.r.blob()));
        for (letter, key) in [("{A}", &keys.a), ("{B}", &keys.b), ("{R}", &keys.r)] {
            text = text.replace(letter, &key.to_openssh());
        }
        text
    }
}

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("empty file", "", "web1", 'A', "unknown"),
    Case::new("plain name", "web1 {A}\n", "web1", 'A', "known 1"),
    Case::new("another host", "web2 {A}\n", "web1", 'A', "unknown"),
    Case::new("name is a prefix", "web {A}\n", "web1", 'A', "unknown"),
    Case::new("names in capitals", "WEB1 {A}\n", "wEb1", 'A', "known 1"),
    Case::new("list, last name", "a,b,web1 {A}\n", "web1", 'A', "known 1"),
    Case::new("list with a name twice", "web1,web1 {B}\n", "web1", 'A', "changed 1"),
    Case::new("list with empty names", ",,web1, {A}\n", "web1", 'A', "known 1"),
    Case::new("address", "10.0.0.1 {A}\n", "10.0.0.1", 'A', "known 1"),
    Case::new("IPv6 address", "2001:db8::1 {A}\n", "2001:db8::1", 'A', "known 1"),
    Case::new("IPv6 address written differently", "2001:db8::1 {A}\n", "2001:0DB8:0::1", 'A', "known 1"),
    Case::new("IPv6 address with port", "[2001:db8::1]:2222 {A}\n", "2001:db8::1 2222", 'A', "known 1"),
    Case::new("changed", "web1 {B}\n", "web1", 'A', "changed 1"),
    Case::new("changed, second line good", "web1 {B}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("changed, RSA also on record", "web1 {R}\nweb1 {B}\n", "web1", 'A', "changed 2"),
    Case::new("several types", "web1 {R}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("other type", "web1 {R}\n", "web1", 'A', "other 1 rsa"),
    Case::new("RSA known", "web1 {R}\n", "web1", 'R', "known 1"),
    Case::new("RSA, Ed25519 on record", "web1 {A}\n", "web1", 'R', "other 1 ed25519"),
    Case::new("hashed", "{H:web1} {A}\n", "web1", 'A', "known 1"),
    Case::new("hashed, capitals asked", "{H:web1} {A}\n", "WEB1", 'A', "known 1"),
    Case::new("hashed, changed", "{H:web1} {B}\n", "web1", 'A', "changed 1"),
    Case::new("hashed, other host", "{H:web2} {A}\n", "web1", 'A', "unknown"),
    Case::new("hashed with port", "{H:[web1]:2222} {A}\n", "web1 2222", 'A', "known 1"),
    Case::new("hashed, revoked", "@revoked {H:web1} {A}\nweb1 {A}\n", "web1", 'A', "revoked 1"),
    Case::new("damaged hash", "|1|AAAA|BBBB {A}\n", "web1", 'A', "unknown"),
    Case::new("hash of unknown kind", "|2|AAAA|BBBB {A}\n", "web1", 'A', "unknown"),
    Case::new("hash in a list", "{H:web1},web1 {A}\n", "web1", 'A', "unknown"),
    Case::new("port", "[web1]:2222 {A}\n", "web1 2222", 'A', "known 1"),
    Case::new("port, changed", "[web1]:2222 {B}\nweb1 {A}\n", "web1 2222", 'A', "changed 1"),
    Case::new("another port", "[web1]:2223 {A}\n", "web1 2222", 'A', "unknown"),
    Case::new("port on record, port 22 asked", "[web1]:2222 {A}\n", "web1", 'A', "unknown"),
    Case::new("port 22 is never written", "[web1]:22 {A}\n", "web1", 'A', "unknown"),
    Case::new("no port on record", "web1 {A}\n", "web1 2222", 'A', "known 1"),
    Case::new("no port on record, hashed", "{H:web1} {A}\n", "web1 2222", 'A', "known 1"),
    Case::new("no port on record, other key", "web1 {B}\n", "web1 2222", 'A', "unknown"),
    Case::new("no port on record, other type", "web1 {R}\n", "web1 2222", 'A', "unknown"),
    Case::new("no port on record, revoked", "@revoked web1 {A}\nweb1 {A}\n", "web1 2222", 'A', "revoked 1")
        .stricter("unknown"),
    Case::new("revoked without port", "[web1]:2222 {A}\n@revoked web1 {A}\n", "web1 2222", 'A', "revoked 2")
        .stricter("known"),
    Case::new("port of another type", "[web1]:2222 {R}\nweb1 {A}\n", "web1 2222", 'A', "other 1 rsa"),
    Case::new("star", "*.example.org {A}\n", "web1.example.org", 'A', "known 1"),
    Case::new("star matches dots", "*.org {A}\n", "a.b.c.org", 'A', "known 1"),
    Case::new("star matches ports", "* {A}\n", "web1 2222", 'A', "known 1"),
    Case::new("star in brackets", "[*.example.org]:2222 {A}\n", "a.example.org 2222", 'A', "known 1"),
    Case::new("star matches nothing", "web1* {A}\n", "web1", 'A', "known 1"),
    Case::new("star, changed", "web* {B}\n", "web1", 'A', "changed 1"),
    Case::new("question mark", "web? {A}\n", "web1", 'A', "known 1"),
    Case::new("question mark needs a byte", "web1? {A}\n", "web1", 'A', "unknown"),
    Case::new("negation after", "web*,!web1 {A}\n", "web1", 'A', "unknown"),
    Case::new("negation before", "!web1,web* {A}\n", "web1", 'A', "unknown"),
    Case::new("negation of another", "web*,!web2 {A}\n", "web1", 'A', "known 1"),
    Case::new("negation only", "!web2 {A}\n", "web1", 'A', "unknown"),
    Case::new("negated line, then a good one", "web*,!web1 {B}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("revoked before", "@revoked web1 {A}\nweb1 {A}\n", "web1", 'A', "revoked 1"),
    Case::new("revoked after", "web1 {A}\n@revoked web1 {A}\n", "web1", 'A', "revoked 2"),
    Case::new("revoked everywhere", "web1 {A}\n@revoked * {A}\n", "web1", 'A', "revoked 2"),
    Case::new("revoked, not on record", "@revoked * {A}\n", "web1", 'A', "revoked 1"),
    Case::new("revoked for a port", "[web1]:2222 {A}\n@revoked * {A}\n", "web1 2222", 'A', "revoked 2"),
    Case::new("revoked for another host", "web1 {A}\n@revoked web2 {A}\n", "web1", 'A', "known 1"),
    Case::new("revoked, negated for this host", "web1 {A}\n@revoked *,!web1 {A}\n", "web1", 'A', "known 1"),
    Case::new("another key revoked", "web1 {A}\n@revoked * {B}\n", "web1", 'A', "known 1"),
    Case::new("a revoked key is not another key", "@revoked web1 {B}\n", "web1", 'A', "unknown"),
    Case::new("revoked beside changed", "web1 {B}\n@revoked * {A}\n", "web1", 'A', "revoked 2"),
    Case::new("revoked, tab after marker", "web1 {A}\n@revoked\t* {A}\n", "web1", 'A', "revoked 2")
        .stricter("known"),
    Case::new("an authority is not a host key", "@cert-authority web1 {A}\n", "web1", 'A', "unknown"),
    Case::new("authority for all", "@cert-authority * {B}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("an authority is not another key", "@cert-authority web1 {B}\n", "web1", 'A', "unknown"),
    Case::new("unknown marker", "@trusted web1 {A}\n", "web1", 'A', "unknown"),
    Case::new("two markers", "@cert-authority @revoked web1 {A}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("marker in capitals", "@REVOKED web1 {A}\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("CRLF", "# x\r\n\r\nweb1 {A}\r\n", "web1", 'A', "known 3"),
    Case::new("CRLF after a comment", "web1 {A} root@web1\r\n", "web1", 'A', "known 1"),
    Case::new("no final newline", "web2 {B}\nweb1 {A}", "web1", 'A', "known 2"),
    Case::new("comments and blank lines", "# web1 {B}\n\n \t\n  #x\nweb1 {A}\n", "web1", 'A', "known 5"),
    Case::new("blanks in front and tabs", " \tweb1\t{A}\troot@web1\n", "web1", 'A', "known 1"),
    Case::new("comment after the key", "web1 {A} # gateway, web2\n", "web1", 'A', "known 1"),
    Case::new("no key", "web1\nweb1 ssh-ed25519\nweb1 {A}\n", "web1", 'A', "known 3"),
    Case::new("not base64", "web1 ssh-ed25519 AAAA!!!!\n", "web1", 'A', "unknown"),
    Case::new("key cut short", "web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n", "web1", 'A', "unknown"),
    Case::new("type of another key", "web1 ssh-rsa {A64}\n", "web1", 'A', "unknown"),
    Case::new("unknown type", "web1 ssh-new AAAAB3NzaC1uZXc=\n", "web1", 'A', "unknown"),
    Case::new("RSA by signature name", "web1 rsa-sha2-512 {R64}\n", "web1", 'R', "known 1"),
    Case::new("protocol 1 key", "web1 1024 35 123456789\nweb1 {A}\n", "web1", 'A', "known 2"),
    Case::new("NUL ends the line", "web1 {A}\0junk\nweb2\0 {A}\n", "web1", 'A', "known 1"),
    Case::new("NUL in the key", "web1 ssh-ed25519 AAAA\0{A64}\n", "web1", 'A', "unknown"),
];
