//! OpenSSH's configuration as the last layer of settings.

use std::ffi::CStr;
use std::net::IpAddr;

use super::proxies::way;
use super::*;
use crate::address::LocalAddresses;
use crate::command::{ChannelRequest, LoginProgram, Program};
use crate::config::Pty;
use crate::error::AuthMethod;
use crate::hostkey::{HostKeyPolicy, default_files};
use crate::ssh_config::{LocalContext, SshDestination};

impl World {
    fn parse(&self, text: &str) -> SshConfig {
        let context = LocalContext::fixed("owner", 0, self.home.path(), "machine");
        SshConfig::parse(text, "config", context).unwrap()
    }

    /// The targets of these hosts with this configuration.
    fn read(
        &self,
        text: &str,
        entries: &[&str],
        client: &HostConfig,
        own: &HostConfig,
    ) -> Result<Vec<Target>, Error> {
        let hosts: Vec<_> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        let configs = vec![own.clone(); hosts.len()];
        let (common, list) = Common::new(client.clone(), hosts, Some(configs))?;
        let mut common = common.with_ssh_config(Some(Arc::new(self.parse(text))));
        common.targets(&list, &self.owner)
    }

    fn file(&self, text: &str, entry: &str) -> Target {
        self.read(text, &[entry], &config(), &config()).unwrap().remove(0)
    }

    fn file_problem(&self, text: &str) -> String {
        self.read(text, &["web1"], &config(), &config()).unwrap_err().to_string()
    }
}

#[test]
fn the_list_precedes_the_host_the_client_and_the_file() {
    let world = World::new();
    let text = "Host web1\n User file\n Port 2222\n ConnectTimeout 7";
    let login = |target: &Target| (target.profile.user_name(), target.port);
    let read = |entry: &str, client: HostConfig, own: HostConfig| {
        login(&world.read(text, &[entry], &client, &own).unwrap()[0])
    };
    assert_eq!(read("web1", config(), config()), ("file".to_owned(), 2222));
    assert_eq!(read("web1", config().user("client"), config()), ("client".to_owned(), 2222));
    assert_eq!(read("web1", config().user("client"), config().user("own")), ("own".to_owned(), 2222));
    assert_eq!(read("me@web1:7", config().user("client"), config().user("own")), ("me".to_owned(), 7));
    assert_eq!(read("web2", config(), config()), ("owner".to_owned(), 22));
    // A time limit of the file counts, unless code has one.
    let timeouts = |client: HostConfig| {
        let timeouts = world.read(text, &["web1"], &client, &config()).unwrap()[0].profile.timeouts;
        (timeouts.connect, timeouts.handshake, timeouts.auth)
    };
    let auth = Some(limits::AUTH_TIMEOUT);
    assert_eq!(timeouts(config()), (Some(7 * SECOND), Some(7 * SECOND), auth));
    assert_eq!(timeouts(config().connect_timeout(SECOND)), (Some(SECOND), Some(SECOND), auth));
}

#[test]
fn what_code_says_decides_which_lines_apply() {
    let world = World::new();
    let text = "Match user deploy\n Port 2222\nMatch host db.example.org\n Port 3333";
    let port = |entry: &str, own: HostConfig| world.read(text, &[entry], &config(), &own).unwrap()[0].port;
    assert_eq!(port("web1", config()), 22);
    assert_eq!(port("deploy@web1", config()), 2222);
    assert_eq!(port("web1", config().user("deploy")), 2222);
    assert_eq!(port("web1", config().hostname("db.example.org")), 3333);
}

