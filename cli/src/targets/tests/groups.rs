//! Sources of groups, read from files and asked by commands.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sshoal::ssh_config::{LocalContext, SshConfig};
use tempfile::TempDir;

use super::super::args::TargetArgs;
use super::super::fold::fold;
use super::super::places::Places;
use super::super::regroup::regroup;
use super::super::select::{Selection, Sources};

/// A home and a configuration of ClusterShell.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let site = Self { folder: TempDir::new().unwrap() };
        files.iter().for_each(|(name, text)| site.write(name, text));
        site
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn places(&self) -> Places {
        let home = self.folder.path().to_owned();
        let mut places = Places::from(move |name| (name == "HOME").then(|| home.clone().into()));
        // Not those of the machine.
        places.groups_conf.retain(|path| path.starts_with(self.folder.path()));
        places.dsh.retain(|path| path.starts_with(self.folder.path()));
        places
    }

    fn sources(&self, args: &TargetArgs) -> Result<Sources, String> {
        Sources::load(args, self.places(), None).map_err(|error| error.to_string())
    }

    fn select(&self, args: &TargetArgs) -> Result<Selection, String> {
        self.sources(args)?.select(args).map_err(|error| error.to_string())
    }

    fn folded(&self, set: &str) -> Result<String, String> {
        Ok(folded(&self.select(&sets(&[set]))?))
    }

    /// How often a command has appended to a file.
    fn count(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }
}

fn folded(selection: &Selection) -> String {
    fold(selection.targets.iter().map(|target| &target.name))
}

fn sets(sets: &[&str]) -> TargetArgs {
    TargetArgs { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..TargetArgs::default() }
}

const CONF: &str = ".config/clustershell/groups.conf";

#[test]
fn the_configuration_of_clustershell_is_read_whole() {
    let site = Site::new(&[
        (
            CONF,
            "[Main]\ndefault: local\nconfdir: \"$CFGDIR/groups.conf.d\" /nowhere\nautodir: ${CFGDIR}/groups.d\n\
             [local]\nmap: sed -n 's/^$GROUP:\\(.*\\)/\\1/p' $CFGDIR/local.cfg\n\
             all: sed -n 's/^all:\\(.*\\)/\\1/p' $CFGDIR/local.cfg\n\
             list: sed -n 's/^\\([a-z]*\\):.*/\\1/p' $CFGDIR/local.cfg\n",
        ),
        (".config/clustershell/local.cfg", "all: n[1-9]\nodd: n[1-9/2]\neven: @local:all!@odd\n"),
        (
            ".config/clustershell/groups.conf.d/a.conf",
            "[slurm,s]\nmapall: printf 'idle: m1 m2\\nidle: m3\\nbusy:m[5-6]\\n'\n[env]\nmap: echo $SOURCE-${GROUP} $$((1+1))x\n",
        ),
        (".config/clustershell/groups.conf.d/ignored", "[broken\n"),
        (
            ".config/clustershell/groups.d/b.yaml",
            "roles:\n  adm: 'x0'\n  io: '@racks:rack2,x2'\n  empty:\n  all: '@adm,@io'\n\
             racks:\n  rack1: 'x[0,2]'\n  rack2: 'x[4-5]'\n  old: '@rack[1-2]'\n  list:\n    - 'x[20-21]'\n    - x30\n",
        ),
    ]);
    for (set, expected) in [
        ("@odd", "n[1,3,5,7,9]"),
        ("@even", "n[2,4,6,8]"),
        ("@*!@odd", "n[2,4,6,8]"),
        ("n[1-3]*&n?", "n[1-3]"),
        ("@slurm:idle", "m[1-3]"),
        ("@s:*", "m[1-3,5-6]"),
        ("@env:me", "2x,env-me"),
        ("@roles:io", "x[2,4-5]"),
        ("@roles:*", "x[0,2,4-5]"),
        ("@roles:empty,a", "a"),
        ("@racks:old", "x[0,2,4-5]"),
        ("@racks:list", "x[20-21,30]"),
        ("@racks:*", "x[0,2,4-5,20-21,30]"),
        ("@@racks", "list,old,rack[1-2]"),
    ] {
        assert_eq!(site.folded(set).as_deref(), Ok(expected), "{set}");
    }
    let all = TargetArgs { all: true, source: Some("racks".to_owned()), ..TargetArgs::default() };
    assert_eq!(folded(&site.select(&all).unwrap()), "x[0,2,4-5,20-21,30]");
    let groups = TargetArgs {
        groups: vec!["odd,roles:adm".to_owned()],
        exclude_groups: vec!["@roles:adm".to_owned()],
        exclude: vec!["n1,/^n[35]$/".to_owned()],
        ..TargetArgs::default()
    };
    assert_eq!(folded(&site.select(&groups).unwrap()), "n[7,9]");
    let fault = |set: &str| site.folded(set).unwrap_err();
    assert_eq!(fault("@roles:x"), "-w: no group x in source roles, at column 1 of \"@roles:x\"");
    assert_eq!(fault("@slurm:x"), "-w: no group x in source slurm, at column 1 of \"@slurm:x\"");
    assert_eq!(fault("@x"), "-w: no group x in source local, at column 1 of \"@x\"");
    let known = "no source of groups named z (known: slurm, s, env, roles, racks, local)";
    assert_eq!(fault("@z:x"), format!("-w: {known}, at column 1 of \"@z:x\""));
    let args = TargetArgs { source: Some("z".to_owned()), ..sets(&["a"]) };
    assert_eq!(site.select(&args).unwrap_err(), format!("-s: {known}"));
}

