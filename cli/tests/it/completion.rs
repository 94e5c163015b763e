//! Completion in real shells, each on a terminal.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::program::PROGRAM;
use super::support::screen::Terminal;

/// A home with hosts, groups, and the program on the path of its shells.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(TempDir::new().expect("a folder"));
        home.write(
            "config",
            "Host web1 web2 db1\nHost *\n UserKnownHostsFile ~/none KNOWN\n GlobalKnownHostsFile none\n",
        );
        let config = fs::read_to_string(home.path("config")).expect("just written");
        home.write("config", &config.replace("KNOWN", &home.text("known")));
        home.write("known", "[recorded1]:2222,recorded2 ssh-ed25519 AAAA\n|1|x=|y= ssh-ed25519 AAAA\n");
        home.write(
            "groups.conf",
            "[Main]\ndefault: local\n\
             [local]\nmap: true\nlist: echo odd even\nall: echo node[1-3]\n\
             [racks]\nmap: true\nlist: echo r1 r2old\n\
             [slow]\nmap: true\nlist: sleep 60 & wait\n",
        );
        home.write("my_key", "");
        fs::create_dir(home.path("my_folder")).expect("a folder");
        fs::create_dir(home.path("bin")).expect("a folder");
        std::os::unix::fs::symlink(PROGRAM, home.path("bin/sshoal")).expect("a link");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file");
    }

    /// A program in this home.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").expect("PATH");
        command.current_dir(self.0.path()).args(args).env("PATH", format!("{}:{path}", self.text("bin")));
        command.env("HOME", self.0.path()).env("XDG_CONFIG_HOME", self.0.path());
        command.env("CLUSTERSHELL_CFGDIR", self.0.path()).env_remove("WCOLL").env_remove("DSHGROUP_PATH");
        command
    }

    /// A shell on a terminal, in this home.
    fn terminal(&self, shell: &str, args: &[&str]) -> Terminal {
        let terminal = Terminal::of(self.command(shell, args), 200, 24);
        terminal.await_screen("a prompt", |screen| screen.trim() == ">");
        terminal
    }

    /// Writes the script for a shell to this file.
    fn write_script(&self, shell: &str, name: &str) {
        let script = Command::new(PROGRAM).args(["completions", shell]).output().expect("the program runs");
        fs::create_dir_all(self.path(name).parent().expect("a folder")).expect("a folder");
        fs::write(self.path(name), script.stdout).expect("write the script");
    }

    /// What a word can become, as the scripts ask it.
    fn asked(&self, words: &[&str]) -> String {
        let mut command = self.command(PROGRAM, &["__complete", "zsh"]);
        let output = command.args(words).stdin(Stdio::null()).output().expect("the program runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// What is typed, what the shell makes of it when Tab is pressed, and then `X`.
const CASES: [(&str, &str); 17] = [
    ("-w db", "-w db1 X"),
    ("-w web1,db", "-w web1,db1 X"),
    ("-w node1,node", "-w node1,nodeX"),
    ("-w rec", "-w recordedX"),
    ("-x root@db", "-x root@db1 X"),
    ("-w @od", "-w @odd X"),
    ("-w @ra", "-w @racks:X"),
    ("-w @racks:r2", "-w @racks:r2old X"),
    ("-w web1,@racks:r2", "-w web1,@racks:r2old X"),
    ("-g ev", "-g even X"),
    ("-s rac", "-s racks X"),
    ("-l roo", "-l root X"),
    ("--hosts=db", "--hosts=db1 X"),
    ("-o Strict", "-o StrictHostKeyChecking=X"),
    ("-o connectt", "-o connecttimeout=X"),
    ("-o Bind", "-o BindX"),
    ("--option=Strict", "--option=StrictHostKeyChecking=X"),
];

/// Types words behind these, presses Tab, and sees what the shell makes of it.
#[track_caller]
fn completes(terminal: &mut Terminal) {
    let files =
        [("-i", "my_k", "my_key X"), ("-w", "^my_k", "^my_key X"), ("--outdir", "my_f", "my_folder/X")];
    let files = files.map(|(flag, typed, whole)| (format!("{flag} {typed}"), format!("{flag} {whole}")));
    let cases = CASES.iter().map(|(typed, whole)| ((*typed).to_owned(), (*whole).to_owned()));
    for (typed, whole) in cases.chain(files) {
        let line = format!("sshoal -F config {typed}");
        terminal.press(&line);
        terminal.await_text(&line);
        // The shell takes keys when it has completed the word.
        terminal.press("\tX");
        terminal.await_text(&format!("-F config {whole}"));
        forget_line(terminal);
    }
    // A command that does not end is not waited for.
    let begun = Instant::now();
    terminal.press("sshoal -s slow -g x\tY");
    terminal.await_text("-g xY");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    forget_line(terminal);
}

/// ^U, and ^L, which begins a new screen.
#[track_caller]
fn forget_line(terminal: &mut Terminal) {
    terminal.press("\x15\x0c");
    terminal.await_screen("an empty line", |screen| screen.trim() == ">");
}

#[test]
fn bash_completes_hosts_groups_and_files() {
    let home = Home::new();
    home.write_script("bash", "sshoal.bash");
    home.write("rc", "PS1='> '\nbind 'set enable-bracketed-paste off'\n. ./sshoal.bash\n");
    let mut terminal = home.terminal("bash", &["--noprofile", "--rcfile", "rc", "-i"]);
    completes(&mut terminal);
    // Inside of quotes, which operators need.
    terminal.press("sshoal -F config -w 'web1!db\tX");
    terminal.await_text("-w 'web1!db1' X");
}

#[test]
fn zsh_completes_hosts_groups_and_files() {
    let home = Home::new();
    home.write_script("zsh", "functions/_sshoal");
    home.write(
        ".zshrc",
        "PS1='> '\nunsetopt prompt_sp zle_bracketed_paste 2>/dev/null\nfpath=(~/functions $fpath)\n\
         autoload -Uz compinit\ncompinit -u -d ~/compdump\n",
    );
    let mut terminal = home.terminal("zsh", &["-i"]);
    completes(&mut terminal);
    terminal.press("sshoal keys\tX");
    terminal.await_text("sshoal keyscan X");
}

#[test]
fn fish_completes_hosts_groups_and_files() {
    let home = Home::new();
    home.write_script("fish", "fish/completions/sshoal.fish");
    home.write("fish/config.fish", "set fish_greeting\nfunction fish_prompt; echo '> '; end\n");
    let mut terminal = home.terminal("fish", &["-i"]);
    completes(&mut terminal);
    terminal.press("sshoal keys\tX");
    terminal.await_text("sshoal keyscan X");
}

#[test]
fn ten_thousand_hosts_are_completed_while_a_key_is_pressed() {
    let home = Home::new();
    let names: Vec<String> = (0..5000).map(|number| format!("alias{number}")).collect();
    home.write(
        "config",
        &names.iter().map(|name| format!("Host {name}\n HostName {name}.lan\n")).collect::<String>(),
    );
    home.write("groups.conf", "[Main]\ndefault: big\n[big]\nmap: true\nall: echo 'node[0-4999]'\n");
    let time = |word: &str, count: usize| {
        let begun = Instant::now();
        let found = home.asked(&["-F", "config", "-w", word]);
        assert_eq!(found.lines().count(), count + 1, "{found}");
        begun.elapsed()
    };
    // In a release build, less than a tenth of this.
    let times: Vec<Duration> = (0..3).map(|_| time("", 10_000)).collect();
    assert!(times.iter().min() < Some(&Duration::from_secs(1)), "{times:?}");
    assert!(home.asked(&["-F", "config", "-w", "node1,node499"]).contains("node1,node4999\n"));
}

#[test]
fn what_is_wrong_is_silent_and_no_command_of_ssh_config_runs() {
    let home = Home::new();
    home.write("broken", "Host web1\n NoSuchOption yes\n");
    assert_eq!(home.asked(&["-F", "broken", "-w", "web"]), "words\n");
    assert_eq!(home.asked(&["-F", "/none", "-w", "odd"]), "words\n");
    home.write("exec", &format!("Match exec \"touch {}\"\n User x\nHost web1\n", home.text("ran")));
    assert_eq!(home.asked(&["-F", "exec", "-w", "web"]), "words\nweb1\n");
    assert!(!home.path("ran").exists());
}