#[test]
fn keys_are_recorded_under_the_name_that_openssh_uses() {
    let world = World::new();
    let text = "Host web1\n HostName WEB1.example.org\nHost db*\n HostName 192.0.2.7\n HostKeyAlias %n";
    let web1 = world.file(text, "web1:2222");
    assert_eq!((&*web1.host, &*web1.dialled), ("web1", "web1.example.org"));
    assert_eq!(web1.recorded, ("web1.example.org".into(), 2222));
    let text = text.replace("%n", "all-databases");
    let db = world.file(&text, "db1:2222");
    assert_eq!(db.ip(), Some("192.0.2.7".parse().unwrap()));
    assert_eq!(db.recorded, ("all-databases".into(), 22));
    // Without a HostName, nothing changes.
    let other = world.file(&text, "web2");
    assert_eq!((&*other.dialled, other.recorded), ("web2", ("web2".into(), 22)));
    // A name that code gives keeps the rules of code.
    let named = config().hostname("192.0.2.8");
    let web1 = world.read(&text, &["web1"], &config(), &named).unwrap().remove(0);
    assert_eq!((&*web1.dialled, web1.recorded), ("192.0.2.8", ("web1".into(), 22)));
}

#[test]
fn identity_files_are_added_to_those_of_code() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    let text = format!("Host web1\n IdentityFile {}", two.display());
    let keys = |client: HostConfig| plan(&world.read(&text, &["web1"], &client, &config()).unwrap()[0]);
    assert_eq!(keys(config()), ["sign"], "the usual files are not tried");
    assert_eq!(keys(config().identity_files([&one])), ["ask", "ask"]);
    assert_eq!(keys(config().key_file(&one)), ["sign", "ask"]);
    assert_eq!(keys(config().identity_auth(false)), ["none"]);
    let both = world.read(&text, &["web1"], &config().identity_files([&one]), &config()).unwrap();
    let (first, second) =
        (world.file(&format!("IdentityFile {}", one.display()), "web1"), world.file(&text, "web1"));
    let blobs = |target: &Target| -> Vec<Vec<u8>> {
        target.profile.plan.iter().filter_map(Offer::key).map(|key| key.blob().to_vec()).collect()
    };
    assert_eq!(blobs(&both[0]), [blobs(&first), blobs(&second)].concat());
    assert_eq!(plan(&world.file("IdentityFile none", "web1")), ["none"]);
    // The same file counts once.
    assert_eq!(keys(config().identity_files([&two])), ["sign"]);
}

