//! Passwords and passphrases, typed on a terminal or read from a file.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::support::keys::{ClientKey, KeyPair, KeyType};
use super::support::program::PROGRAM;
use super::support::screen::Terminal;
use super::support::user::TestUser;
use super::support::{Done, Site};

const PROMPT: &str = "password for logins: ";

/// Runs this on three hosts, with a login by password.
fn asking(site: &Site) -> Terminal {
    let words = ["--password", "-o", "PubkeyAuthentication=no", "-w", "web[1-3]", "echo hello"];
    let terminal = Terminal::start(site.sshoal(words), 80, 24);
    terminal.await_end(PROMPT.trim_end());
    terminal
}

#[test]
fn a_password_is_asked_for_once_and_not_shown() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let mut terminal = asking(&site);
    terminal.press(&format!("{}\r", user.password()));
    terminal.await_text("3 hosts: 3 ok, 0 failed");
    assert_eq!(terminal.exit_code(), 0);
    let text = terminal.text();
    assert!(!text.contains(user.password()), "{text}");
    assert_eq!((text.matches(PROMPT).count(), text.matches(": hello").count()), (1, 3), "{text}");
    assert_eq!(site.sshd.count("Accepted password"), 3, "{}", site.sshd.log());
}

#[test]
fn a_wrong_password_goes_to_few_hosts_and_the_rest_are_told() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let mut terminal = asking(&site);
    terminal.press("not it\r");
    assert_eq!(terminal.exit_code(), 4);
    let text = terminal.text();
    assert!(text.contains("3 hosts: 0 ok, 3 failed") && text.contains("was not sent"), "{text}");
    assert!(!text.contains("not it"), "{text}");
    // That is a setting of the library.
    assert!(text.contains("the password") && !text.contains("guard_passwords"), "{text}");
    assert!(site.sshd.count("Failed password") <= 2, "{}", site.sshd.log());
}

#[test]
fn a_signal_at_the_question_leaves_the_terminal_as_it_was() {
    let site = Site::start();
    let run = format!("'{PROGRAM}' -F '{}' --password -w web1 true", site.config());
    let kill = format!("bash -c 'own=$$; (sleep 1; kill -TERM $own) & exec \"$0\" \"$@\"' {run}");
    for (run, keys, code) in [(&run, "half\x03", 130), (&kill, "half", 143)] {
        let mut program = Command::new("bash");
        let show = "stty -a | tr -d ';' | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo' -e '\\^Z' | sort";
        // Without a trap, this shell ends by the same ^C.
        program.args(["-c", &format!("trap : INT; {run}; echo \"code $?\"; {show}")]);
        let mut terminal = Terminal::of(program, 80, 24);
        terminal.await_text(PROMPT.trim_end());
        terminal.press(keys);
        terminal.await_text(&format!("code {code}"));
        terminal.await_text("\n^Z\necho\nicanon");
        assert!(!terminal.text().contains("half"), "{}", terminal.text());
    }
    assert_eq!(site.sshd.count("Connection from"), 0, "{}", site.sshd.log());
}

#[test]
fn nothing_typed_is_no_password() {
    let site = Site::start();
    for (keys, text) in
        [("\r", "no password for logins was typed"), ("\x04", "--password-file FILE reads it from a file")]
    {
        let mut terminal = asking(&site);
        terminal.press(keys);
        assert_eq!(terminal.exit_code(), 2);
        assert!(terminal.text().replace('\n', "").contains(text), "{}", terminal.text());
    }
}

#[test]
fn without_a_terminal_the_error_names_the_flag_for_a_file() {
    let site = Site::start();
    for (flag, of_file) in [
        ("--password", "--password-file FILE"),
        ("--passphrase", "--passphrase-file FILE"),
        ("--sudo-password", "--sudo-password-file FILE"),
    ] {
        // Whoever runs the tests may have a terminal.
        let mut setsid = Command::new("setsid");
        setsid.args(["--wait", PROGRAM, "-F", site.config(), flag, "-w", "web1", "true"]);
        let setsid = setsid.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = Done::of(setsid.spawn().expect("setsid"));
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains("no terminal") && done.err.contains(of_file), "{done:?}");
    }
}

#[test]
fn secrets_are_read_from_files() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let run = |flags: &[&'static str], file: &str| {
        site.sshoal(flags.iter().copied().chain([file, "-w", "web[1-3]", "echo hello"])).run()
    };
    let right = site.file("right", format!("{}\nnot this\n", user.password()));
    let done = run(&["-o", "PubkeyAuthentication=no", "--password-file"], &right);
    assert_eq!((done.sorted().len(), done.code), (3, Some(0)), "{done:?}");
    let done = run(&["--password-file"], &site.file("empty", "\n"));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("empty: its first line is empty"), "{done:?}");
    let done = run(&["--password", "--password-file"], &right);
    assert!(done.err.contains("cannot be used with"), "{done:?}");
}

#[test]
fn the_passphrase_of_a_key_is_typed_or_read_from_a_file() {
    let site = Site::start();
    let key = KeyPair::generate_encrypted(KeyType::Ed25519, "open sesame").write(site.sshd.dir(), "locked");
    let public = fs::read_to_string(key.with_extension("pub")).expect("the public key");
    let authorized = site.sshd.dir().join("authorized_keys");
    let mut file = fs::OpenOptions::new().append(true).open(authorized).expect("authorized keys");
    file.write_all(public.as_bytes()).expect("authorize the key");
    let usual = site.sshd.key(ClientKey::Ed25519).display().to_string();
    let config = fs::read_to_string(site.config()).expect("the configuration");
    let config = site.file("locked_config", config.replace(&usual, &key.display().to_string()));
    let args = |flag: &'static str| ["-F", &config, flag, "-w", "web[1-2]", "echo hello"].map(str::to_owned);

    let words = args("--passphrase");
    let mut terminal = Terminal::start(site.bare().args(words.iter().map(String::as_str)), 80, 24);
    terminal.await_end("passphrase of the private keys:");
    terminal.press("open sesame\r");
    terminal.await_text("2 hosts: 2 ok, 0 failed");
    assert!(!terminal.text().contains("sesame"), "{}", terminal.text());

    let mut terminal = Terminal::start(site.bare().args(words.iter().map(String::as_str)), 80, 24);
    terminal.await_end("passphrase of the private keys:");
    terminal.press("wrong\r");
    terminal.await_text("[exit ");
    assert!(terminal.text().contains("passphrase"), "{}", terminal.text());
    assert_ne!(terminal.exit_code(), 0);

    let file = site.file("phrase", "open sesame\n");
    let done =
        site.bare().args(["-F", &config, "--passphrase-file", &file, "-w", "web[1-2]", "echo hello"]).run();
    assert_eq!(done.sorted(), ["web1: hello", "web2: hello"], "{done:?}");
}
