//! What sets stand for, and what is wrong with them.

use super::super::fold::fold;
use super::super::language::{Evaluator, HostSet, Operator, Style, matches, parse, positions};
use super::table::Tables;

fn tables() -> Tables {
    let group = |name: &str, set: &str| (name.to_owned(), set.to_owned());
    let main = vec![
        group("all", "web[1-3],db[1-2],root@login:2222"),
        group("web", "web[1-3]"),
        group("front", "@web!web3"),
        group("both", "@front,@other:db"),
        group("none", ""),
        group("self", "a,@self"),
        group("chain1", "@chain2"),
        group("chain2", "b,@other:back"),
        group("bad", "web[1-"),
        group("rack1", "r1n[1-2]"),
        group("rack2", "r2n[1-2]"),
    ];
    let other = vec![group("db", "db[1-2]"), group("back", "@main:chain1"), group("up", "@db")];
    Tables::new(&[("main".to_owned(), main), ("other".to_owned(), other)])
}

fn names(set: &str) -> Result<Vec<String>, String> {
    let tables = tables();
    let hosts = Evaluator::new(&tables).text(set, None).map_err(|error| error.to_string())?;
    Ok(hosts.names().into_iter().map(str::to_owned).collect())
}

fn folded(set: &str) -> String {
    fold(names(set).unwrap())
}

fn fault(set: &str) -> String {
    names(set).unwrap_err()
}

#[test]
fn names_keep_the_order_in_which_they_are_named() {
    assert_eq!(names("b[2-1/1],a").unwrap_err().split(',').next(), Some("the range ends before it begins"));
    assert_eq!(names("web3 web[1-3],\n a").unwrap(), ["web3", "web1", "web2", "a"]);
    assert_eq!(names("c,b,a!b,b").unwrap(), ["c", "a", "b"]);
    assert_eq!(names("").unwrap(), [""; 0]);
    assert_eq!(names(" \n").unwrap(), [""; 0]);
}

#[test]
fn operators_apply_from_left_to_right() {
    assert_eq!(folded("a[1-5]!a[2-3]"), "a[1,4-5]");
    assert_eq!(folded("a[1-5] & a[4-9]"), "a[4-5]");
    assert_eq!(folded("a[1-5]^a[4-9]"), "a[1-3,6-9]");
    assert_eq!(folded("a1,a2&a2,a3"), "a[2-3]");
    assert_eq!(folded("a1,(a2&(a2,a3))"), "a[1-2]");
    assert_eq!(folded("()"), "");
    assert_eq!(folded("a[1-9]!(a[1-3] , (a5 a6))"), "a[4,7-9]");
}

#[test]
fn users_and_ports_surround_sets() {
    assert_eq!(names("root@web[1-2]:2222").unwrap(), ["root@web1:2222", "root@web2:2222"]);
    assert_eq!(names("web:[2201-2202]").unwrap(), ["web:2201", "web:2202"]);
    assert_eq!(names("root@(a,me@b,c:1):22").unwrap(), ["root@a:22", "me@b:22", "root@c:1"]);
    assert_eq!(names("(a,b):22").unwrap(), ["a:22", "b:22"]);
    assert_eq!(names("root@@web").unwrap(), ["root@web1", "root@web2", "root@web3"]);
    assert_eq!(names("root@@other:db").unwrap(), ["root@db1", "root@db2"]);
    assert_eq!(names("root@web*").unwrap(), ["root@web1", "root@web2", "root@web3"]);
    assert_eq!(names("ssh://me@web1:22").unwrap(), ["me@web1:22"]);
    assert_eq!(folded("root@web[1-9]:22,db"), "db,root@web[1-9]:22");
}

