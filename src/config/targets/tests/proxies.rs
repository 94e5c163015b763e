//! The way to a host: what is inherited, what is shared, and what is rejected.

use std::sync::Arc;

use super::{World, config, plan};
use crate::Proxy;
use crate::session::{RetryPolicy, Target};

/// The proxies on the way to a host as `user@host:port`. The first is connected to directly.
pub(super) fn way(target: &Target) -> Vec<String> {
    let mut way: Vec<String> = std::iter::successors(target.proxy.as_deref(), |hop| hop.proxy.as_deref())
        .map(|hop| format!("{}@{}:{}", hop.profile.user_name(), hop.host, hop.port))
        .collect();
    way.reverse();
    way
}

#[test]
fn proxy_host_alone_has_the_documented_defaults() {
    let world = World::new();
    // No part of the host's login is used for the proxy.
    let client = config().user("deploy").port(2222).password("secret").key_file(world.path("one"));
    let client = client.agent_socket("/agent");
    let target = world.one("web1", &client.proxy_host("gate"), &config());
    assert_eq!(way(&target), ["owner@gate:22"]);
    let proxy = target.proxy.as_deref().unwrap();
    assert_eq!(plan(proxy), ["agent(1 first)", "ask"]);
    assert_eq!(proxy.profile.connection.retry, RetryPolicy::default());
}

#[test]
fn proxy_fields_are_inherited_one_by_one() {
    let world = World::new();
    let client = config().proxy_host("gate").proxy_port(2200).proxy_user("jump").proxy_password("secret");
    let client = client.proxy_key_file(world.path("one"));
    assert_eq!(way(&world.one("web1", &client, &config())), ["jump@gate:2200"]);
    let own = config().proxy_host("other").proxy_user("me");
    let target = world.one("web1", &client, &own);
    assert_eq!(way(&target), ["me@other:2200"]);
    assert_eq!(plan(target.proxy.as_deref().unwrap()), ["sign", "ask", "password(secret)"]);
    let own = config().proxy_host("you@other:22").proxy_user("me").proxy_password("own");
    let target = world.one("web1", &client, &own);
    assert_eq!(way(&target), ["you@other:22"]);
    let plan = plan(target.proxy.as_deref().unwrap());
    assert_eq!(plan.last().map(String::as_str), Some("password(own)"));
    assert!(world.one("web1", &client, &config().no_proxy()).proxy.is_none());
}

#[test]
fn several_proxies_come_in_the_order_given_and_replace_the_clients() {
    let world = World::new();
    let client = config().proxy(Proxy::new("gate"));
    let own = config().proxies([Proxy::new("a@outer"), Proxy::new("inner:2222").user("b")]);
    assert_eq!(way(&world.one("web1", &client, &config())), ["owner@gate:22"]);
    assert_eq!(way(&world.one("web1", &client, &own)), ["a@outer:22", "b@inner:2222"]);
    assert!(way(&world.one("web1", &client, &config().no_proxy())).is_empty());
    assert_eq!(way(&world.one("web1", &client, &config().proxy_host("x"))), ["owner@x:22"]);
}

#[test]
fn what_is_no_login_is_the_clients() {
    let world = World::new();
    let minute = super::MINUTE;
    let client = config().num_retries(7).timeout(minute).retry_delay(minute).compress(true);
    let client =
        client.proxies([Proxy::new("gate"), Proxy::new("next").timeout(super::SECOND).max_attempts(1)]);
    let target = world.one("web1", &client, &config().timeout(super::SECOND));
    let next = target.proxy.as_deref().unwrap();
    let gate = next.proxy.as_deref().unwrap();
    let retry = |target: &Target| target.profile.connection.retry;
    let times = |target: &Target| (target.profile.timeouts.handshake.unwrap(), retry(target).failed.attempts);
    assert_eq!((times(gate), times(next)), ((minute, 7), (super::SECOND, 1)));
    assert_eq!(retry(gate).failed.delay, minute);
    assert_eq!(retry(gate).time_limit, None, "the time limit of the default policy");
    // Traffic that is already encrypted does not compress.
    assert!(target.profile.connection.compress && !gate.profile.connection.compress);
}

