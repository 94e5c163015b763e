//! Makes configurations that use the whole grammar, with quirks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::ssh_config::*;

/// Numbers from a seed (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// A tree of files, and whom to look up.
pub struct Generated {
    /// Names relative to the home, and texts. The first is the main file.
    pub files: Vec<(String, String)>,
    /// The arguments of ssh, and the same for us.
    pub destinations: Vec<(Vec<String>, SshDestination)>,
}

pub struct Generator {
    random: Random,
    home: PathBuf,
    files: Vec<(String, String)>,
}

const ALIASES: &[&str] = &[
    "web1",
    "web2",
    "web10",
    "db1",
    "db1.example.org",
    "WEB1",
    "10.0.0.1",
    "::1",
    "FE80::1",
    "0x7f.1",
    "127.1",
    "2001:DB8:0::1",
    "a-b_c",
    "xn--bcher-kva.example",
];

const PATTERNS: &[&str] = &[
    "*",
    "web1",
    "web*",
    "web?",
    "web??",
    "db*",
    "*.example.org",
    "!web2",
    "!*.example.org",
    "WEB1",
    "10.*",
    "*:*",
    "w*1",
    "*e*b*",
    "!*",
    "db1.*",
    "127.0.0.1",
    "?*",
    "xn--*",
    "a-b*",
];

const LISTS: &[&str] = &[
    "*",
    "web*",
    "web1,db*",
    "*,!web2",
    "!web1,*",
    "*.example.org",
    "WEB*",
    "web1,",
    ",web1",
    "127.*",
    "db1.lab,web?",
    "root",
    "root,alice",
    "*,!root",
    "r*t",
    "carol",
    "!carol,*",
];

const KEX: &[&str] = &["curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"];
const CIPHERS: &[&str] = &["aes128-ctr", "aes256-gcm@openssh.com", "aes256-ctr", "aes128-cbc"];
const MACS: &[&str] = &["hmac-sha2-256", "hmac-sha1", "umac-64@openssh.com", "hmac-md5"];
const KEYS: &[&str] =
    &["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-rsa", "ssh-ed25519-cert-v01@openssh.com"];

const FLAGS: &[&str] = &[
    "BatchMode",
    "GSSAPIAuthentication",
    "GSSAPIDelegateCredentials",
    "HashKnownHosts",
    "IdentitiesOnly",
    "KbdInteractiveAuthentication",
    "ChallengeResponseAuthentication",
    "NoHostAuthenticationForLocalhost",
    "PasswordAuthentication",
    "TCPKeepAlive",
    "KeepAlive",
];

/// Lines with values that have no effect here, or that ssh ignores.
const WITHOUT_EFFECT: &[&str] = &[
    "ControlMaster auto",
    "ControlPath ~/.ssh/%C",
    "ControlPersist 10m",
    "AddKeysToAgent yes",
    "UpdateHostKeys no",
    "VisualHostKey yes",
    "LogLevel ERROR",
    "LocalForward 8080 localhost:80",
    "RemoteForward 9000 [::1]:9000",
    "DynamicForward 1080",
    "ForwardX11 no",
    "EscapeChar ~",
    "Protocol 2",
    "CheckHostIP no",
    "IPQoS lowdelay throughput",
    "PermitLocalCommand no",
    "LocalCommand echo %h",
    "StreamLocalBindUnlink yes",
    "Tunnel no",
    "UseRoaming no",
    "HostbasedAuthentication no",
    "FingerprintHash sha256",
];

/// Words that ssh 9.2 does not know.
const UNKNOWN: &[&str] = &["UseKeychain yes", "FooBar baz", "X-Company 1 2 3"];

impl Generator {
    pub fn new(seed: u64, home: &Path) -> Self {
        Self { random: Random::new(seed), home: home.to_owned(), files: Vec::new() }
    }

    pub fn generate(mut self) -> Generated {
        self.files.push((".ssh/config".to_owned(), String::new()));
        let mut text = String::new();
        if self.random.once_in(3) {
            text.push_str("IgnoreUnknown UseKeychain,foo*,X-*\n");
        }
        text += &self.file(0);
        self.files[0].1 = text;
        let destinations = (0..2).map(|_| self.destination()).collect();
        Generated { files: self.files, destinations }
    }

