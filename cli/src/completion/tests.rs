//! What words can become, by the flags before them.

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ').skip(1).map(str::to_owned).collect()
}

/// The words that the last one can become.
fn found(line: &str) -> Vec<String> {
    match answer(&words(line)) {
        Answer::Words(found) => found.into_iter().map(|(word, _)| word).collect(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn flags_are_those_of_the_subcommand() {
    assert_eq!(found("sshoal --max-f"), ["--max-fail"]);
    assert_eq!(found("sshoal script --interp"), ["--interpreter"]);
    assert_eq!(found("sshoal -w web1 -b --accept"), ["--accept-new"]);
    assert_eq!(found("sshoal hosts --reg"), ["--regroup"]);
    assert_eq!(found("sshoal --la"), ["--last", "--last="]);
    assert!(found("sshoal -").contains(&"-w".to_owned()));
    assert_eq!(found("sshoal key"), ["keyscan"]);
    assert_eq!(found("sshoal ").len(), 10);
    // Every flag says what it is for.
    let Answer::Words(all) = answer(&words("sshoal -")) else { panic!("no flags") };
    assert!(all.iter().all(|(flag, meaning)| !meaning.is_empty() || flag.ends_with('=')), "{all:?}");
}

#[test]
fn values_follow_their_flags() {
    assert_eq!(found("sshoal --color a"), ["auto", "always"]);
    assert_eq!(found("sshoal --color=n"), ["--color=never"]);
    assert_eq!(found("sshoal --last=time"), ["--last=timeout"]);
    assert_eq!(found("sshoal completions z"), ["zsh"]);
    assert_eq!(found("sshoal -o Strict"), ["StrictHostKeyChecking="]);
    assert_eq!(found("sshoal put -obind"), ["-obindaddress=", "-obindinterface="]);
    assert_eq!(found("sshoal --option=Us"), ["--option=User=", "--option=UserKnownHostsFile="]);
    assert_eq!(found("sshoal -o ").len(), sshoal::ssh_config::SshConfig::keywords().count());
    // Values are not known, and what has no effect is no keyword.
    assert!(found("sshoal -o User=ro").is_empty() && found("sshoal -o Control").is_empty());
    for (line, expected) in [
        ("sshoal -i k", Answer::Files),
        ("sshoal -bi k", Answer::Files),
        ("sshoal -F ", Answer::Files),
        ("sshoal --hostfile=h", Answer::Files),
        ("sshoal --outdir ", Answer::Folders),
        ("sshoal -l r", Answer::Users),
        ("sshoal --sudo=p", Answer::Users),
        ("sshoal -f 1", Answer::Nothing),
        ("sshoal -w web1 up", Answer::Commands),
        ("sshoal -w web1 --sudo up", Answer::Commands),
        ("sshoal -w web1 -- -", Answer::Commands),
        ("sshoal -w web1 ls /et", Answer::Files),
        ("sshoal -w web1 ls -w", Answer::Files),
        ("sshoal script -w web1 de", Answer::Files),
        ("sshoal --nonsense=x", Answer::Nothing),
    ] {
        assert_eq!(answer(&words(line)), expected, "{line}");
    }
}

#[test]
fn a_word_that_a_shell_would_not_take_for_one_is_left_out() {
    for word in ["a;b", "a$b", "a'b", "a\nb", "a\tb", "a`b", "a\\b", "a*", "a|b", ""] {
        assert!(!is_plain(word), "{word}");
    }
    assert!(is_plain("root@web1:22") && is_plain("web1!(@racks:r") && is_plain("^~/hosts"));
}
