//! A registry in memory, on a port of loopback that the system chose. It can be told to misbehave.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use forebay_oci::Reference;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is sent back.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes follow until the client has enough.
    endless: bool,
    /// More bytes are announced than come.
    cut_off: bool,
}

impl Answer {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, headers: Vec::new(), body, endless: false, cut_off: false }
    }

    pub(crate) fn endless() -> Self {
        Self { endless: true, ..Self::ok(vec![b' '; 1 << 16]) }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self { status: 307, ..Self::ok(Vec::new()) }.header("Location", to)
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn kind(self, kind: &str) -> Self {
        self.header("Content-Type", kind)
    }

    pub(crate) fn cut_off(self) -> Self {
        Self { cut_off: true, ..self }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Default)]
struct State {
    /// By path and query.
    said: HashMap<String, Answer>,
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
    requests: Vec<String>,
    /// The `Authorization` that is wanted, and how it is asked for.
    wanted: Option<(String, String)>,
}

pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
    /// Bytes of endless answers.
    poured: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, ended) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let poured = Arc::new(AtomicU64::new(0));
        let (own, end, pours) = (Arc::clone(&state), Arc::clone(&ended), Arc::clone(&poured));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client that hangs up early, as it should before an endless answer, is no error.
                let _ = serve(stream.unwrap(), address, &own, &pours);
            }
        });
        Self { address, state, ended, poured, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    /// From now on this is answered there, whatever is kept.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.state.lock().unwrap().said.insert(path.to_owned(), answer);
    }

    pub(crate) fn require_basic(&self, user_password: &str) {
        let wanted = format!("Basic {}", BASE64_STANDARD.encode(user_password));
        self.state.lock().unwrap().wanted = Some((wanted, "Basic realm=\"fake\"".to_owned()));
    }

    pub(crate) fn require_bearer(&self, token: &str) {
        let challenge = format!("Bearer realm=\"{}/token\",service=\"fake\"", self.url());
        self.state.lock().unwrap().wanted = Some((format!("Bearer {token}"), challenge));
    }

    /// Bytes that a client let itself be sent of endless answers, those in the system's buffers included.
    pub(crate) fn poured(&self) -> u64 {
        self.poured.load(Ordering::SeqCst)
    }

    /// Method, path and `Authorization` of all that was asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

/// One request on one connection.
fn serve(stream: TcpStream, address: SocketAddr, state: &Mutex<State>, poured: &AtomicU64) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let request = read(&mut BufReader::new(&stream))?;
    let answer = decide(&request, address, &mut state.lock().unwrap());
    write(stream, &request, &answer, poured)
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, path, authorization: None, body: Vec::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            "content-length" => request.body = vec![0; value.trim().parse().unwrap()],
            "transfer-encoding" => panic!("registries want to know the length before"),
            _ => {}
        }
    }
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

fn decide(request: &Request, address: SocketAddr, state: &mut State) -> Answer {
    let shown = request.authorization.as_deref().unwrap_or("-");
    state.requests.push(format!("{} {} {shown}", request.method, request.path));
    let permitted = state.wanted.as_ref().is_none_or(|(wanted, _)| wanted == shown);
    if !permitted && request.path.starts_with("/v2/") {
        let (_, challenge) = state.wanted.clone().unwrap();
        return Answer::ok(Vec::new()).status(401).header("WWW-Authenticate", &challenge);
    }
    if let Some(answer) = state.said.get(&request.path) {
        return answer.clone();
    }
    keep(request, address, state)
}

fn keep(request: &Request, address: SocketAddr, state: &mut State) -> Answer {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    let missing = Answer::ok(Vec::new()).status(404);
    let created = Answer::ok(Vec::new()).status(201);
    match request.method.as_str() {
        "POST" => {
            let to = format!("http://{address}{path}7?state=x");
            Answer::ok(Vec::new()).status(202).header("Location", &to)
        }
        "PUT" if path.contains("/uploads/") => {
            assert!(query.starts_with("state=x&digest="), "{query}");
            let digest = query.rsplit('=').next().unwrap_or_default();
            state.blobs.insert(digest.to_owned(), request.body.clone());
            created
        }
        "PUT" => {
            // The tests look for manifests under these names only.
            let digest = ring::digest::digest(&ring::digest::SHA256, &request.body);
            let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            state.manifests.insert(format!("sha256:{hex}"), request.body.clone());
            state.manifests.insert(last, request.body.clone());
            created
        }
        _ if path.contains("/manifests/") => {
            state.manifests.get(&last).map_or(missing, |bytes| Answer::ok(bytes.clone()).kind(MANIFEST))
        }
        _ => state.blobs.get(&last).map_or(missing, |bytes| Answer::ok(bytes.clone())),
    }
}

fn write(mut stream: TcpStream, request: &Request, answer: &Answer, poured: &AtomicU64) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer.endless {
        head += &format!("Content-Length: {}\r\n", answer.body.len() + usize::from(answer.cut_off));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body)?;
        if answer.endless {
            loop {
                stream.write_all(&answer.body)?;
                poured.fetch_add(answer.body.len() as u64, Ordering::SeqCst);
            }
        }
    }
    stream.flush()
}