    fn destination(&mut self) -> (Vec<String>, SshDestination) {
        let alias = self.random.pick(ALIASES);
        let mut destination = SshDestination::new(alias);
        let mut arguments = Vec::new();
        if self.random.once_in(4) {
            let user = self.random.pick(&["root", "carol", "alice"]);
            destination = destination.user(user);
            arguments.extend(["-l".to_owned(), user.to_owned()]);
        }
        if self.random.once_in(6) {
            destination = destination.port(2200);
            arguments.extend(["-p".to_owned(), "2200".to_owned()]);
        }
        if self.random.once_in(4) {
            let option = self.random.pick(&[
                "HostName=%h.lab",
                "Compression yes",
                "IdentityFile = ~/.ssh/extra",
                "ProxyJump=gate:2",
                "SendEnv=LC_*",
                "connecttimeout 7",
            ]);
            destination = destination.option(option);
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments.push(alias.to_owned());
        (arguments, destination)
    }

    fn file(&mut self, depth: usize) -> String {
        let mut text = String::new();
        for _ in 0..=self.random.below(3) {
            self.option_line(depth, &mut text);
        }
        for _ in 0..=self.random.below(6) {
            self.block_line(&mut text);
            for _ in 0..self.random.below(6) {
                self.option_line(depth, &mut text);
            }
        }
        text
    }

    /// A keyword with a separator, in any case.
    fn keyword(&mut self, keyword: &str, text: &mut String) {
        let indent = self.random.pick(&["", "", "    ", "\t", " \t"]);
        let keyword = match self.random.below(6) {
            0 => keyword.to_ascii_lowercase(),
            1 => keyword.to_ascii_uppercase(),
            _ => keyword.to_owned(),
        };
        let separator = self.random.pick(&[" ", " ", " ", "  ", "\t", "=", " = ", "= ", " ="]);
        let _ = write!(text, "{indent}{keyword}{separator}");
    }

    /// A word, quoted or not.
    fn word(&mut self, word: &str) -> String {
        match self.random.below(8) {
            0 => format!("\"{word}\""),
            1 => format!("'{word}'"),
            2 if word.len() > 1 => format!("{}\"{}\"", &word[..1], &word[1..]),
            _ => word.to_owned(),
        }
    }

    fn end(&mut self, text: &mut String) {
        text.push_str(self.random.pick(&["", "", "", " ", "\t", " # comment", "  #x", "\r", " \x0c"]));
        text.push_str(self.random.pick(&["\n", "\n", "\n", "\n\n", "\n# comment\n", "\n   \n\t# Host *\n"]));
    }

    fn line(&mut self, keyword: &str, values: &str, text: &mut String) {
        self.keyword(keyword, text);
        text.push_str(values);
        self.end(text);
    }

    fn block_line(&mut self, text: &mut String) {
        if self.random.once_in(2) {
            let count = 1 + self.random.below(3);
            let patterns: Vec<String> = (0..count)
                .map(|_| {
                    let pattern = self.random.pick(PATTERNS);
                    self.word(pattern)
                })
                .collect();
            return self.line("Host", &patterns.join(" "), text);
        }
        let mut criteria = Vec::new();
        for _ in 0..=self.random.below(2) {
            criteria.push(self.criterion());
        }
        if self.random.once_in(8) {
            criteria.truncate(1);
            criteria.push(self.random.pick(&["all", "!all"]).to_owned());
        }
        if self.random.once_in(8) {
            criteria = vec![self.random.pick(&["all", "!all", "ALL", "all # x"]).to_owned()];
        }
        self.keyword("Match", text);
        text.push_str(&criteria.join(" "));
        text.push_str(self.random.pick(&["\n", "\n", " # comment\n", "  \n"]));
    }

    fn criterion(&mut self) -> String {
        let sign = if self.random.once_in(4) { "!" } else { "" };
        let name =
            self.random.pick(&["host", "originalhost", "user", "localuser", "exec", "final", "HOST", "User"]);
        if name == "final" {
            return format!("{sign}final");
        }
        let separator = self.random.pick(&[" ", " ", "=", "  ", " = "]);
        let value = match name {
            "exec" => self.random.pick(&[
                "\"true\"",
                "false",
                "\"test %n = web1\"",
                "\"test %h != %n\"",
                "\"test %p = 22 -a %u = root\"",
                "\"test %r-%L-%i = root-$(hostname -s)-0\"",
                "\"test -z '%%'\"",
                "\"test %k = shared\"",
            ]),
            _ => self.random.pick(LISTS),
        };
        let value = if value.contains('"') || !self.random.once_in(3) {
            value.to_owned()
        } else {
            format!("\"{value}\"")
        };
        format!("{sign}{name}{separator}{value}")
    }

    fn option_line(&mut self, depth: usize, text: &mut String) {
        match self.random.below(40) {
            0..=9 => self.simple(text),
            10..=13 => self.flag(text),
            14..=17 => self.lists(text),
            18..=21 => self.keys(text),
            22..=24 => self.proxy(text),
            25..=27 => self.names(text),
            28..=29 => self.environment(text),
            30..=31 => self.times(text),
            32..=34 if depth < 3 => self.include(depth, text),
            35..=36 => {
                let line = self.random.pick(WITHOUT_EFFECT);
                let _ = writeln!(text, "{line}");
            }
            37 if self.random.once_in(4) => {
                let line = self.random.pick(UNKNOWN);
                let _ = writeln!(text, "    {line}");
            }
            38 if self.random.once_in(6) => {
                let line = self.random.pick(&[
                    "Port 0",
                    "User",
                    "Port 22 23",
                    "User \"a",
                    "ConnectTimeout 5x",
                    "Compression maybe",
                    "User a b",
                    "IgnoreUnknown",
                    "SetEnv A",
                    "SendEnv A=B",
                    "ProxyJump a,,b",
                    "RekeyLimit 15",
                    "Port=",
                    "\"User x",
                    "ConnectionAttempts 0",
                    "HostName %p",
                    "Match",
                    "Match bogus x",
                    "Match host a all b",
                    "Host \"\"",
                    "IdentityFile \"\"",
                    "ProxyCommand echo 'x",
                    "UserKnownHostsFile a none",
                ]);
                let _ = writeln!(text, "{line}");
            }
            _ => self.names(text),
        }
    }

    fn simple(&mut self, text: &mut String) {
        let (keyword, values): (&str, &[&str]) = match self.random.below(15) {
            0 => ("User", &["root", "carol", "alice", "a b"]),
            1 => ("Port", &["22", "2222", "65535"]),
            2 => ("AddressFamily", &["inet", "inet6", "any", "ANY"]),
            3 => ("BindAddress", &["192.0.2.1", "::1"]),
            4 => ("BindInterface", &["eth0", "lo"]),
            5 => ("ConnectionAttempts", &["1", "5"]),
            6 => ("HostKeyAlias", &["shared", "Shared.Example"]),
            7 => ("NumberOfPasswordPrompts", &["0", "1", "3"]),
            8 => ("PreferredAuthentications", &["publickey", "publickey,password", "gssapi-with-mic"]),
            9 => ("PubkeyAuthentication", &["yes", "no", "unbound", "host-bound", "TRUE"]),
            10 => ("RequestTTY", &["yes", "no", "force", "auto"]),
            11 => ("RequiredRSASize", &["1024", "3072"]),
            12 => ("SessionType", &["none", "subsystem", "default"]),
            13 => ("StrictHostKeyChecking", &["yes", "no", "off", "ask", "accept-new"]),
            _ => ("ServerAliveCountMax", &["0", "3", "10"]),
        };
        let value = self.random.pick(values);
        let value = if value.contains(' ') {
            self.random.pick(&["\"a b\"", "'a b'", "a\\ b"]).to_owned()
        } else {
            self.word(value)
        };
        self.line(keyword, &value, text);
    }

    fn flag(&mut self, text: &mut String) {
        let keyword = self.random.pick(FLAGS);
        let value = self.random.pick(&["yes", "no", "Yes", "NO", "true", "false"]);
        let value = self.word(value);
        if self.random.once_in(6) {
            let value = self.random.pick(&["yes", "no", "YES"]);
            return self.line("Compression", value, text);
        }
        self.line(keyword, &value, text);
    }

    fn lists(&mut self, text: &mut String) {
        let (keyword, names) = match self.random.below(6) {
            0 => ("KexAlgorithms", KEX),
            1 => ("Ciphers", CIPHERS),
            2 => ("MACs", MACS),
            3 => ("HostKeyAlgorithms", KEYS),
            4 => ("PubkeyAcceptedKeyTypes", KEYS),
            _ => ("PubkeyAcceptedAlgorithms", KEYS),
        };
        let sign = self.random.pick(&["", "", "+", "-", "^"]);
        let mut list: Vec<&str> = (0..=self.random.below(3)).map(|_| self.random.pick(names)).collect();
        if sign == "-" && self.random.once_in(2) {
            list.push(self.random.pick(&["*sha1*", "ssh-*", "*cbc", "umac-*", "ecdsa-*,sk-*"]));
        }
        let value = self.word(&format!("{sign}{}", list.join(",")));
        self.line(keyword, &value, text);
    }

    fn keys(&mut self, text: &mut String) {
        let keyword = self.random.pick(&[
            "IdentityFile",
            "IdentityFile",
            "IdentityFile2",
            "CertificateFile",
            "IdentityAgent",
            "UserKnownHostsFile",
            "GlobalKnownHostsFile",
            "ForwardAgent",
            "RevokedHostKeys",
        ]);
        let path = self.random.pick(&[
            "~/.ssh/id_%r",
            "/keys/%h",
            "none",
            "%d/.ssh/key",
            "~root/x",
            "/k/%C",
            "~/${REALM}/%n-%p",
            "/etc/k%%1",
            "/a/%k",
        ]);
        let path = match keyword {
            "IdentityAgent" => {
                self.random.pick(&[path, "SSH_AUTH_SOCK", "$AGENT", "~/agent.sock", "\"~/My Agent/s\""])
            }
            "ForwardAgent" => self.random.pick(&[path, "yes", "no", "$AGENT", "~/f.sock"]),
            _ => path,
        };
        // `none` as an agent to forward is a socket of that name to ssh.
        let path = if keyword == "ForwardAgent" && path == "none" { "no" } else { path };
        let mut value = if path.contains('"') { path.to_owned() } else { self.word(path) };
        if keyword.ends_with("KnownHostsFile") && path != "none" && self.random.once_in(3) {
            value.push_str(" ~/.ssh/second%%");
        }
        self.line(keyword, &value, text);
    }

    fn proxy(&mut self, text: &mut String) {
        let (keyword, value) = if self.random.once_in(2) {
            let jump = self.random.pick(&[
                "gate",
                "root@gate",
                "gate:2222",
                "a@b:3,gate",
                "one,two,three",
                "[::1]:22",
                "ssh://carol@gate:99",
                "none",
                "NONE",
                "web1",
                "10.0.0.1",
                "gate # comment",
                "%h-gate",
                "ssh://gate",
            ]);
            ("ProxyJump", jump)
        } else {
            let command = self.random.pick(&[
                "nc %h %p",
                "none",
                "ssh -W '%h:%p' gate",
                "corkscrew \"a b\" %h # not a comment",
                "/usr/bin/x  =  y",
                "None",
                "sh -c \"exec nc %n %p\"",
            ]);
            ("ProxyCommand", command)
        };
        self.keyword(keyword, text);
        let _ = writeln!(text, "{value}");
    }

    fn names(&mut self, text: &mut String) {
        let value = self.random.pick(&[
            "%h",
            "%h.example.org",
            "10.1.2.3",
            "UPPER.Example",
            "web1",
            "::1",
            "2001:DB8::0:1",
            "010.0.0.1",
            "0x7f000001",
            "%h%%eth0",
            "db1.lab",
            "127.1",
            "256.1.1.1",
        ]);
        let value = self.word(value);
        self.line("HostName", &value, text);
    }

    fn environment(&mut self, text: &mut String) {
        let (keyword, value) = match self.random.below(3) {
            0 => ("SetEnv", self.random.pick(&["A=1", "A=1 B=2 A=3", "\"C=x y\"", "D= E=\"q\"", "# none"])),
            1 => (
                "RemoteCommand",
                self.random.pick(&["none", "tmux attach -t %r", "echo \"%h\" # x", "cat %d/%%"]),
            ),
            _ => {
                ("SendEnv", self.random.pick(&["LANG LC_*", "FOO", "-FOO", "-L*", "BAR FOO -BAR", "\"A B\""]))
            }
        };
        self.keyword(keyword, text);
        let _ = writeln!(text, "{value}");
    }

    fn times(&mut self, text: &mut String) {
        let keyword = self.random.pick(&["ConnectTimeout", "ServerAliveInterval", "RekeyLimit"]);
        let value = match keyword {
            "RekeyLimit" => self.random.pick(&[
                "default none",
                "1G 1h",
                "512M",
                "100000",
                "16",
                "default 30m",
                "2g",
                "1k none",
                "0",
            ]),
            _ => self.random.pick(&["5", "1m", "1h30m", "none", "0", "1w2d", "90S"]),
        };
        self.line(keyword, value, text);
    }

    /// Includes a new file, by one of the ways to name it.
    fn include(&mut self, depth: usize, text: &mut String) {
        let number = self.files.len();
        let name = format!(".ssh/conf.d/{depth}/part{number}.conf");
        self.files.push((name.clone(), String::new()));
        let content = self.file(depth + 1);
        self.files[number].1 = content;
        let relative = name.strip_prefix(".ssh/").unwrap();
        let path = match self.random.below(6) {
            0 => format!("~/{name}"),
            1 => self.home.join(&name).display().to_string(),
            2 => format!("conf.d/{depth}/part{number}.*"),
            3 => format!("conf.d/?/*{number}.conf"),
            4 => format!("conf.d/[0-9]/part[!x]*{number}.conf missing.conf"),
            _ => relative.to_owned(),
        };
        self.line("Include", &path, text);
    }
}