#[test]
fn faults_of_the_configuration_name_the_file() {
    for (file, text, expected) in [
        (CONF, "[x]\nall: y\n", "groups.conf: source x has neither \"map\" nor \"mapall\""),
        (CONF, "[Main]\ndefault: y\n", "groups.conf: the default source y does not exist"),
        (CONF, "[x]\nmap: y\ncache_time: -1\n", "source x: cache_time is not a number of seconds"),
        (CONF, "[x]\nmap: y\n[z,x]\nmap: y\n", "groups.conf: there are two sources of groups named x"),
        (CONF, "x\n", "groups.conf: line 1: a value before the first [section]"),
        (
            ".config/clustershell/d/x.yaml",
            "a: [1\n",
            "x.yaml: not \"source: group: hosts\" as groups.d(5) has it",
        ),
        (
            ".config/clustershell/d/x.yaml",
            "a: b\n",
            "x.yaml: not \"source: group: hosts\" as groups.d(5) has it",
        ),
    ] {
        let site = Site::new(&[(CONF, "[Main]\nautodir: $CFGDIR/d\n"), (file, text)]);
        let error = site.folded("a").unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn commands_are_asked_once() {
    let site = Site::new(&[(
        CONF,
        "[Main]\ndefault: x\n[x]\nmap: echo >>$CFGDIR/calls; echo $GROUP[1-2]\n\
         [short]\ncache_time: 0\nmap: echo >>$CFGDIR/short; echo $GROUP[1-2]\n",
    )]);
    let args = sets(&["@a,@a,@b!@a", "@a"]);
    let sources = site.sources(&args).unwrap();
    assert_eq!(folded(&sources.select(&args).unwrap()), "a[1-2],b[1-2]");
    sources.select(&args).unwrap();
    assert_eq!(site.count(".config/clustershell/calls"), 2);
    let args = sets(&["@short:a"]);
    sources.select(&args).unwrap();
    sources.select(&args).unwrap();
    assert_eq!(site.count(".config/clustershell/short"), 2);
}

#[test]
fn commands_that_fail_are_errors() {
    let site = Site::new(&[(
        CONF,
        "[x]\nmap: false\n[utf8]\nmap: printf '\\377'\n[set]\nmap: echo 'a[1-'\n[none]\nmap: true\n[esc]\nmap: printf 'a\\033[31m'\n",
    )]);
    let fault = |set: &str| site.folded(set).unwrap_err();
    assert_eq!(
        fault("@x:a"),
        "-w: source x: a command failed (exit status: 1): false, at column 1 of \"@x:a\""
    );
    assert!(fault("@utf8:a").contains("a command wrote something that is not UTF-8"), "{}", fault("@utf8:a"));
    assert!(fault("@set:a").starts_with("-w: @set:a: \"[\" without \"]\", at column 2 of \"a[1-\""));
    assert!(!fault("@esc:a").contains('\u{1b}'));
    assert_eq!(site.folded("@none:a").as_deref(), Ok(""));
}

#[test]
fn commands_have_a_time_limit() {
    use super::super::groups::run_program;
    // With all that they have started.
    for script in
        ["sleep 61.25", "sleep 61.25 & echo a", "exec >&-; sleep 61.25", "(sleep 61.25; echo) | cat"]
    {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.arg("-c").arg(script);
        let start = Instant::now();
        let error = run_program(shell, Duration::from_millis(300), None).unwrap_err().to_string();
        assert!(error.starts_with("a command took longer than 300ms"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        // They are killed, and end soon.
        while sleeps_for("61.25") {
            assert!(start.elapsed() < Duration::from_secs(20), "{script} has left a process behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a process of this test sleeps for so long.
fn sleeps_for(seconds: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let mut lines = processes.filter_map(|path| fs::read(path.join("cmdline")).ok());
    lines.any(|line| line == format!("sleep\0{seconds}\0").as_bytes())
}

#[test]
fn pdsh_has_a_file_for_each_group() {
    let site = Site::new(&[
        (".dsh/group/web", "web[1-2] # first\n\n# none\nweb9\n"),
        (".dsh/group/all2", "@web\ndb1\n"),
        (".dsh/group/old~", "x\n"),
    ]);
    assert_eq!(site.folded("@web").as_deref(), Ok("web[1-2,9]"));
    assert_eq!(site.folded("@dsh:all2").as_deref(), Ok("db1,web[1-2,9]"));
    assert_eq!(site.folded("@*").as_deref(), Ok("db1,web[1-2,9]"));
    for group in ["../web", ".web", "nope", "a/b"] {
        let error = site.folded(&format!("@{group}")).unwrap_err();
        assert!(error.starts_with(&format!("-w: no group {group} in source dsh")), "{error}");
    }
}

#[test]
fn without_groups_the_error_says_where_they_would_be() {
    let site = Site::new(&[]);
    let error = site.folded("@web").unwrap_err();
    let missing = "no groups are configured: see groups.conf(5), /etc/dsh/group, and --inventory";
    assert_eq!(error, format!("-w: {missing}, at column 1 of \"@web\""));
    let error = site.select(&TargetArgs::default()).unwrap_err();
    assert_eq!(error, "no hosts: name them with -w SET, -g GROUP, -a or --hostfile FILE");
}

#[test]
fn files_of_hosts() {
    let site =
        Site::new(&[("hosts", "# all\nweb[1-2]\ndb1 db2 # two\nweb[1-2]\ndb1\ndb1\n"), ("bad", "a\nb[\n")]);
    let path = site.path("hosts");
    let expected = "db[1-2],web[1-2]";
    let args = TargetArgs { hostfile: vec![path.clone()], ..TargetArgs::default() };
    let selection = site.select(&args).unwrap();
    assert_eq!(folded(&selection), expected);
    assert_eq!(selection.targets[0].name, "web1");
    let notice = format!("{}: repeated lines count once: 2 such as web[1-2]", path.display());
    assert_eq!(selection.notices, [notice]);
    assert_eq!(site.folded(&format!("^{}", path.display())).as_deref(), Ok(expected));
    assert_eq!(site.folded("^~/hosts !db1").as_deref(), Ok("db2,web[1-2]"));
    assert_eq!(site.folded("a,-^~/hosts,db2,web3").as_deref(), Ok("a,web3"));
    let error = site.folded("^~/bad").unwrap_err();
    assert!(error.contains("bad: \"[\" without \"]\", at line 2, column 2 of \"b[\""), "{error}");
    let error = site.folded("^~/none").unwrap_err();
    assert!(error.contains("none: No such file or directory"), "{error}");
    // WCOLL counts where nothing else says which hosts.
    let mut places = site.places();
    places.wcoll = Some(path);
    let select = |args: &TargetArgs| {
        let sources = Sources::load(args, places.clone(), None).unwrap();
        folded(&sources.select(args).unwrap())
    };
    let exclude = TargetArgs { exclude: vec!["db[1-9]".to_owned()], ..TargetArgs::default() };
    assert_eq!(
        (select(&TargetArgs::default()), select(&exclude)),
        (expected.to_owned(), "web[1-2]".to_owned())
    );
    assert_eq!(select(&sets(&["a"])), "a");
}

#[test]
fn exclusions_and_filters_apply_in_the_end() {
    let site = Site::new(&[]);
    assert_eq!(site.folded("-a2,a[1-5]").as_deref(), Ok("a[1,3-5]"));
    assert_eq!(site.folded("a[1-25],/[05]$/,-/^a1/").as_deref(), Ok("a[5,20,25]"));
    assert_eq!(site.folded("root@a1:22,b1,/^a/").as_deref(), Ok("root@a1:22"));
    let args = TargetArgs { limit: Some(2), ..sets(&["c,b,a", "-c"]) };
    assert_eq!(folded(&site.select(&args).unwrap()), "a,b");
    let error = site.folded("a,/(/").unwrap_err();
    assert!(error.starts_with("-w: ") && error.ends_with("at column 3 of \"a,/(/\""), "{error}");
    let args = TargetArgs { exclude: vec!["-a".to_owned()], ..sets(&["a"]) };
    assert!(site.select(&args).unwrap_err().starts_with("-x: a set to exclude cannot begin with \"-\""));
}

#[test]
fn names_of_ssh_config_are_known_hosts() {
    let site = Site::new(&[]);
    let text = "Host web1 web2 !web9\nHost db* bastion\nHost \"odd name\"\n  User x\n";
    let config = SshConfig::parse(text, "config", LocalContext::current().unwrap()).unwrap();
    let select = |args: &TargetArgs| {
        let sources = Sources::load(args, site.places(), Some(&config)).map_err(|error| error.to_string())?;
        sources.select(args).map_err(|error| error.to_string())
    };
    let hosts = |glob: &str| TargetArgs { ssh_hosts: vec![glob.to_owned()], ..TargetArgs::default() };
    assert_eq!(folded(&select(&hosts("web*")).unwrap()), "web[1-2]");
    assert_eq!(folded(&select(&hosts("*")).unwrap()), "bastion,web[1-2]");
    assert_eq!(select(&hosts("x*")).unwrap_err(), "--ssh-hosts: no Host of ssh_config matches x*");
    assert_eq!(folded(&select(&sets(&["web*"])).unwrap()), "web[1-2]");
    let selection = select(&sets(&["web1,x*"])).unwrap();
    assert_eq!(selection.notices, ["x* matches no known host"]);
    // All hosts of ssh_config at once are rarely meant.
    assert!(select(&TargetArgs { all: true, ..TargetArgs::default() }).is_err());
    let error = site.select(&hosts("*")).unwrap_err();
    assert_eq!(error, "--ssh-hosts: no ssh_config is read");
}

#[test]
fn whole_groups_are_named() {
    let site = Site::new(&[
        (
            CONF,
            "[Main]\ndefault: y\nautodir: $CFGDIR\n[rev]\nmap: echo n[1-2]\nlist: echo a b c d e f\n\
                reverse: echo >>$CFGDIR/asked; echo a; test $NODE = n2 && echo b; true\n",
        ),
        (
            ".config/clustershell/y.yaml",
            "y:\n  rack1: n[1-4]\n  rack2: n[5-8]\n  left: n[1-2]\n  same: n[1-4]\n  user: root@n1\n  none: ''\n",
        ),
    ]);
    let args = sets(&["a"]);
    let sources = site.sources(&args).unwrap();
    let text = |set: &str, source: Option<&str>| {
        let selection = site.select(&sets(&[set])).unwrap();
        let names: Vec<String> = selection.targets.into_iter().map(|target| target.name).collect();
        regroup(&names, &sources, source).unwrap()
    };
    assert_eq!(text("n[1-9]", None), "@rack[1-2],n9");
    assert_eq!(text("n[1-3]", None), "@left,n3");
    assert_eq!(text("n[5-8]", Some("y")), "@y:rack2");
    assert_eq!(text("n[6-8]", None), "n[6-8]");
    assert_eq!(text("n[1-3]", Some("rev")), "@rev:a,n3");
    assert_eq!(text("n[1-3],$HOME@n9", Some("rev")), "@rev:a,$HOME@n9,n3");
    assert_eq!(site.count(".config/clustershell/asked"), 3, "asked again, or for a user");
}

#[test]
fn configuration_that_only_others_may_read_is_skipped() {
    let site = Site::new(&[
        (CONF, "[Main]\nautodir: $CFGDIR/d\n"),
        (".config/clustershell/d/a.yaml", "a:\n  x: h1\n"),
    ]);
    let path = site.path(".config/clustershell/d/a.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let is_readable = fs::read(&path).is_ok();
    // root may read it.
    assert_eq!(site.folded("@a:x").is_ok(), is_readable);
    assert_eq!(site.folded("b").as_deref(), Ok("b"));
    assert!(Path::new(&path).exists());
}
