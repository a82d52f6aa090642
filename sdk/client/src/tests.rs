//! A client against a node that the test plays.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
};

use super::*;

/// A directory of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("forebay-client-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a node does with a line: answers, or hangs up.
type Reaction = Option<&'static str>;

/// Plays a node that reacts so to one line after the other, whoever sends them; tells the lines.
fn play(dir: &Dir, reactions: Vec<Reaction>) -> Receiver<Value> {
    let listener = UnixListener::bind(dir.0.join(socket::SOCKET)).unwrap();
    let (told, lines) = channel();
    thread::spawn(move || {
        let mut reactions = reactions.into_iter();
        loop {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or_default() == 0 {
                    break;
                }
                told.send(serde_json::from_str(&line).unwrap()).unwrap();
                match reactions.next() {
                    Some(Some(answer)) => writeln!(stream.get_mut(), "{answer}").unwrap(),
                    Some(None) => break,
                    None => return,
                }
            }
        }
    });
    lines
}

fn numbers(lines: &Receiver<Value>) -> Vec<(String, u64)> {
    let number = |line: Value| {
        let ingest = &line["request"]["ingest"];
        (ingest["client"].as_str().unwrap().to_owned(), ingest["request"].as_u64().unwrap())
    };
    lines.try_iter().map(number).collect()
}

const TAKEN: &str = r#"{"version":1,"answer":{"ingested":{"first":7,"count":2}}}"#;
const FULL: &str = r#"{"version":1,"answer":{"not_ingested":{"kind":"full","why":"the inbox holds 5"}}}"#;
const UNKNOWN: &str = r#"{"version":1,"answer":{"not_ingested":{"kind":"unknown","why":"no leader"}}}"#;
const REFUSED: &str = r#"{"version":1,"answer":{"not_ingested":{"kind":"refused","why":"no such stage"}}}"#;

fn two() -> [Event; 2] {
    [Event::text("a"), Event::text("b")]
}

#[test]
fn a_request_is_sent_again_under_its_number_until_it_is_answered() {
    let dir = Dir::new();
    let lines = play(&dir, vec![None, Some(UNKNOWN), None, Some(TAKEN), Some(TAKEN)]);
    let mut client = Client::connect(&dir.0).unwrap();
    assert_eq!(client.ingest("s", &two()).unwrap(), Confirmed { first: 7, count: 2 });
    assert!(client.resume().is_none(), "its fate is known");
    client.ingest("s", &two()).unwrap();
    let sent = numbers(&lines);
    assert_eq!(sent.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 1, 1, 1, 2]);
    assert!(sent.iter().all(|(client, _)| *client == sent[0].0 && client.len() == 32));
}

