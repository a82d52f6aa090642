//! What a real component can do with its grants, and what it cannot without.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, UdpSocket},
    os::unix::fs::symlink,
    sync::Arc,
    thread,
};

use forebay::runtime::{Grants, Plugin, StartError, wasm};
use forebay_proto::pipeline::Dir;
use serde_json::json;

use crate::{
    plugins::{path_of, wasm},
    runtime::{bounded, spec, texts},
};

fn addresses(tcp: &[&str], udp: &[&str]) -> Grants {
    let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Grants { tcp: all(tcp), udp: all(udp), ..Grants::default() }
}

fn directory(host: &std::path::Path, write: bool) -> Grants {
    let dirs = [("/data".to_owned(), Dir { host: host.to_owned(), write })].into();
    Grants { dirs, ..Grants::default() }
}

async fn visitor(grants: &Grants) -> Arc<dyn Plugin> {
    bounded(wasm().load(&path_of("visitor"), grants)).await.unwrap_or_else(|error| panic!("{error}"))
}

/// How each step went in one instance.
async fn visit<S: AsRef<str>>(grants: &Grants, steps: &[S]) -> Vec<String> {
    let all: Vec<_> = steps.iter().map(AsRef::as_ref).collect();
    let (mut spec, _) = spec(&json!({ "steps": all }).to_string());
    spec.limits.call_time = std::time::Duration::from_secs(10);
    let mut instance = visitor(grants).await.start(spec).await.unwrap_or_else(|error| panic!("{error}"));
    let mut told = Vec::new();
    for _ in steps {
        let produced = bounded(instance.handle_demand(1)).await.unwrap_or_else(|error| panic!("{error}"));
        told.extend(texts(&produced.events));
    }
    told
}

#[tokio::test]
async fn nothing_is_there_without_a_grant() {
    let told = visit(
        &Grants { resolve: true, ..Grants::default() },
        &["env PATH", "list /", "read /etc/passwd", "connect 127.0.0.1:1", "send 127.0.0.1:1", "bind 0.0.0.0:0"],
    )
    .await;
    assert!(told.iter().all(|told| told.starts_with("error: ")), "{told:#?}");
    // `access-denied` is the answer of the check, not of the network.
    assert!(told[3..].iter().all(|told| told == "error: access-denied"), "{told:#?}");
}

#[tokio::test]
async fn variables_are_those_granted() {
    let (name, value) = ("PATH", std::env::var("PATH").unwrap());
    let mut grants = Grants { resolve: true, ..Grants::default() };
    grants.env.insert("OWN".to_owned(), "a value".to_owned());
    grants.env_from_host.insert(name.to_owned());
    let told = visit(&grants, &["env OWN".to_owned(), format!("env {name}"), "env HOME".to_owned()]).await;
    assert_eq!(told[..2], ["ok: a value".to_owned(), format!("ok: {value}")]);
    assert!(told[2].starts_with("error: "), "{told:?}");
}

#[tokio::test]
async fn a_directory_is_read_and_written_as_it_is_granted_and_never_left() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    fs::write(inner.join("file"), "text").unwrap();
    symlink("../secret", inner.join("up")).unwrap();
    symlink(outer.path().join("secret"), inner.join("absolute")).unwrap();
    symlink("..", inner.join("parent")).unwrap();
    symlink("file", inner.join("inside")).unwrap();
    let leave = [
        "read /data/../secret",
        "read /data/up",
        "read /data/absolute",
        "read /data/parent/secret",
        "list /data/..",
        "write /data/../made text",
        "write /data/up changed",
        "write /data/parent/made text",
        "read /etc/passwd",
    ];
    for write in [false, true] {
        let grants = directory(&inner, write);
        let told = visit(&grants, &leave).await;
        assert!(told.iter().all(|told| told.starts_with("error: ")), "{told:#?}");
        assert_eq!(fs::read_to_string(outer.path().join("secret")).unwrap(), "secret");
        assert!(!outer.path().join("made").exists());

        let told = visit(&grants, &["read /data/file", "read /data/inside", "write /data/new x", "write /data/file y"]);
        let told = told.await;
        assert_eq!(told[..2], ["ok: text", "ok: text"]);
        let expected = if write { "ok: " } else { "error: " };
        assert!(told[2..].iter().all(|told| told.starts_with(expected)), "{told:#?}");
        assert_eq!(inner.join("new").exists(), write);
        assert_eq!(fs::read_to_string(inner.join("file")).unwrap(), if write { "y" } else { "text" });
    }
}

