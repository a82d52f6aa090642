//! Pushes to and pulls from a registry in this process, which can misbehave.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; clippy knows test functions, not helpers")]

mod server;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use forebay_oci::{Artefact, Error, Foreign, Options, Pulled, Pushed, Reference, pull, push};
use server::{Answer, Server};

/// Options with a file of credentials that is not there.
fn nobody() -> Options {
    Options { insecure_http: false, credentials_file: Some("/nowhere/config.json".into()) }
}

fn component() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt/counter.wasm")).unwrap()
}

fn artefact(bytes: &[u8]) -> Artefact<'_> {
    Artefact {
        bytes,
        annotations: BTreeMap::from([("org.example.a".to_owned(), "b".to_owned())]),
        signature: Some("untrusted comment: x\nRWQ=\n"),
        created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        author: Some("me"),
        title: Some("counter.wasm"),
    }
}

fn put(options: &Options, reference: &Reference) -> Result<Pushed, Error> {
    push(options, reference, &artefact(&component()), &mut |_| {})
}

fn get(options: &Options, reference: &Reference) -> Result<Pulled, Error> {
    pull(options, reference, &mut |_, _| {})
}

fn credentials(folder: &Path, registry: &str, user_password: &str) -> PathBuf {
    let auth = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, user_password);
    let path = folder.join("config.json");
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#)).unwrap();
    path
}

#[test]
fn what_was_pushed_is_pulled() {
    let server = Server::start();
    let reference = server.reference("me/counter:1.0");
    let (bytes, mut sent) = (component(), 0);
    let pushed = push(&nobody(), &reference, &artefact(&bytes), &mut |count| sent = count).unwrap();
    assert_eq!((sent, pushed.known), (bytes.len() as u64, false));
    let mut came = (0, 0);
    let pulled = pull(&nobody(), &reference, &mut |count, of| came = (count, of)).unwrap();
    assert_eq!(came, (bytes.len() as u64, bytes.len() as u64));
    assert_eq!((pulled.bytes, pulled.digest, pulled.plugin), (bytes, pushed.digest, pushed.plugin));
    assert_eq!(pulled.annotations, artefact(&[]).annotations);
    assert_eq!(pulled.signature.as_deref(), artefact(&[]).signature);
    // The same file is the same manifest, and its bytes do not go out again.
    let again = put(&nobody(), &server.reference("me/counter:1.1")).unwrap();
    assert_eq!((again.digest, again.known), (pushed.digest, true));
    assert_eq!(get(&nobody(), &reference.at(pushed.digest)).unwrap().digest, pushed.digest);
}

#[test]
fn what_cannot_be_pushed_reaches_no_registry() {
    let server = Server::start();
    let reference = server.reference("counter:1");
    let refused = |artefact: &Artefact<'_>, reference: &Reference| {
        let error = push(&nobody(), reference, artefact, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Artefact(_)), "{error}");
        error.to_string()
    };
    assert!(refused(&artefact(b"\0asm\x01\0\0\0"), &reference).contains("core module"));
    let bytes = component();
    assert!(refused(&artefact(&bytes), &reference.at(forebay_proto::blob::Digest([0; 32]))).contains("a tag"));
    let both = format!("{reference}@sha256:{}", "0".repeat(64)).parse().unwrap();
    assert!(refused(&artefact(&bytes), &both).contains("no digest"));
    let long = "x".repeat(5000);
    assert!(refused(&Artefact { signature: Some(&long), ..artefact(&bytes) }, &reference).contains("5000 bytes"));
    let annotations = BTreeMap::from([(forebay_oci::SIGNATURE_ANNOTATION.to_owned(), String::new())]);
    assert!(refused(&Artefact { annotations, ..artefact(&bytes) }, &reference).contains("annotation"));
    assert_eq!(server.requests(), [] as [String; 0]);
}

#[test]
fn altered_bytes_are_refused() {
    let server = Server::start();
    let reference = server.reference("counter:1");
    let pushed = put(&nobody(), &reference).unwrap();
    let blob = format!("/v2/counter/blobs/{}", pushed.plugin);
    let manifest = format!("/v2/counter/manifests/{}", pushed.digest);
    let bytes = component();
    let last = bytes.len() - 1;
    type Change = fn(&mut Vec<u8>, usize);
    let changes: [(Change, &str); 4] = [
        (|bytes, last| bytes[last] ^= 1, "sha256:"),
        (|bytes, last| bytes[last / 2] ^= 0x80, "sha256:"),
        (|bytes, last| bytes.truncate(last), "bytes"),
        (|bytes, _| bytes.push(0), "or more bytes"),
    ];
    for (change, expected) in changes {
        let mut altered = bytes.clone();
        change(&mut altered, last);
        server.answer(&blob, Answer::ok(altered));
        let error = get(&nobody(), &reference).unwrap_err();
        assert!(matches!(&error, Error::Altered { what: "the plugin", got, .. } if got.contains(expected)), "{error}");
    }
    server.answer(&manifest, Answer::ok(b"{}".to_vec()));
    let error = get(&nobody(), &reference.at(pushed.digest)).unwrap_err();
    assert!(matches!(error, Error::Altered { what: "the manifest", .. }), "{error}");
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::start();
    let reference = server.reference("counter:1");
    let pushed = put(&nobody(), &reference).unwrap();
    server.answer(&format!("/v2/counter/blobs/{}", pushed.plugin), Answer::endless());
    let error = get(&nobody(), &reference).unwrap_err();
    assert!(matches!(&error, Error::Altered { got, .. } if got.contains("or more")), "{error}");
    server.answer("/v2/counter/manifests/1", Answer::endless());
    let error = get(&nobody(), &reference).unwrap_err();
    assert!(error.to_string().contains("longer than 4194304 bytes"), "{error}");
    // 4 MiB, and what loopback has in its buffers.
    assert!(server.poured() < 64 << 20, "{} bytes were taken", server.poured());
}