/// As in OpenSSH. The same file in code is an error.
#[test]
fn a_key_of_the_file_that_others_can_read_is_skipped() {
    let world = World::new();
    let one = world.path("one");
    std::fs::set_permissions(&one, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("IdentityFile {}\nIdentityFile ~/two\nIdentityFile ~/absent", one.display());
    let target = world.file(&text, "web1");
    assert_eq!(plan(&target), ["sign"]);
    let [AuthProblem::KeySkipped { path, .. }] = &*target.profile.skipped else {
        panic!("{:?}", target.profile.skipped)
    };
    assert_eq!(*path, one);
    let error = world.read(&text, &["web1"], &config().identity_files([&one]), &config()).unwrap_err();
    assert!(matches!(error, Error::KeyFile { .. }), "{error}");
}

#[test]
fn each_certificate_goes_with_its_key() {
    let world = World::new();
    write_private(&world.path("one.cert"), ONE_CERT);
    write_private(&world.path("two.cert"), TWO_CERT);
    let text = "IdentityFile ~/one\nIdentityFile ~/two\nCertificateFile ~/two.cert\nCertificateFile ~/gone\n\
                CertificateFile ~/one.cert";
    let target = world.file(text, "web1");
    assert_eq!(plan(&target), ["ask(certificate)", "ask", "ask(certificate)", "ask"]);
    assert_eq!(target.profile.skipped.len(), 1, "{:?}", target.profile.skipped);
    let in_code = config().identity_files(["~/one"]).cert_files(["~/two.cert", "~/one.cert"]);
    assert_eq!(plan(&world.one("web1", &in_code, &config())), ["ask(certificate)", "ask"]);
}

/// The agent may hold the key of a certificate alone, whether or not there is a file for the key.
#[test]
fn certificates_are_for_keys_of_the_agent_too() {
    let world = World::new();
    write_private(&world.path("one.cert"), ONE_CERT);
    write_private(&world.path("two.cert"), TWO_CERT);
    std::fs::write(world.path("only.pub"), ONE_PUBLIC).unwrap();
    let certificates = |text: &str| {
        let target = world.file(&format!("IdentityAgent /a\nIdentitiesOnly yes\n{text}"), "web1");
        let agent = target.profile.plan.iter().find_map(|offer| match offer {
            Offer::Agent(agent) => Some(agent.certificates.len()),
            _ => None,
        });
        agent.unwrap_or_default()
    };
    let all = world.file("IdentityAgent /a\nCertificateFile ~/two.cert\nCertificateFile ~/one.cert", "web1");
    let Offer::Agent(agent) = &all.profile.plan[0] else { panic!("{:?}", plan(&all)) };
    let keys: Vec<&[u8]> = agent.certificates.iter().map(|(_, key)| &**key).collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
    let file = "IdentityFile ~/one\n";
    assert_eq!(certificates(file), 0);
    assert_eq!(certificates(&format!("{file}CertificateFile ~/one.cert")), 1);
    // Each key has one certificate, named or beside the key.
    write_private(&world.path("one-cert.pub"), ONE_CERT);
    assert_eq!(certificates(&format!("{file}CertificateFile ~/one.cert")), 1);
    assert_eq!(certificates(file), 1);
    std::fs::write(world.path("only-cert.pub"), ONE_CERT).unwrap();
    assert_eq!(certificates("IdentityFile ~/only\n"), 1);
}

#[test]
fn methods_are_chosen_and_ordered() {
    let world = World::new();
    let text = "PreferredAuthentications password,hostbased,publickey";
    let offers = |text: &str, client: HostConfig| {
        full_plan(&world.read(text, &["web1"], &client.password("secret"), &config()).unwrap()[0])
    };
    let usual = ["sign", "password(secret)", "type(password)"];
    assert_eq!(offers("", config()), usual);
    assert_eq!(offers(text, config()), ["password(secret)", "sign"]);
    assert_eq!(offers("PasswordAuthentication no", config()), ["sign", "type(password)"]);
    assert_eq!(offers("KbdInteractiveAuthentication no", config()), ["sign", "password(secret)"]);
    assert_eq!(offers("PubkeyAuthentication no", config()), ["password(secret)", "type(password)"]);
    assert_eq!(offers(text, config().auth_methods([AuthMethod::PublicKey])), ["sign"]);
}

#[test]
fn agents_are_those_of_the_file() {
    let world = World::new();
    let agent = |text: &str| world.file(text, "web1").profile.agent.clone();
    assert_eq!(agent("IdentityAgent /a").as_deref(), Some(Path::new("/a")));
    assert!(!plan(&world.file("IdentityAgent none", "web1")).iter().any(|offer| offer.starts_with("agent")));
    let forwarded = |text: &str| world.file(text, "web1").profile.forward_agent.clone();
    // As in OpenSSH, it is no error that there is no agent.
    assert_eq!(forwarded("ForwardAgent yes"), None);
    assert_eq!(forwarded("ForwardAgent yes\nIdentityAgent /a").as_deref(), Some(Path::new("/a")));
    assert_eq!(forwarded("ForwardAgent /b\nIdentityAgent /a").as_deref(), Some(Path::new("/b")));
    assert_eq!(forwarded("ForwardAgent no\nIdentityAgent /a"), None);
}

fn local<'a>(addresses: impl IntoIterator<Item = &'a str>) -> LocalAddresses {
    LocalAddresses::new(addresses.into_iter().map(|text| std::net::SocketAddr::new(text.parse().unwrap(), 0)))
}

