//! The keys that say where a stage's code is and what it may use.

use super::*;

#[test]
fn wrong_plugins_are_told_apart() {
    let of = |plugin: &str| messages(&MINIMAL.replace("a.wasm", plugin)).remove(0);
    assert_eq!(
        of("~/a.wasm"),
        "p.toml:3:10: `stages.a.plugin` is the string \"~/a.wasm\"; expected a path without `~`, which is not expanded: \
         write the whole path, or one from the directory of this file"
    );
    assert_eq!(
        of("builtin:"),
        "p.toml:3:10: `stages.a.plugin` is the string \"builtin:\"; expected the name of a built-in stage after \
         `builtin:`, as in \"builtin:lines\""
    );
    let component = "expected the path of a component, as in \"./a.wasm\", the name of a plugin in the cluster's store, or `builtin:` and a name";
    assert_eq!(of(""), format!("p.toml:3:10: `stages.a.plugin` is the string \"\"; {component}"));
    assert_eq!(of("\\u0000"), format!("p.toml:3:10: `stages.a.plugin` is the string \"\\0\"; {component}"));
}

#[test]
fn a_plugin_is_a_path_a_name_or_a_part_of_the_host() {
    let of = |plugin: &str| parse(&MINIMAL.replace("a.wasm", plugin)).unwrap().stages()[0].plugin.clone();
    for path in ["./x", "x.wasm", "x/y", "/x", "n@sha256:00.wasm", ".wasm", "../x@y"] {
        assert_eq!(of(path), PluginRef::File(path.into()));
    }
    let digest = format!("sha256:{}", "0a".repeat(32));
    let named = |digest| PluginRef::Name { name: "x.1-b".parse().unwrap(), digest };
    assert_eq!(of("x.1-b"), named(None));
    assert_eq!(of(&format!("x.1-b@{digest}")), named(Some(digest.parse().unwrap())));
    for text in ["x.1-b", &format!("x.1-b@{digest}"), "./x", "builtin:lines"] {
        assert_eq!(of(text).to_string(), text);
    }
}

#[test]
fn wrong_names_of_plugins_are_told_apart() {
    let of = |plugin: &str| messages(&MINIMAL.replace("a.wasm", plugin)).remove(0);
    let shown = |plugin: &str| format!("p.toml:3:10: `stages.a.plugin` is the string \"{plugin}\"; expected ");
    let name = "a name of 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit, or a \
                path, which has a `/` or `.wasm` at its end";
    for wrong in ["Counter", "a b", "a:b", "@sha256:00", "-a"] {
        assert_eq!(of(wrong), shown(wrong) + name);
    }
    let digest = "a digest after `@`: `sha256:` and 64 of the characters 0-9 and a-f";
    for wrong in ["a@", "a@sha256:00", "a@1.0", "a@b@c"] {
        assert_eq!(of(wrong), shown(wrong) + digest);
    }
}

#[test]
fn only_a_name_without_digest_is_followed() {
    let followed = MINIMAL.replace("a.wasm", "a");
    assert!(parse(&format!("{followed}follow = true\n")).unwrap().stages()[0].follow);
    assert!(!stage("follow = false").follow);
    let of = |plugin: &str| messages(&format!("{}follow = true\n", MINIMAL.replace("a.wasm", plugin)));
    let expected = |why: &str| {
        let alone = "expected it only with a plugin's name alone, as in plugin = \"counter\"";
        [format!("p.toml:4:10: `stages.a.follow` is true, and the plugin is {why}; {alone}")]
    };
    assert_eq!(of("a.wasm"), expected("a file"));
    assert_eq!(of("builtin:lines"), expected("a part of the host"));
    assert_eq!(of(&format!("a@sha256:{}", "00".repeat(32))), expected("pinned by its digest"));
    let word = message("follow = \"yes\"");
    assert_eq!(word, "p.toml:4:10: `stages.a.follow` is the string \"yes\"; expected true or false");
}