#[test]
fn what_is_not_known_at_the_end_can_be_asked_for_later() {
    let dir = Dir::new();
    let lines = play(&dir, vec![Some(UNKNOWN), Some(UNKNOWN), Some(TAKEN)]);
    let mut client = Client::connect(&dir.0).unwrap().patience(Duration::from_millis(30));
    let error = client.ingest("s", &two()).unwrap_err();
    assert!(matches!(&error, Error::Unanswered { why, .. } if why == "no leader"), "{error}");
    assert_eq!(client.resume().unwrap().unwrap().first, 7);
    assert_eq!(numbers(&lines).iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_full_inbox_is_told_at_once_or_waited_for() {
    let dir = Dir::new();
    let _lines = play(&dir, vec![Some(FULL), Some(FULL), Some(FULL), Some(TAKEN), Some(REFUSED)]);
    let mut client = Client::connect(&dir.0).unwrap();
    let error = client.ingest("s", &two()).unwrap_err();
    assert!(matches!(&error, Error::Full(why) if why == "the inbox holds 5"), "{error}");
    assert!(client.resume().is_none(), "nothing was taken");
    let mut client = client.wait_for_room(Duration::from_secs(5));
    client.ingest("s", &two()).unwrap();
    let error = client.ingest("s", &two()).unwrap_err();
    assert!(matches!(&error, Error::Refused(why) if why == "no such stage"), "{error}");
}

#[test]
fn full_after_an_unknown_answer_leaves_it_unknown() {
    let dir = Dir::new();
    let _lines = play(&dir, vec![Some(UNKNOWN), Some(FULL), Some(TAKEN)]);
    let mut client = Client::connect(&dir.0).unwrap();
    let error = client.ingest("s", &two()).unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "the first may be on its way: {error}");
    assert_eq!(client.resume().unwrap().unwrap().first, 7);
}

#[test]
fn what_was_not_known_stays_so_until_a_node_knows_it() {
    let dir = Dir::new();
    let _lines = play(&dir, vec![Some(UNKNOWN), Some(FULL), Some(TAKEN)]);
    let mut client = Client::connect(&dir.0).unwrap().patience(Duration::ZERO);
    assert!(matches!(client.ingest("s", &two()).unwrap_err(), Error::Unanswered { .. }));
    let full = client.resume().unwrap().unwrap_err();
    assert!(matches!(&full, Error::Unanswered { why, .. } if why == "the inbox holds 5"), "{full}");
    let (elsewhere, here) = (Dir::new(), dir.0.clone());
    client.move_to(&elsewhere.0);
    let nobody = client.resume().unwrap().unwrap_err();
    assert!(matches!(&nobody, Error::Unanswered { why, .. } if why.contains("no node runs")), "{nobody}");
    client.move_to(here);
    assert_eq!(client.resume().unwrap().unwrap().first, 7);
}

#[test]
fn a_request_goes_on_with_another_node_under_its_number() {
    let (one, other) = (Dir::new(), Dir::new());
    let (first, second) = (play(&one, vec![None]), play(&other, vec![Some(TAKEN), Some(TAKEN)]));
    let mut client = Client::connect(&one.0).unwrap().patience(Duration::ZERO);
    assert!(matches!(client.ingest("s", &two()).unwrap_err(), Error::Unanswered { .. }));
    client.move_to(&other.0);
    assert_eq!(client.resume().unwrap().unwrap().first, 7);
    client.ingest("s", &two()).unwrap();
    let (sent, again) = (numbers(&first), numbers(&second));
    assert_eq!((sent.len(), again[0].clone()), (1, sent[0].clone()));
    assert_eq!(again[1], (sent[0].0.clone(), 2));
}

/// Answers so, one line after the other.
#[derive(Debug)]
struct Played(Vec<Result<&'static str, Error>>);

impl Way for Played {
    fn ask(&mut self, line: &[u8]) -> Result<Vec<u8>, Error> {
        assert_eq!((line.first(), line.last()), (Some(&b'{'), Some(&b'}')), "a line without its end");
        self.0.remove(0).map(|answer| answer.as_bytes().to_vec())
    }
}

#[test]
fn another_way_than_the_socket_is_gone_in_the_same_manner() {
    let by = |answers| Client::by(Box::new(Played(answers))).unwrap();
    let away = |lasting| Err(Error::NotConnected { why: "away".to_owned(), lasting });
    let lost = || Err(Error::Io { what: "lost".to_owned(), source: io::ErrorKind::TimedOut.into() });
    // Tried again, and taken.
    assert_eq!(by(vec![away(false), lost(), Ok(TAKEN)]).ingest("s", &two()).unwrap().first, 7);
    // Not let in, before anything was sent: it is no use to try again.
    let error = by(vec![away(true)]).ingest("s", &two()).unwrap_err();
    assert!(matches!(error, Error::NotConnected { lasting: true, .. }), "{error}");
    let error = by(vec![away(false)]).patience(Duration::ZERO).ingest("s", &two()).unwrap_err();
    assert!(matches!(error, Error::NotConnected { lasting: false, .. }), "{error}");
    let error = by(vec![lost()]).patience(Duration::ZERO).ingest("s", &two()).unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error}");
}

#[test]
fn nobody_there_is_told_with_the_directory() {
    let dir = Dir::new();
    let error = Client::connect(&dir.0).unwrap_err();
    assert!(matches!(&error, Error::NoNode(data) if *data == dir.0), "{error}");
    let below = dir.0.join("x".repeat(120));
    fs::create_dir(&below).unwrap();
    assert!(matches!(Client::connect(&below).unwrap_err(), Error::NoNode(_)));
}

#[test]
fn too_long_a_request_is_not_sent() {
    let dir = Dir::new();
    let lines = play(&dir, Vec::new());
    let mut client = Client::connect(&dir.0).unwrap();
    let error = client.ingest("s", &[Event::text("x".repeat(LINE_BYTES_MAX))]).unwrap_err();
    assert!(error.to_string().contains("2097152 are allowed"), "{error}");
    assert!(lines.try_recv().is_err());
}
