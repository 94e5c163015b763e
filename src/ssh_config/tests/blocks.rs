//! Blocks, passes, and what OpenSSH 9.2 does not know.

use std::cell::RefCell;
use std::io;

use super::*;

fn user(text: &str, alias: &str) -> Option<String> {
    resolve(text, alias).unwrap().user.map(|user| user.value)
}

#[test]
fn each_value_says_where_it_was_set() {
    let text = "Host web*\n  User a\n\nMatch user a\n  Port 7\n";
    let destination = SshDestination::new("web1").option("Compression yes");
    let settings = resolve_to(text, &destination).unwrap();
    let source = |source: &SettingSource| source.to_string();
    assert_eq!(source(&settings.user.unwrap().source), "config:2");
    assert_eq!(source(&settings.port.unwrap().source), "config:5");
    assert_eq!(settings.compression.unwrap().source, SettingSource::Caller);
    assert_eq!(settings.host_name.source, SettingSource::Caller);
    assert_eq!(settings.identity_files, None);
}

#[test]
fn the_caller_precedes_files() {
    let text = "User a\nPort 1\nHostName b\nMatch user c host d\nCompression yes\n";
    let destination = SshDestination::new("web1").user("c").port(2).option("HostName=d");
    let settings = resolve_to(text, &destination).unwrap();
    assert_eq!((settings.user.as_deref().unwrap().as_str(), *settings.port.unwrap()), ("c", 2));
    assert_eq!(*settings.host_name, "d");
    assert_eq!(settings.compression.as_deref(), Some(&true));
}

#[test]
fn tags_are_matched_as_by_later_versions() {
    let text = "
Match tagged \"\"
    User untagged
Host a
    Tag lab
Match tagged lab,x
    User tagged
Match !tagged lab
    User other
";
    assert_eq!(user(text, "a").as_deref(), Some("untagged"));
    let text = text.replace("    User untagged\n", "    Port 9\n");
    assert_eq!(user(&text, "a").as_deref(), Some("tagged"));
    assert_eq!(user(&text, "b").as_deref(), Some("other"));
}

#[test]
fn local_networks_are_matched_as_by_later_versions() {
    let block = |networks: &str| format!("Match localnetwork {networks}\n    User here\n");
    for networks in ["192.0.2.0/24", "10.0.0.0/8,192.0.2.7", "2001:db8::/32", "0.0.0.0/0", "::/0"] {
        assert_eq!(user(&block(networks), "a").as_deref(), Some("here"), "{networks}");
    }
    for networks in ["192.0.3.0/24", "192.0.2.8", "2001:db9::/32", "192.0.2.0/29,::1"] {
        let expected = networks.starts_with("192.0.2.0/29").then_some("here");
        assert_eq!(user(&block(networks), "a").as_deref(), expected, "{networks}");
    }
    for networks in ["192.0.2.1/24", "192.0.2.0/33", "lab", "!192.0.2.0/24"] {
        let text = parse(&block(networks)).unwrap_err().to_string();
        assert!(text.starts_with("config:1: match has ") && text.contains("192.0.2.0/24"), "{text}");
    }
}

#[test]
fn canonical_never_matches_and_is_reported() {
    let text = "CanonicalizeHostname yes\nMatch canonical\n  User a\nMatch !canonical\n  Port 2\nMatch final\n  User b\n";
    let settings = resolve(text, "web1").unwrap();
    assert_eq!(settings.user.as_deref().map(String::as_str), Some("b"));
    assert_eq!(settings.port.as_deref(), Some(&2));
    let ignored: Vec<String> = settings.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(ignored.len(), 3, "{ignored:?}");
    assert!(ignored[0].starts_with("config:1: canonicalizehostname yes is ignored: "), "{ignored:?}");
    assert!(ignored[1].starts_with("config:2: match canonical is ignored: "), "{ignored:?}");
}

#[test]
fn what_has_no_effect_is_reported_where_it_applies() {
    let text = "ControlMaster auto\nHost other\n  ControlPath x\nHost web1\n  LocalForward 1 a:2 # x\n  UseRoaming no\n";
    let ignored = resolve(text, "web1").unwrap().ignored;
    let shown: Vec<(&str, &str)> = ignored.iter().map(|one| (&*one.keyword, &*one.arguments)).collect();
    assert_eq!(shown, [("controlmaster", "auto"), ("localforward", "1 a:2 # x"), ("useroaming", "no")]);
    assert!(ignored.iter().all(|one| !one.reason.is_empty()));
}

#[test]
fn commands_run_once_for_all_destinations() {
    let config = parse(
        "
Match exec \"office\"
    User a
Match host nowhere exec \"never\"
    User b
Match exec \"test %h %n %p %r %u %d %l %L %i\"
    Port 3
",
    )
    .unwrap();
    let commands = RefCell::new(Vec::new());
    let mut resolver = config.resolver_with(|command: &str| {
        commands.borrow_mut().push(command.to_owned());
        Ok(command == "office")
    });
    for alias in ["web1", "web2", "web1"] {
        let settings = resolver.resolve(&SshDestination::new(alias)).unwrap();
        assert_eq!(settings.user.as_deref().map(String::as_str), Some("a"));
        assert_eq!(settings.port, None);
    }
    let uid = config.context.uid;
    let test = |host: &str| format!("test {host} {host} 22 a alice /home/alice desk.example.org desk {uid}");
    assert_eq!(*commands.borrow(), ["office".to_owned(), test("web1"), test("web2")]);
}

#[test]
fn a_command_that_fails_to_run_ends_the_resolution() {
    let config = parse("Match exec \"a %n\"\n    User a\n").unwrap();
    let mut resolver = config.resolver_with(|_: &str| Err(io::Error::other("no more processes")));
    let error = resolver.resolve(&SshDestination::new("web1")).unwrap_err().to_string();
    assert_eq!(error, "config:1: Match exec a web1: no more processes");
}

#[test]
fn unknown_keywords_are_errors_unless_they_are_ignored_here() {
    assert_eq!(
        error("User a\nUseKeychain yes\n"),
        "config:2: the keyword \"usekeychain\" is unknown; correct it, or put \"IgnoreUnknown usekeychain\" before it, \
         as for ssh"
    );
    assert!(resolve("IgnoreUnknown Use*\nUseKeychain yes\n", "web1").is_ok());
    // It does not apply to the first host, for which the line is as wrong as in ssh.
    let text = "Host web1\n  IgnoreUnknown use*\nHost other\n  UseKeychain yes\n";
    assert!(resolve(text, "web1").is_ok());
    let error = resolve(text, "web2").unwrap_err().to_string();
    assert!(error.starts_with("config:4: the keyword \"usekeychain\" is unknown"), "{error}");
}

#[test]
fn every_keyword_of_the_tables_is_read() {
    // Newer versions, and Debian's patches.
    for line in ["ChannelTimeout session=5m", "ObscureKeystrokeTiming no", "GSSAPIKeyExchange yes", "Tag x"] {
        assert!(resolve(line, "web1").is_ok(), "{line}");
    }
    let refused = resolve("RefuseConnection \"gone for good\"", "web1").unwrap().refuse_connection;
    assert_eq!(refused.unwrap().value, "gone for good");
}

#[test]
fn the_names_of_host_lines_are_listed_once() {
    let text = "Host b !c a*\nHost \"d e\" b ?\n  User x\nMatch host f\nHost \u{e9} a\n";
    assert_eq!(parse(text).unwrap().host_names(), ["b", "d e", "\u{e9}", "a"]);
    assert_eq!(parse("Port 1\n").unwrap().host_names(), [""; 0]);
}