#[test]
fn other_artefacts_are_named() {
    let server = Server::start();
    let reference = server.reference("counter:1");
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}]}"#;
    server
        .answer("/v2/counter/manifests/1", Answer::ok(index.to_vec()).kind("application/vnd.oci.image.index.v1+json"));
    let error = get(&nobody(), &reference).unwrap_err();
    assert!(matches!(error, Error::Foreign { found: Foreign::Index(2), .. }), "{error}");
    server.answer("/v2/counter/manifests/1", Answer::ok(b"<html>".to_vec()).kind("text/html"));
    let error = get(&nobody(), &reference).unwrap_err();
    assert!(matches!(error, Error::Foreign { found: Foreign::Unreadable(_), .. }), "{error}");
}

#[test]
fn what_is_not_there_is_said_with_the_registrys_words_made_harmless() {
    let server = Server::start();
    let body = b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest \\u001b[31munknown\"}]}";
    server.answer("/v2/counter/manifests/9", Answer::ok(body.to_vec()).status(404));
    let error = get(&nobody(), &server.reference("counter:9")).unwrap_err();
    assert!(matches!(&error, Error::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(r"manifest \u{1b}[31munknown"), "{error}");
    server.answer("/v2/counter/manifests/9", Answer::ok(b"busy".to_vec()).status(503));
    let error = get(&nobody(), &server.reference("counter:9")).unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 503, .. }), "{error}");
}

#[test]
fn credentials_are_shown_when_they_are_asked_for() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.require_basic("me:secret");
    let reference = server.reference("counter:1");
    let file = Some(credentials(folder.path(), reference.registry(), "me:secret"));
    let known = Options { credentials_file: file, ..Options::default() };
    put(&known, &reference).unwrap();
    assert_eq!(get(&known, &reference).unwrap().bytes, component());

    let error = get(&nobody(), &reference).unwrap_err().to_string();
    assert!(error.contains("there is no /nowhere/config.json") && error.contains("docker login"), "{error}");
    let file = Some(credentials(folder.path(), reference.registry(), "me:wrong"));
    let path = folder.path().display().to_string();
    let error = get(&Options { credentials_file: file, ..Options::default() }, &reference).unwrap_err();
    assert!(matches!(&error, Error::Unauthorised { action: "pull", .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("user `me`") && error.contains(&path) && !error.contains("wrong"), "{error}");
}

#[test]
fn a_token_servers_token_is_used_for_all_that_follows() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.require_bearer("a-token");
    let reference = server.reference("me/counter:1");
    let registry = reference.registry();
    let token = Answer::ok(br#"{"token":"a-token"}"#.to_vec());
    server.answer("/token?service=fake&scope=repository%3Ame%2Fcounter%3Apull%2Cpush", token.clone());
    server.answer("/token?service=fake&scope=repository%3Ame%2Fcounter%3Apull", token);
    let file = Some(credentials(folder.path(), registry, "me:secret"));
    let known = Options { credentials_file: file, ..Options::default() };
    put(&known, &reference).unwrap();
    get(&known, &reference).unwrap();
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|line| line.contains("/token?")).count(), 2, "{requests:?}");
    // "me:secret" in base64: to the token server, and nowhere else.
    let shown = requests.iter().filter(|line| line.contains("Basic bWU6c2VjcmV0"));
    assert!(shown.clone().count() == 2 && shown.clone().all(|line| line.contains("/token?")), "{requests:?}");

    server.answer("/token", Answer::ok(br#"{"access_token":"a-token"}"#.to_vec()));
    let config = format!(r#"{{"auths": {{"{registry}": {{"identitytoken": "refresh"}}}}}}"#);
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    get(&known, &reference).unwrap();
    assert!(server.requests().last().unwrap().contains("Bearer a-token"));

    server.answer("/token", Answer::ok(Vec::new()).status(401));
    let error = get(&known, &reference).unwrap_err().to_string();
    assert!(error.contains("identity token in") && error.contains("token server refused"), "{error}");
}

#[test]
fn a_redirected_blob_is_fetched_without_credentials() {
    let (server, other, folder) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    server.require_basic("me:secret");
    let reference = server.reference("counter:1");
    let file = Some(credentials(folder.path(), reference.registry(), "me:secret"));
    let known = Options { credentials_file: file, ..Options::default() };
    let pushed = put(&known, &reference).unwrap();
    let blob = format!("/v2/counter/blobs/{}", pushed.plugin);
    server.answer(&blob, Answer::redirect(&format!("{}/elsewhere?x=1", other.url())));
    other.answer("/elsewhere?x=1", Answer::ok(component()));
    assert_eq!(get(&known, &reference).unwrap().bytes, component());
    assert_eq!(other.requests(), ["GET /elsewhere?x=1 -"]);

    server.answer(&blob, Answer::redirect(&blob));
    let error = get(&known, &reference).unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    server.answer(&blob, Answer::redirect("http://registry.example.org/x"));
    let error = get(&known, &reference).unwrap_err();
    assert!(error.to_string().contains("not https"), "{error}");
}

#[test]
fn a_registry_that_is_not_there_or_hangs_up_is_named() {
    let gone = { Server::start().reference("counter:1") };
    let error = get(&nobody(), &gone).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { why, .. } if why.contains("refused")), "{error}");
    let server = Server::start();
    server.answer("/v2/counter/manifests/1", Answer::ok(vec![b' '; 10]).cut_off());
    let error = get(&nobody(), &server.reference("counter:1")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