#[test]
fn equal_proxies_are_one_and_different_ones_are_not() {
    let world = World::new();
    let gate = || Proxy::new("gate").password("secret").allow_agent(false);
    let configs = [
        config(),
        config().proxy(gate()),
        config().proxy(gate().user("jump")),
        config().proxy(gate().password("other")),
        config().proxies([Proxy::new("outer"), gate()]),
        config().proxies([Proxy::new("outer"), gate().port(22)]),
        config().proxy(gate().port(23)),
    ];
    let hosts: Vec<String> = (0..configs.len()).map(|index| format!("web{index}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let targets = world.resolve(&hosts, &config().proxy(gate()), &configs).unwrap();
    let same = |a: usize, b: usize| {
        let proxy = |index: usize| targets[index].proxy.as_ref().unwrap();
        Arc::ptr_eq(proxy(a), proxy(b))
    };
    for (a, b, expected) in
        [(0, 1, true), (0, 2, false), (0, 3, false), (0, 4, false), (4, 5, true), (0, 6, false)]
    {
        assert_eq!(same(a, b), expected, "{a} and {b}");
    }
}

/// Each proxy is dialled, recorded and shown by three names, as hosts are.
#[test]
fn proxies_have_names_of_their_own() {
    let world = World::new();
    let gate = || Proxy::new("gate:2222").hostname("192.0.2.1");
    let client = config().proxies([gate().host_key_alias("bastion"), Proxy::new("inner")]);
    let target = world.one("web1", &client, &config().hostname("192.0.2.9").host_key_alias("node"));
    let inner = target.proxy.as_deref().unwrap();
    let outer = inner.proxy.as_deref().unwrap();
    let names = |target: &Target| format!("{} {} {:?}", target.host, target.dialled, target.recorded);
    assert_eq!(names(&target), "web1 192.0.2.9 (\"node\", 22)");
    assert_eq!(names(inner), "inner inner (\"inner\", 22)");
    assert_eq!(names(outer), "gate 192.0.2.1 (\"bastion\", 22)");
    assert!(outer.ip().is_some());
    // Proxies with other names are others.
    let hosts = [gate().host_key_alias("bastion"), gate(), gate().host_key_alias("bastion")];
    let own = hosts.map(|proxy| config().proxy(proxy));
    let targets = world.resolve(&["a", "b", "c"], &config(), &own).unwrap();
    let proxies: Vec<_> = targets.iter().map(|target| target.proxy.as_ref().unwrap()).collect();
    assert!(Arc::ptr_eq(proxies[0], proxies[2]) && !Arc::ptr_eq(proxies[0], proxies[1]));
    // What is dialled decides whether a way leads back.
    let circle = config().proxies([gate(), Proxy::new("other:2222").hostname("192.0.2.1")]);
    let text = world.problem(&["web1"], &circle, &[config()]);
    assert!(text.contains("proxy loop: 192.0.2.1 port 2222"), "{text}");
}

#[test]
fn ways_in_a_circle_are_refused() {
    let world = World::new();
    let circle = |hosts: &[&str], own| world.problem(hosts, &config(), &[own]);
    let text = circle(&["gate"], config().proxy_host("GATE"));
    assert_eq!(
        text,
        "host 1 of the list (gate): proxy loop: GATE port 22 appears twice on the way to the host"
    );
    let text = circle(&["127.0.0.1"], config().proxy_host("127.1"));
    assert!(text.contains("proxy loop: 127.1 port 22"), "{text}");
    let twice = config().proxies([Proxy::new("a"), Proxy::new("b"), Proxy::new("you@a:22")]);
    assert!(circle(&["web1"], twice).contains("a port 22 appears twice"));
    // Another port is another server.
    let own = config().proxy_host("gate:2222");
    assert_eq!(way(&world.one("gate", &config(), &own)), ["owner@gate:2222"]);
}

/// The command that leads to a host, with its tokens expanded.
fn line(target: &Target) -> Option<String> {
    assert!(target.proxy.is_none() || target.command.is_none());
    target.command_line()
}

#[test]
fn the_most_specific_layer_with_a_proxy_or_a_command_decides() {
    let world = World::new();
    let gate = || config().proxy(Proxy::new("gate"));
    let command = || config().proxy_command("nc %h %p");
    let found = |client, own| {
        let target = world.one("web1", &client, &own);
        (way(&target), line(&target))
    };
    let (gate_only, nc_only) =
        ((vec!["owner@gate:22".to_owned()], None), (Vec::new(), Some("nc web1 22".to_owned())));
    let direct = (Vec::new(), None);
    assert_eq!(found(command(), config()), nc_only);
    assert_eq!(found(command(), gate()), gate_only);
    assert_eq!(found(command(), config().proxy_host("gate")), gate_only);
    assert_eq!(found(gate(), command()), nc_only);
    assert_eq!(found(config().proxy_host("gate").proxy_port(23), command()), nc_only);
    assert_eq!(found(command(), config().proxy_command("None")), direct);
    assert_eq!(found(gate(), config().proxy_command("none")), direct);
    assert_eq!(found(command(), config().no_proxy()), direct);
}

#[test]
fn a_command_has_the_names_of_its_host() {
    let world = World::new();
    let client = config().user("deploy").proxy_command("ssh -W %h:%p %r@gate # %n 100%%");
    let own = config().hostname("10.0.0.7").host_key_alias("other").port(2222);
    let text = "ssh -W 10.0.0.7:2222 deploy@gate # web1 100%";
    assert_eq!(line(&world.one("web1", &client, &own)).as_deref(), Some(text));
    let text = "ssh -W fe80::1%eth0:22 root@gate # fe80::1%eth0 100%";
    assert_eq!(line(&world.one("root@[fe80::1%eth0]", &client, &config())).as_deref(), Some(text));
}

#[test]
fn hosts_share_the_text_of_their_command() {
    let world = World::new();
    let own = [config(), config().proxy_command("other"), config().proxy_command("nc %h %p")];
    let targets = world.resolve(&["a", "b", "c"], &config().proxy_command("nc %h %p"), &own).unwrap();
    let command = |index: usize| targets[index].command.as_ref().unwrap();
    assert!(Arc::ptr_eq(command(0), command(2)) && !Arc::ptr_eq(command(0), command(1)));
}

#[test]
fn a_command_may_lead_to_the_first_proxy() {
    let world = World::new();
    let gate = |command: &str| Proxy::new("jump@gate").proxy_command(command);
    let client = config().proxies([gate("cloud %n"), Proxy::new("inner")]).user("deploy");
    let target = world.one("web1", &client, &config());
    let inner = target.proxy.as_deref().unwrap();
    let outer = inner.proxy.as_deref().unwrap();
    assert_eq!((line(&target), line(inner), line(outer).as_deref()), (None, None, Some("cloud gate")));

    let own = [config(), config().proxy(gate("nc %h")), config().proxy(gate("nc %h"))];
    let targets = world.resolve(&["a", "b", "c"], &config().proxy(gate("cloud %n")), &own).unwrap();
    let proxy = |index: usize| targets[index].proxy.as_ref().unwrap();
    assert!(Arc::ptr_eq(proxy(1), proxy(2)) && !Arc::ptr_eq(proxy(0), proxy(1)));
    // Hosts' commands do not lead to their proxies.
    let target = world.one("web1", &config().proxy_command("nc"), &config().proxy(Proxy::new("gate")));
    assert_eq!(line(target.proxy.as_deref().unwrap()), None);
}

#[test]
fn commands_that_cannot_be_meant_are_refused_with_their_place() {
    let world = World::new();
    let problem = |client, own| world.problem(&["web0", "web1"], &client, &[config(), own]);
    let of_one = |text: &str| format!("host 2 of the list (web1): {text}");
    let command = || config().proxy_command("ssh -W %h:%p %r@gate");
    let text = problem(config(), config().proxy_command("nc %d"));
    assert_eq!(text, of_one("proxy_command \"nc %d\": \"%d\" is none of %h, %n, %p, %r and %%"));
    assert_eq!(problem(config().proxy_command(" "), config()), "proxy_command \" \": is empty");
    let text = problem(config(), command().proxy(Proxy::new("a")));
    assert_eq!(text, of_one("proxy_command cannot be combined with proxies: give one of them"));
    let text = problem(config(), command().proxy_host("a"));
    assert_eq!(text, of_one("proxy_command cannot be combined with proxy_host: give one of them"));
    let text = problem(config(), command().proxy_user("me"));
    assert!(text.ends_with("needs a proxy_host"), "{text}");
    let hops = [Proxy::new("a"), Proxy::new("b").proxy_command("nc %h %p")];
    let text = problem(config(), config().proxies(hops));
    let behind = "proxy b: proxy_command cannot be combined with a proxy before it: give one of them";
    assert_eq!(text, of_one(behind));
    let text = problem(command(), config().user("x$IFS-oProxyCommand=y"));
    let hostile = "user \"x$IFS-oProxyCommand=y\": cannot be a part of proxy_command: \
                   a shell would interpret '$'";
    assert_eq!(text, of_one(hostile));
    let proxy = Proxy::new("gate").user("a b").proxy_command("nc %r");
    let text = problem(config(), config().proxy(proxy));
    assert!(text.starts_with(&of_one("proxy gate: user \"a b\"")), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let world = World::new();
    let problem = |client, own| world.problem(&["web0", "web1"], &client, &[config(), own]);
    let of_one = |text: &str| format!("host 2 of the list (web1): {text}");
    let no_host = "proxy_user, proxy_port, proxy_password or proxy_key_file needs a proxy_host";
    let text = problem(config(), config().proxy_user("me"));
    assert_eq!(text, of_one(no_host));
    let text = problem(config().proxy(Proxy::new("a")), config().proxy_user("me"));
    assert_eq!(text, of_one(no_host));
    let text = problem(config(), config().proxy(Proxy::new("a")).proxy_host("b"));
    assert_eq!(text, of_one("proxies cannot be combined with proxy_host: give one of them"));
    assert!(problem(config(), config().proxy_host("a b")).starts_with(&of_one("proxy \"a b\": ")));
    assert!(problem(config(), config().proxy(Proxy::new(""))).starts_with(&of_one("proxy \"\": ")));
    let text = problem(config(), config().proxy(Proxy::new("gate").port(0)));
    assert_eq!(text, of_one("proxy gate: port must be 1 to 65535"));
    let text = problem(config(), config().proxy_host("gate").proxy_password("a\0b"));
    assert_eq!(text, of_one("proxy gate: password contains a NUL byte"));
    let text = problem(config(), config().proxy_host("gate").proxy_key_file(world.path("none")));
    assert!(text.starts_with("host 2 of the list (web1): private key"), "{text}");
    let client = config().proxy(Proxy::new("gate").key_file(world.path("none")));
    let text = problem(client, config());
    assert!(text.starts_with("private key"), "{text}");
}