#[test]
fn a_plain_name_removes_and_keeps_the_host_with_any_user_and_port() {
    assert_eq!(folded("root@web[1-3]:22!web2"), "root@web[1,3]:22");
    assert_eq!(folded("root@web[1-3]:22!root@web2"), "root@web[1,3]:22");
    assert_eq!(folded("root@web[1-3]:22!web2:22"), "root@web[1,3]:22");
    assert_eq!(folded("root@web[1-3]:22!web2:23,me@web2"), "me@web2,root@web[1-3]:22");
    assert_eq!(folded("root@web[1-3],db&web2"), "root@web2");
    assert_eq!(folded("web[1-3]!root@web2"), "web[1-3]");
    assert_eq!(folded("web1,root@web1"), "root@web1,web1");
}

#[test]
fn brackets_around_an_ipv6_address_are_no_range() {
    assert_eq!(
        names("[2001:db8::1],2001:DB8::1,[::1]:22").unwrap(),
        ["2001:db8::1", "2001:DB8::1", "[::1]:22"]
    );
    assert_eq!(names("root@[fe80::1%eth0]:2222").unwrap(), ["root@[fe80::1%eth0]:2222"]);
    assert_eq!(names("2001:db8::[1-2]").unwrap(), ["2001:db8::1", "2001:db8::2"]);
    assert_eq!(
        names("[2001:db8::[1-2]]").unwrap_err(),
        "\"[\" without \"]\", at column 1 of \"[2001:db8::[1-2]]\""
    );
    // They are not folded, as no one could read that.
    assert_eq!(folded("2001:db8::[1-2]"), "2001:db8::1,2001:db8::2");
    assert_eq!(folded("10.0.0.[1-20]"), "10.0.0.[1-20]");
}

#[test]
fn groups_are_those_of_their_source() {
    assert_eq!(folded("@web"), "web[1-3]");
    assert_eq!(folded("@both"), "db[1-2],web[1-2]");
    assert_eq!(folded("@other:up"), "db[1-2]");
    assert_eq!(folded("@rack[1-2]!r2n1"), "r1n[1-2],r2n2");
    assert_eq!(folded("@*"), "db[1-2],root@login:2222,web[1-3]");
    assert_eq!(folded("@none"), "");
    assert_eq!(names("@@other").unwrap(), ["db", "back", "up"]);
    assert_eq!(fault("@nope"), "no group nope in source main, at column 1 of \"@nope\"");
    assert_eq!(fault("a,@x:y"), "no source x, at column 3 of \"a,@x:y\"");
    assert_eq!(fault("@"), "not the name of a group, at column 1 of \"@\"");
    assert_eq!(fault("@-x"), "not the name of a group, at column 1 of \"@-x\"");
    assert!(fault("@bad").starts_with("@main:bad: \"[\" without \"]\", at column 4 of \"web[1-\""));
}

#[test]
fn what_a_shell_would_interpret_is_no_name_of_a_group() {
    for group in ["a;b", "$(reboot)", "a`b`", "a|b", "a'b", "a\\b", "a>b", "x{1}", "a\u{1b}b", "a\u{202e}b"] {
        let error = fault(&format!("@{group}"));
        assert!(error.contains("name of a group") || error.contains("operator"), "{error}");
        assert!(!error.contains(['\u{1b}', '\u{202e}']), "{error:?}");
    }
}

#[test]
fn groups_that_contain_themselves_are_errors() {
    let error = fault("@self");
    assert!(error.contains("a group contains itself: @main:self > @main:self"), "{error}");
    let error = fault("x,@chain1");
    let path = "a group contains itself: @main:chain1 > @main:chain2 > @other:back > @main:chain1";
    assert!(error.contains(path), "{error}");
}

#[test]
fn groups_inside_of_each_other_are_bounded_and_asked_once() {
    let chain = |len: usize| {
        let group = |at: usize| (format!("g{at}"), format!("@g{} @g{} @g{}", at + 1, at + 1, at + 1));
        let groups = (0..len).map(group).chain([(format!("g{len}"), String::new())]).collect();
        Tables::new(&[("main".to_owned(), groups)])
    };
    // 3³¹ visits, were each one asked each time.
    let tables = chain(31);
    assert_eq!(Evaluator::new(&tables).text("@g0", None).unwrap().len(), 0);
    let tables = chain(40);
    let error = Evaluator::new(&tables).text("@g0", None).unwrap_err().to_string();
    assert!(error.contains("more than 32 groups inside of each other"), "{error}");
}