#[test]
fn connections_are_made_from_the_addresses_that_the_file_names() {
    let world = World::new();
    let connection = |text: &str| world.file(text, "web1").profile.connection;
    let of_lo = connection("BindInterface lo");
    assert!(of_lo.bind.unwrap().has_v4(), "{of_lo:?}");
    // As in OpenSSH, an address precedes an interface.
    let both = connection("BindInterface lo\nBindAddress 127.0.0.9");
    assert_eq!((both.bind, both.family), (Some(local(["127.0.0.9"])), AddressFamily::V4));
    // `ssh` fails when it connects, too.
    let absent = connection("BindInterface sshoal-none");
    assert_eq!((absent.bind, absent.family), (Some(LocalAddresses::default()), AddressFamily::Any));
    let code = |own: HostConfig| {
        world
            .read("BindAddress ::1", &["web1"], &config(), &own)
            .map(|hosts| hosts[0].profile.connection.bind)
    };
    assert_eq!(code(config()).unwrap(), Some(local(["::1"])));
    assert_eq!(code(config().bind_name("127.0.0.8")).unwrap(), Some(local(["127.0.0.8"])));
    let error = code(config().bind_interface("sshoal-none")).unwrap_err().to_string();
    let text = "host 1 of the list (web1): bind_interface \"sshoal-none\": no interface of this name is up \
                and has an address";
    assert_eq!(error, text);
}

#[test]
fn keys_are_as_long_and_used_as_long_as_the_file_says() {
    let world = World::new();
    let bits = |text: &str| world.file(text, "web1").profile.algorithms.rsa_bits_min;
    assert_eq!(bits(""), None);
    assert_eq!(bits("RequiredRSASize 3072"), Some(3072));
    // OpenSSH raises it to 1,024, and knows no longer keys.
    assert_eq!((bits("RequiredRSASize 512"), bits("RequiredRSASize 99999")), (Some(1024), Some(16_384)));
    let limit = |text: &str| {
        let rekey = world.file(text, "web1").profile.connection.rekey;
        (rekey.bytes, rekey.time)
    };
    assert_eq!(limit("RekeyLimit default none"), (None, None));
    assert_eq!(limit("RekeyLimit 1G 1h"), (Some(1 << 30), Some(3600 * SECOND)));
    let day = 86_400 * SECOND;
    assert_eq!(limit("RekeyLimit 16 52w"), (Some(limits::REKEY_BYTES_MIN), Some(24 * day)));
    let code = config().rekey_bytes(None).rekey_time(SECOND).required_rsa_size(2048);
    let read = world.read("RekeyLimit 1G 1h\nRequiredRSASize 4096", &["web1"], &code, &config()).unwrap();
    let Profile { connection, algorithms, .. } = &*read[0].profile;
    assert_eq!((connection.rekey.bytes, connection.rekey.time), (None, Some(SECOND)));
    assert_eq!(algorithms.rsa_bits_min, Some(2048));
    let problem = |own: HostConfig| world.problem(&["web1"], &config(), &[own]);
    assert!(problem(config().required_rsa_size(1023)).ends_with("required_rsa_size must be 1024 to 16384"));
    let hasty = problem(config().rekey_bytes(limits::REKEY_BYTES_MIN - 1));
    assert!(hasty.ends_with("rekey_bytes must be at least 65536, or None"), "{hasty}");
    for time in [SECOND / 2, 25 * day] {
        let odd = problem(config().rekey_time(time));
        assert!(odd.ends_with("rekey_time must be 1 second to 24 days, or None"), "{odd}");
    }
}

