//! What is granted, and what is more than was granted.

use super::*;
use crate::pipeline::Pipeline;

fn grants(toml: &str) -> Grants {
    let text = format!("name = \"p\"\n[stages.a]\nplugin = \"a\"\ngrants = {{ {toml} }}\n");
    Pipeline::parse(&text, "p.toml").unwrap_or_else(|error| panic!("{error}")).stages()[0].grants.clone()
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn an_endpoint_survives_its_text() {
    for text in
        ["db.example:5432", "localhost:*", "10.0.0.1:80", "10.0.0.0/8:*", "0.0.0.0/0:443", "[::1]:53", "[fd00::/8]:*"]
    {
        assert_eq!(endpoint(text).to_string(), text);
    }
    assert_eq!(endpoint("DB.Example:1").to_string(), "db.example:1");
    assert_eq!(endpoint("10.0.0.1/32:1").to_string(), "10.0.0.1:1");
}

#[test]
fn what_is_no_endpoint_is_refused() {
    for wrong in [
        "",
        ":",
        "db",
        "db:",
        ":80",
        "db:0",
        "db:65536",
        "db:+80",
        "db:-1",
        "db:http",
        "*:80",
        "::1:80",
        "[::1]",
        "[10.0.0.1]:1",
        "10.0.0.1/33:1",
        "10.0.0.1/8:1",
        "10.0.0.0/x:1",
        "[::1/64]:1",
        "[::1/129]:1",
        "10.0.0:1",
        "10.0.0.256:1",
        "-a:1",
        "a..b:1",
        "a b:1",
        "a\u{1b}:1",
        "[::ffff:10.0.0.1]:1",
        "http://a:1",
    ] {
        assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
    }
}

#[test]
fn an_endpoint_has_its_addresses_and_ports_alone() {
    let has = |own: &str, ip: &str, port| endpoint(own).contains(ip.parse().unwrap(), port);
    assert!(has("10.0.0.1:80", "10.0.0.1", 80));
    assert!(!has("10.0.0.1:80", "10.0.0.1", 81) && !has("10.0.0.1:80", "10.0.0.2", 80));
    assert!(has("10.0.0.0/9:*", "10.127.255.255", 1) && !has("10.0.0.0/9:*", "10.128.0.0", 1));
    assert!(has("0.0.0.0/0:*", "255.255.255.255", 65535) && !has("0.0.0.0/0:*", "::1", 1));
    assert!(has("[::/0]:*", "::1", 1) && !has("[::/0]:*", "10.0.0.1", 1));
    assert!(has("[fd00::/8]:*", "fdff::1", 1) && !has("[fd00::/8]:*", "fe80::1", 1));
    // One that is written as IPv6 is no way around, and no way in.
    assert!(has("10.0.0.1:80", "::ffff:10.0.0.1", 80) && !has("[::/0]:80", "::ffff:10.0.0.1", 80));
    assert!(!has("db.example:80", "10.0.0.1", 80));
}

#[test]
fn a_name_that_may_be_connected_to_may_be_looked_up() {
    let some = grants("tcp = [\"db.example:1\"], udp = [\"10.0.0.1:1\", \"ntp.example:123\"]");
    assert!(some.may_resolve("db.example") && some.may_resolve("NTP.example"));
    assert!(!some.may_resolve("evil.example") && !some.may_resolve("10.0.0.1") && !some.may_resolve(""));
    assert!(grants("resolve = true").may_resolve("evil.example"));
    assert!(!Grants::default().may_resolve("db.example"));
}

#[test]
fn all_of_it_is_beyond_nothing() {
    let all = grants(
        "env = { A = \"secret\" }, env_from_host = [\"B\"], tcp = [\"db.example:5432\"], udp = [\"10.0.0.0/8:*\"], \
         resolve = true, dirs = [{ host = \"/srv/r\", guest = \"/r\" }, { host = \"/srv/w\", guest = \"/w\", write = true }]",
    );
    let words = all.beyond(&Grants::default());
    let expected = [
        "read the variable A",
        "read the node's environment variable B",
        "read /r (host /srv/r)",
        "read and write to /w (host /srv/w)",
        "connect to db.example:5432 over TCP",
        "send to 10.0.0.0/8:* over UDP",
        "look up any name",
    ];
    assert_eq!(words, expected);
    assert!(all.beyond(&all).is_empty() && Grants::default().beyond(&all).is_empty());
    assert!(!all.is_empty() && Grants::default().is_empty());
}

#[test]
fn only_what_was_not_granted_is_beyond() {
    let beyond = |now: &str, former: &str| grants(now).beyond(&grants(former));
    assert!(beyond("tcp = [\"10.1.0.0/16:80\", \"db:1\"]", "tcp = [\"10.0.0.0/8:*\", \"db:*\"]").is_empty());
    assert_eq!(
        beyond("tcp = [\"10.0.0.0/8:80\"]", "tcp = [\"10.1.0.0/16:80\"]"),
        ["connect to 10.0.0.0/8:80 over TCP"]
    );
    assert_eq!(beyond("tcp = [\"db:*\"]", "tcp = [\"db:80\"], udp = [\"db:*\"]"), ["connect to db:* over TCP"]);
    let dir = |host: &str, guest: &str, write| {
        format!("dirs = [{{ host = \"{host}\", guest = \"{guest}\", write = {write} }}]")
    };
    assert_eq!(beyond(&dir("/x", "/d", true), &dir("/x", "/d", false)), ["write to /d (host /x)"]);
    assert!(beyond(&dir("/x/y", "/e", true), &dir("/x", "/d", true)).is_empty());
    assert!(beyond(&dir("/x", "/d", false), &dir("/x", "/d", true)).is_empty());
    assert_eq!(beyond(&dir("/xy", "/d", false), &dir("/x", "/d", true)), ["read /d (host /xy)"]);
    // The same guest path that is another directory.
    assert_eq!(beyond(&dir("/etc", "/d", false), &dir("/x", "/d", true)), ["read /d (host /etc)"]);
    assert!(beyond("env = { A = \"2\" }", "env = { A = \"1\" }").is_empty());
    assert_eq!(beyond("env_from_host = [\"A\"]", "env = { A = \"1\" }"), ["read the node's environment variable A"]);
}