#[test]
fn wildcards_match_known_hosts() {
    assert_eq!(folded("web*"), "web[1-3]");
    assert_eq!(folded("?b[1-2]!db2"), "db1");
    assert_eq!(folded("*!@web"), "db[1-2],root@login:2222");
    let tables = tables();
    let mut evaluator = Evaluator::new(&tables);
    assert_eq!(evaluator.text("web1,nothing*", None).unwrap().names(), ["web1"]);
    assert_eq!(evaluator.unmatched(), ["nothing*"]);
    for (pattern, name, is) in [
        ("*", "", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("?", "\u{e9}", true),
        ("??", "a", false),
        ("a**", "a", true),
        ("", "a", false),
    ] {
        assert_eq!(matches(pattern, name), is, "{pattern} {name}");
    }
}

#[test]
fn without_groups_wildcards_match_other_known_hosts() {
    let mut tables = Tables::new(&[]);
    let fault = |tables: &Tables| Evaluator::new(tables).text("web*", None).unwrap_err().to_string();
    assert_eq!(fault(&tables), "no sources, at column 1 of \"web*\"");
    tables.known = vec!["web1".to_owned(), "db1".to_owned()];
    assert_eq!(Evaluator::new(&tables).text("web*", None).unwrap().names(), ["web1"]);
    assert_eq!(
        Evaluator::new(&tables).text("@*", None).unwrap_err().to_string(),
        "no sources, at column 1 of \"@*\""
    );
}

#[test]
fn faults_name_their_column() {
    let cases = [
        ("web[1-3", "\"[\" without \"]\", at column 4 of \"web[1-3\""),
        ("web1-3]", "\"]\" without \"[\", at column 7 of \"web1-3]\""),
        ("a,,b", "nothing before \",\", at column 3 of \"a,,b\""),
        ("a,", "nothing after \",\", at column 3 of \"a,\""),
        ("!a", "nothing before \"!\", at column 1 of \"!a\""),
        ("(a,b", "\"(\" without \")\", at column 1 of \"(a,b\""),
        ("a)", "\")\" without \"(\", at column 2 of \"a)\""),
        ("a(b)", "an operator is missing, at column 2 of \"a(b)\""),
        ("(a):0", "the port is not a number between 1 and 65535, at column 4 of \"(a):0\""),
        ("a[]", "empty range, at column 3 of \"a[]\""),
        ("a[1,,2]", "empty range, at column 5 of \"a[1,,2]\""),
        ("a[1,x]", "not a number, at column 5 of \"a[1,x]\""),
        ("a[5/2]", "a step needs a range, as in 1-9/2, at column 3 of \"a[5/2]\""),
        ("a[1-5/0]", "the step is 0, at column 3 of \"a[1-5/0]\""),
        (
            "a[1-05]",
            "the ends of a range with leading zeros have different widths, at column 3 of \"a[1-05]\"",
        ),
        ("a[-5]", "a range cannot begin with \"-\", at column 3 of \"a[-5]\""),
        ("a,-b", "the host starts with '-', at column 3 of \"a,-b\""),
        ("a \u{1b}[31mb", "\"[\" without \"]\", at column 4 of \"a \\x1b[31mb\""),
        ("a,b;c", "the host contains the character ';', at column 3 of \"a,b;c\""),
        ("a,^hosts", "nothing before \"^\", at column 3 of \"a,^hosts\""),
        ("web1:0", "the port is not a number between 1 and 65535, at column 1 of \"web1:0\""),
    ];
    for (set, expected) in cases {
        assert_eq!(fault(set), expected, "{set}");
    }
    let long = format!("{},[x", "a,".repeat(1000));
    let error = fault(&long);
    assert!(error.len() < 200 && error.contains("at column 2001 of \"…"), "{error}");
    let name = "x".repeat(300);
    assert!(fault(&name).starts_with("the host is 300 bytes long"), "{}", fault(&name));
}

#[test]
fn large_sets_are_refused_before_they_are_expanded() {
    let limit = "more than 1,000,000 names";
    for set in [
        "a[0-1000000000]",
        "a[1-1000001]",
        "a[000000000000000001-999999999999999999]",
        "a[1-1001]b[1-1000]",
        "a[1-999999999]b[1-999999999]c[1-999999999]",
        "a[1-999999999999999999,1-999999999999999999,1-999999999999999999]b[1-99]",
        "a[1-10],b[1-999991]",
        "a[1-10]!b[1-999991]",
        "(a[1-10]&b1),(a[1-999991]&b1)",
        "@rack[1-9999999]",
        "web[1-9999999]*",
    ] {
        assert!(fault(set).starts_with(limit), "{set}: {}", fault(set));
    }
    assert_eq!(names("a[1-999999999/1000000]").unwrap().len(), 1000);
    let tables = Tables::new(&[("main".to_owned(), vec![("g".to_owned(), "a[1-10000]".to_owned())])]);
    let error = Evaluator::new(&tables).text(&"@g ".repeat(101), None).unwrap_err().to_string();
    assert!(error.starts_with(limit), "{error}");
}

#[test]
fn parentheses_are_bounded() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(names(&nested(32)).unwrap(), ["a"]);
    assert!(fault(&nested(33)).starts_with("more than 32 parentheses inside of each other"));
    assert!(fault(&nested(1_000_000)).starts_with("more than 32 parentheses"));
}