#[test]
fn commands_have_the_terminal_and_the_program_that_the_file_names() {
    let world = World::new();
    let of = |text: &str, own: HostConfig| {
        let Profile { setup, login_program, .. } =
            &*world.read(text, &["web1"], &config(), &own).unwrap()[0].profile;
        (format!("{setup:?}"), login_program.clone())
    };
    let cli = LoginProgram::new(Program::Command, "cli web1").unwrap();
    assert_eq!(
        of("RequestTTY force\nRemoteCommand cli %n", config()),
        (r#"[Pty("xterm", 80x24)]"#.into(), cli)
    );
    let netconf = LoginProgram::new(Program::Subsystem, "netconf").unwrap();
    assert_eq!(of("SessionType subsystem\nRemoteCommand netconf", config()), ("[]".into(), netconf));
    // Without a local terminal, `ssh` asks for none.
    for text in ["", "RequestTTY yes", "RequestTTY auto", "RequestTTY no", "RemoteCommand none"] {
        assert_eq!(of(text, config()), ("[]".to_owned(), None), "{text}");
    }
    let text = "RequestTTY force\nRemoteCommand cli\nSetEnv A=1";
    assert_eq!(of(text, config().pty(None).remote_command("none")), (r#"[Env("A", ..)]"#.into(), None));
    let vt100 = config().pty(Pty::default().term("vt100")).remote_subsystem("sftp");
    let sftp = LoginProgram::new(Program::Subsystem, "sftp").unwrap();
    assert_eq!(of(text, vt100), (r#"[Pty("vt100", 80x24), Env("A", ..)]"#.into(), sftp));
    // No command runs on a proxy.
    let target = world.file(&format!("{text}\nHost web1\nProxyJump gate"), "web1");
    let gate = &target.proxy.unwrap().profile;
    assert!(gate.setup.is_empty() && gate.login_program.is_none());
    let problem = |own: HostConfig| world.problem(&["web1"], &config(), &[own]);
    assert!(problem(config().remote_command(" ")).contains("remote_command \" \": "));
    assert!(problem(config().pty(Pty::default().size(0, 1))).contains("Pty::size"));
}

/// A host's own settings precede those of all hosts, wherever they come from.
#[test]
fn proxies_of_a_hosts_own_settings_precede_the_clients() {
    let world = World::new();
    let text = "Host web1\n ProxyJump gate\nHost *\n ConnectTimeout 9";
    let parsed = world.parse(text);
    let own =
        HostConfig::from_ssh_config(&mut parsed.resolver(), &SshDestination::new("web1")).unwrap().config;
    let client = config().connect_timeout(SECOND);
    let limits_of = |target: &Target| {
        let gate = target.proxy.clone().unwrap();
        [&target.profile, &gate.profile].map(|profile| profile.timeouts.connect.unwrap())
    };
    let given = world.one("web1", &client, &own);
    assert_eq!(limits_of(&given), [9 * SECOND; 2]);
    let read = world.read(text, &["web1"], &client, &config()).unwrap().remove(0);
    assert_eq!(limits_of(&read), [SECOND; 2]);
    // Hosts that come later share each of them.
    let (common, list) = Common::new(client, vec!["web1".parse().unwrap()], Some(vec![own.clone()])).unwrap();
    let mut common = common.with_ssh_config(Some(Arc::new(parsed)));
    let first = common.targets(&list, &world.owner).unwrap().remove(0);
    let mut add = |own: &HostConfig| {
        let added = [Arc::new(Listed::new("web1".parse().unwrap(), own.clone()))];
        let part = Part { hosts: &added, first: 1 };
        common.changes(part, |_| false, [], &world.owner).unwrap().remove(0).unwrap()
    };
    let [same, of_file, again] = [&own, &config(), &config()].map(|own| add(own).proxy.unwrap());
    assert!(Arc::ptr_eq(&first.proxy.unwrap(), &same) && Arc::ptr_eq(&of_file, &again));
    assert!(!Arc::ptr_eq(&same, &of_file));
}

#[test]
fn a_connection_is_made_as_the_file_says() {
    let world = World::new();
    let text = "BindAddress 192.0.2.1\nServerAliveInterval 5\nServerAliveCountMax 7\nCompression yes\n\
                ConnectionAttempts 9\nSetEnv A=1 B=2";
    let profile = world.file(text, "web1").profile;
    let Profile { connection, setup, .. } = &*profile;
    assert_eq!(connection.bind, Some(local(["192.0.2.1"])));
    assert_eq!(connection.family, AddressFamily::V4);
    assert_eq!(connection.keepalive, Some(Keepalive { interval: 5 * SECOND, missed_max: 7 }));
    assert!(connection.compress);
    assert_eq!(connection.retry, RetryPolicy::default().time_limit(None).attempts(9));
    let variable = |name: &CStr, value: &CStr| ChannelRequest::Env { name: name.into(), value: value.into() };
    assert_eq!(*setup, [variable(c"A", c"1"), variable(c"B", c"2")]);
    let off = world.file("ServerAliveInterval 0\nAddressFamily inet6", "web1").profile.connection;
    assert_eq!((off.keepalive, off.family), (None, AddressFamily::V6));
}

#[test]
fn proxies_have_their_own_configuration() {
    let world = World::new();
    let text = format!(
        "Host web*\n ProxyJump me@inner:2200\n User deploy\n\
         Host inner\n HostName 192.0.2.9\n HostKeyAlias vault\n ProxyJump outer\n IdentityFile {}\n User never\n\
         Host outer\n User jump\n Port 2222\n",
        world.path("two").display()
    );
    let targets =
        world.read(&text, &["web1", "web2", "db"], &config().password("secret"), &config()).unwrap();
    assert_eq!(way(&targets[0]), ["jump@outer:2222", "me@inner:2200"]);
    let inner = targets[0].proxy.as_ref().unwrap();
    assert_eq!((inner.ip(), &inner.recorded), (Some(IpAddr::from([192, 0, 2, 9])), &("vault".into(), 22)));
    // The client's password is for hosts only.
    assert_eq!(plan(inner), ["sign"]);
    assert_eq!(targets[0].profile.user_name(), "deploy");
    assert!(Arc::ptr_eq(inner, targets[1].proxy.as_ref().unwrap()), "hosts share their proxies");
    assert!(targets[2].proxy.is_none());
    // What code sets for all hosts precedes the file for proxies, too.
    let slow = format!("{text} ConnectTimeout 9\n");
    for (client, limit) in [(config(), 9 * SECOND), (config().connect_timeout(SECOND), SECOND)] {
        let target = world.read(&slow, &["web1"], &client, &config()).unwrap().remove(0);
        let outer = target.proxy.as_ref().unwrap().proxy.as_ref().unwrap();
        assert_eq!(outer.profile.timeouts.connect, Some(limit));
    }
    // Proxies in code replace those of the file, for all hosts or for one.
    let [client, own] = [config().proxy(Proxy::new("gate")), config().no_proxy()];
    assert_eq!(way(&world.read(&text, &["web1"], &client, &config()).unwrap()[0]), ["owner@gate:22"]);
    assert!(world.read(&text, &["web1"], &client, &own).unwrap()[0].proxy.is_none());
    // As with `ssh -J`, only the first of several is reached as its own configuration says.
    let several = text.replace("me@inner:2200", "a@gate,inner");
    assert_eq!(way(&world.file(&several, "web1")), ["a@gate:22", "never@inner:22"]);
}

#[test]
fn hosts_that_are_added_later_share_the_proxies() {
    let world = World::new();
    let (common, list) = Common::new(config(), vec!["web1".parse().unwrap()], None).unwrap();
    let parsed = world.parse("Host web*\n ProxyJump gate\nHost gate\n HostName 192.0.2.1");
    let mut common = common.with_ssh_config(Some(Arc::new(parsed)));
    let first = common.targets(&list, &world.owner).unwrap().remove(0);
    let added = [Arc::new(Listed::new("web2".parse().unwrap(), config()))];
    let part = Part { hosts: &added, first: 1 };
    let others = list.iter().map(|host| &**host);
    let second = common.changes(part, |_| false, others, &world.owner).unwrap();
    let proxy = |target: &Target| target.proxy.clone().unwrap();
    assert!(Arc::ptr_eq(&proxy(&first), &proxy(second[0].as_ref().unwrap())));
}

#[test]
fn algorithms_that_libssh_lacks_are_left_out() {
    let world = World::new();
    let ciphers = |text: &str| world.file(text, "web1").profile.algorithms.ciphers.clone();
    assert_eq!(ciphers("Ciphers arcfour,aes256-ctr").as_c_str(), c"aes256-ctr");
    assert_eq!(
        ciphers("Ciphers ^arcfour,aes128-ctr").to_str().unwrap().split(',').next(),
        Some("aes128-ctr")
    );
    assert_eq!(ciphers("Ciphers +arcfour"), ciphers(""));
    assert!(!ciphers("Ciphers -*-ctr").to_str().unwrap().contains("-ctr"));
    // A list of a file and one in code are the same thing.
    let settings =
        world.parse("Ciphers ^aes128-ctr").resolver().resolve(&SshDestination::new("web1")).unwrap();
    let list = settings.ciphers.unwrap().value;
    assert_eq!(list, "^aes128-ctr".into());
    let in_code = world.one("web1", &config().ciphers(list), &config());
    assert_eq!(in_code.profile.algorithms.ciphers, ciphers("Ciphers ^aes128-ctr"));
    let problem = world.file_problem("Compression no\nMACs umac-64@openssh.com");
    let version = engine::version();
    let expected =
        format!("config:2: macs umac-64@openssh.com: libssh {version} has none of these algorithms");
    assert_eq!(problem, expected);
}

#[test]
fn errors_name_the_line_or_the_host() {
    let world = World::new();
    let cycle = "Host web1\n ProxyJump a\nHost a\n ProxyJump b\nHost b\n ProxyJump a";
    assert_eq!(
        world.file_problem(cycle),
        "config:6: proxyjump leads through more than 16 hosts that have a proxyjump themselves"
    );
    assert_eq!(
        world.file_problem("Host web*\n RefuseConnection \"use the new cluster\""),
        "config:2: refuseconnection: use the new cluster"
    );
    let long = format!("IdentityAgent /{}", "a".repeat(200));
    let problem = world.file_problem(&long);
    assert!(problem.starts_with("ssh_config for web1: agent_socket \"/aaa"), "{problem}");
}

#[test]
fn what_has_no_effect_is_listed_with_its_line() {
    let world = World::new();
    let text = "Host web1\n RequestTTY yes\n RemoteCommand uptime\n Ciphers aes256-ctr,rijndael\n \
                RekeyLimit 1K\n RequestTTY no\n SessionType subsystem\n ProxyJump gate\n\
                Host gate\n ControlMaster auto";
    let parsed = world.parse(text);
    let found = HostConfig::from_ssh_config(&mut parsed.resolver(), &SshDestination::new("web1")).unwrap();
    let ignored: Vec<String> = found.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(
        ignored,
        [
            "config:4: ciphers rijndael is ignored: the libssh in use lacks these algorithms",
            "config:5: rekeylimit 1024 is ignored: keys are exchanged after 64 KiB at the earliest",
            "config:2: requesttty yes is ignored: it asks for a terminal where ssh runs on one; force does so \
             here",
            "config:3: remotecommand is ignored: a command that is given runs instead of it, which replaces \
             login shells only",
            "config:7: sessiontype subsystem is ignored: a command that is given is a command line, unless the \
             program asks for a subsystem",
            "config:10: controlmaster auto is ignored: a fleet has its own connections and shares none with ssh",
        ]
    );
}

#[test]
fn delegation_in_the_file_needs_no_gssapi() {
    let world = World::new();
    let client = config().gssapi_auth(false);
    let targets =
        world.read("GSSAPIAuthentication yes\nGSSAPIDelegateCredentials yes", &["web1"], &client, &config());
    assert_eq!(plan(&targets.unwrap()[0]), ["sign"]);
}

#[test]
fn host_keys_are_looked_up_in_the_files_of_the_configuration() {
    let world = World::new();
    let home = world.home.path();
    let known = |target: &Target| target.profile.verifier.files().names.known_hosts.clone();
    let usual = default_files(Some(home));
    assert_eq!(known(&world.file("", "web1")), usual);
    let own = home.join("a");
    let text = "Host web1\n UserKnownHostsFile ~/a\nHost web2\n GlobalKnownHostsFile none";
    assert_eq!(known(&world.file(text, "web1")), [std::slice::from_ref(&own), &usual[2..]].concat());
    assert_eq!(known(&world.file(text, "web2")), usual[..2]);
    let code = config().known_hosts(["/b"]);
    let read = world.read(text, &["web1"], &code, &config()).unwrap();
    assert_eq!(known(&read[0]), [PathBuf::from("/b")]);
    // A file that cannot be read is an error in code only.
    std::fs::create_dir(&own).unwrap();
    world.file(text, "web1");
    let error = world.read("", &["web1"], &config().known_hosts([&own]), &config()).unwrap_err();
    assert!(matches!(error, Error::KnownHosts { .. }), "{error}");
    let problem = world.file_problem("RevokedHostKeys ~/absent");
    assert!(problem.starts_with("ssh_config for web1: "), "{problem}");
}

#[test]
fn host_keys_are_verified_unless_the_program_allows_something_else() {
    let world = World::new();
    let policy = |text: &str, allows: bool| {
        let parsed = world.parse(text).danger_allow_no_checking(allows);
        let found =
            HostConfig::from_ssh_config(&mut parsed.resolver(), &SshDestination::new("web1")).unwrap();
        let ignored: Vec<String> = found.ignored.iter().map(ToString::to_string).collect();
        (found.config.verification.unwrap().policy, ignored)
    };
    let own = world.home.path().join(".ssh/known_hosts");
    for text in ["", "StrictHostKeyChecking yes", "StrictHostKeyChecking ask"] {
        assert_eq!(policy(text, true), (None, Vec::new()), "{text}");
    }
    let new = policy("StrictHostKeyChecking accept-new", false);
    assert_eq!(new, (Some(HostKeyPolicy::accept_new(&own)), Vec::new()));
    let new = policy("StrictHostKeyChecking accept-new\nUserKnownHostsFile /a /b", false);
    assert_eq!(new.0, Some(HostKeyPolicy::accept_new("/a")));
    for word in ["no", "off"] {
        let text = format!("StrictHostKeyChecking {word}");
        let ignored = "config:1: stricthostkeychecking no is ignored: host keys are verified unless the program \
                       allows something else";
        assert_eq!(policy(&text, false), (None, vec![ignored.to_owned()]));
        assert_eq!(policy(&text, true), (Some(HostKeyPolicy::danger_accept_changed(&own)), Vec::new()));
    }
}

#[test]
fn a_proxy_command_leads_to_a_host_or_to_its_first_proxy() {
    let world = World::new();
    let text = "Host web*\n HostName %h.example.org\n ProxyCommand nc 100%% %h %p %r\n\
                Host db*\n ProxyJump gate,inner\n\
                Host gate\n ProxyCommand cloud %n\nHost inner\n ProxyCommand never %h";
    let web = world.file(text, "me@web1:7");
    assert_eq!(web.command_line().as_deref(), Some("nc 100% web1.example.org 7 me"));
    assert_eq!(world.file("ProxyCommand none", "web1").command_line(), None);
    let db = world.file(text, "db1");
    assert_eq!(
        (way(&db), db.command_line()),
        (vec!["owner@gate:22".to_owned(), "owner@inner:22".to_owned()], None)
    );
    let inner = db.proxy.as_deref().unwrap();
    let gate = inner.proxy.as_deref().unwrap();
    assert_eq!((inner.command_line(), gate.command_line().as_deref()), (None, Some("cloud gate")));
    let code = world.read(text, &["web1"], &config(), &config().no_proxy()).unwrap();
    assert_eq!(code[0].command_line(), None);
}