#[tokio::test]
async fn what_is_granted_and_not_there_is_told_when_the_stage_starts() {
    let error = |grants: Grants| async move {
        let error = visitor(&grants).await.start(spec("{}").0).await.expect_err("not there");
        assert!(matches!(error, StartError::Grants { .. }), "{error:?}");
        error.to_string()
    };
    let missing = error(directory("/nowhere/at/all".as_ref(), false)).await;
    let expected = "stage `stage-1` cannot be given its `grants` here: the directory `/nowhere/at/all`, granted as \
                    `/data`, cannot be opened: ";
    assert!(missing.starts_with(expected), "{missing}");
    let mut grants = Grants { resolve: true, ..Grants::default() };
    grants.env_from_host.insert("FOREBAY_NO_SUCH_VARIABLE".to_owned());
    assert_eq!(
        error(grants).await,
        "stage `stage-1` cannot be given its `grants` here: the variable `FOREBAY_NO_SUCH_VARIABLE`, which \
         `env_from_host` grants, is not set in this node's process"
    );
}

/// A listener that greets everybody, and its port.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        listener.incoming().for_each(|peer| drop(peer.and_then(|mut peer| peer.write_all(b"hello"))))
    });
    port
}

#[tokio::test]
async fn a_plugin_connects_to_what_it_is_granted_and_to_nothing_else() {
    let [port, other] = [greeter(), greeter()];
    let grants = addresses(&[&format!("127.0.0.1:{port}")], &[]);
    let steps = [
        format!("connect 127.0.0.1:{port}"),
        format!("connect 127.0.0.1:{other}"),
        format!("connect 127.0.0.2:{port}"),
        format!("send 127.0.0.1:{port}"),
        "listen 127.0.0.1:0".to_owned(),
        "listen 0.0.0.0:0".to_owned(),
    ];
    let told = visit(&grants, &steps).await;
    assert_eq!(told[0], "ok: hello");
    assert!(told[1..].iter().all(|told| told == "error: access-denied"), "{told:#?}");
    let network = addresses(&["127.0.0.0/8:*"], &[]);
    assert_eq!(visit(&network, &steps[..2]).await, ["ok: hello", "ok: hello"]);
}

#[tokio::test]
async fn a_name_is_granted_with_the_addresses_that_were_looked_up() {
    let [port, other] = [greeter(), greeter()];
    let grants = addresses(&[&format!("localhost:{port}")], &[]);
    let [own, wrong] = [port, other].map(|port| format!("connect 127.0.0.1:{port}"));
    let lookup = "lookup localhost".to_owned();
    let evil = "lookup forebay.invalid".to_owned();
    let told = visit(&grants, &[own.clone(), lookup, own.clone(), wrong, evil]).await;
    assert_eq!(told[0], "error: access-denied", "nobody has looked it up yet");
    assert!(told[1].starts_with("ok: 127.0.0.1"), "{told:#?}");
    assert_eq!(told[2..], ["ok: hello", "error: access-denied", "error: access-denied"]);
    // What one instance has found is of no use to another.
    assert_eq!(visit(&grants, &[own]).await, ["error: access-denied"]);
}

#[tokio::test]
async fn datagrams_go_to_and_come_from_what_is_granted() {
    let [echo, stranger] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = echo.local_addr().unwrap().port();
    let foreign = stranger.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((_, peer)) = echo.recv_from(&mut buffer) {
            // One from an address that is not granted first: it must not arrive.
            stranger.send_to(b"forged", peer).unwrap();
            echo.send_to(b"pong", peer).unwrap();
        }
    });
    let grants = addresses(&[], &[&format!("127.0.0.1:{port}")]);
    let steps = [format!("send 127.0.0.1:{port}"), format!("send 127.0.0.1:{foreign}"), "bind 0.0.0.0:4711".to_owned()];
    let told = visit(&grants, &steps).await;
    assert_eq!(told, ["ok: pong", "error: access-denied", "error: access-denied"]);
}

#[tokio::test]
async fn sockets_without_any_grant_are_there_and_refuse_everything() {
    let steps = ["connect 127.0.0.1:1", "send 127.0.0.1:1", "bind 0.0.0.0:0", "lookup localhost"];
    let told = visit(&Grants::default(), &steps).await;
    assert!(told.iter().all(|told| told == "error: access-denied"), "{told:#?}");
}

#[tokio::test]
async fn a_plugin_of_bytes_tells_its_imports_and_its_digest() {
    let bytes = fs::read(path_of("visitor")).unwrap();
    let grants = addresses(&["127.0.0.1:1"], &[]);
    let plugin = wasm().load_bytes("visitor", bytes.clone().into(), &grants).await.unwrap();
    assert!(plugin.imports_granted().iter().any(|name| name.starts_with("wasi:sockets/tcp@0.2.")), "{plugin:?}");
    assert!(plugin.imports_granted().iter().all(|name| name.starts_with("wasi:sockets/")));
    let read = wasm::read(&path_of("visitor")).await.unwrap();
    assert_eq!(read, bytes);
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(plugin.digest(), format!("sha256:{hex}"));
    let too_long = wasm().load_bytes("label", vec![0; (64 << 20) + 1].into(), &grants).await.expect_err("too long");
    assert_eq!(too_long.to_string(), "label is not a plugin: it has 67108865 bytes; a plugin has at most 67108864");
}