#[test]
fn arguments_have_files_exclusions_and_regular_expressions() {
    let parsed = parse("a[1-9],-a3,-@web /^a[1-5]{1,2}$/ -/a2/,^hosts.txt", Style::Argument).unwrap();
    assert_eq!((parsed.set.len(), parsed.excluded.len()), (2, 2));
    let filters: Vec<(&str, bool)> =
        parsed.filters.iter().map(|filter| (filter.regex.as_str(), filter.keep)).collect();
    assert_eq!(filters, [("^a[1-5]{1,2}$", true), ("a2", false)]);
    let regex = |text: &str| parse(text, Style::Argument).unwrap().filters.remove(0).regex;
    assert_eq!(regex("/web"), "web");
    assert_eq!(regex("/web,a"), "web");
    assert_eq!(regex("/a/b/,c"), "a/b");
    let fault = |text: &str| parse(text, Style::Argument).unwrap_err().to_string();
    assert!(fault("a!-b").starts_with("only a comma or a blank can be before this, at column 3"));
    assert!(fault("-a&b").starts_with("only a comma or a blank can be after what is excluded, at column 3"));
    assert!(fault("^,a").starts_with("a file is missing after \"^\", at column 2"));
    assert_eq!(parse("a[1-9]^(b)", Style::Argument).unwrap().set[1].0, Operator::Xor);
}

#[test]
fn positions_are_below_the_length() {
    assert_eq!(positions("0-4/2,3,1", 10).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(positions("5-999999999999999999", 7).unwrap(), [5, 6]);
    assert!(positions("x", 7).is_err());
}

#[test]
fn operations_take_time_for_their_operand() {
    // Quadratic work would take minutes.
    let mut hosts = HostSet::default();
    for number in 0..100_000 {
        hosts.insert(&format!("a{number}"));
    }
    for number in 0..50_000 {
        let mut other = HostSet::default();
        other.insert(&format!("a{}", number * 2));
        hosts.apply(if number % 2 == 0 { Operator::Difference } else { Operator::Xor }, &other);
    }
    assert_eq!(hosts.len(), 50_000);
}