#[test]
fn grants_are_read() {
    let text = r#"grants = { env = { A = "1", "a.b" = "" }, env_from_host = ["B"], tcp = ["DB.example:5432", "10.0.0.1:*"], udp = ["[::1]:53"], resolve = true, dirs = [{ host = "/srv/x", guest = "/data", write = true }, { host = "/", guest = "/all" }] }"#;
    let grants = stage(text).grants;
    let pairs = [("A", "1"), ("a.b", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let dir = |host: &str, write| Dir { host: host.into(), write };
    let dirs = [("/data".to_owned(), dir("/srv/x", true)), ("/all".to_owned(), dir("/", false))];
    let endpoints = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    let expected = Grants {
        env: pairs.into(),
        env_from_host: ["B".to_owned()].into(),
        dirs: dirs.into(),
        tcp: endpoints(&["db.example:5432", "10.0.0.1:*"]),
        udp: endpoints(&["[::1]:53"]),
        resolve: true,
    };
    assert_eq!(grants, expected);
    assert!(stage("").grants.is_empty());
}

#[test]
fn wrong_grants_are_told_apart() {
    for (lines, expected) in [
        ("grants = true", "`stages.a.grants` is true; expected a table, as in { tcp = [\"db.example:5432\"] }"),
        (
            "grants.tpc = []",
            "`stages.a.grants.tpc` is no key that is known here; expected `env`, `env_from_host`, `dirs`, `tcp`, `udp` or `resolve`; did you mean `tcp`?",
        ),
        ("grants.env = { A = 1 }", "`stages.a.grants.env.A` is the integer 1; expected a string"),
        (
            "grants.env = { \"A=B\" = \"\" }",
            "`stages.a.grants.env.\"A=B\"` is named \"A=B\"; expected the name of a variable: no `=`, no control character, not empty",
        ),
        (
            "grants.env = { A = \"\\u0000\" }",
            "`stages.a.grants.env.A` is the string \"\\0\"; expected a string without the character 0, which ends a variable",
        ),
        (
            "grants = { env = { A = \"\" }, env_from_host = [\"A\"] }",
            "`stages.a.grants.env_from_host` is contradictory: \"A\" is also in `env`; expected each variable once",
        ),
        (
            "grants.tcp = [\"db.example\"]",
            "`stages.a.grants.tcp[0]` is the string \"db.example\"; expected a host and a port, as in \"db.example:5432\", \"10.0.0.1:*\", \"10.0.0.0/8:443\" or \"[fd00::/8]:53\"",
        ),
        (
            "grants.udp = [\"a:1\", \"a:x\"]",
            "`stages.a.grants.udp[1]` is the string \"a:x\"; expected a port from 1 to 65535 after the last `:`, or `*` for all",
        ),
        (
            "grants.dirs = [{ host = \"data\", guest = \"/data\" }]",
            "`stages.a.grants.dirs[0].host` is the string \"data\"; expected a whole path that begins with `/`, without `.`, `..` and empty parts, as in \"/srv/data\"",
        ),
        (
            "grants.dirs = [{ host = \"/data\" }]",
            "`stages.a.grants.dirs[0].guest` is missing; expected the whole path under which the plugin sees it",
        ),
        (
            "grants.dirs = [{ host = \"/a\", guest = \"/d\" }, { host = \"/b\", guest = \"/d\" }]",
            "`stages.a.grants.dirs[1]` is with the guest path \"/d\" for the second time; expected each guest path once",
        ),
    ] {
        let message = message(lines);
        let (_, said) = message.split_once(": ").unwrap();
        assert_eq!(said, expected);
    }
    for path in ["/a/../b", "/a/", "//a", "/.", "", "/a\\u0000"] {
        let wrong = format!("grants.dirs = [{{ host = \"/x\", guest = \"{path}\" }}]");
        assert!(message(&wrong).contains("expected a whole path"), "{path}");
    }
    let builtin = MINIMAL.replace("a.wasm", "builtin:lines") + "grants.resolve = true\n";
    assert_eq!(
        messages(&builtin),
        ["p.toml:4:1: `stages.a.grants` is there, and the plugin is \"builtin:lines\"; expected it only with a \
          component, as a built-in stage is the host itself"]
    );
}
