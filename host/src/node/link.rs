//! One connection to a peer: its control channel, its pings, and the subscriptions that come in.
//!
//! ```text
//! connected --> Hello both ways --> up --> ... frames, pings ... --> down
//! ```
//!
//! A peer is taken for lost when nothing was heard for `ping_interval` x `ping_misses`, or earlier
//! when its kernel says that nobody listens at its port any more: that is how the death of a process
//! shows within two pings. The hint may be wrong; epochs keep that safe.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_blobs::BlobStore;
use forebay_proto::{
    blob::ASKED_MAX,
    ids::{BootId, NodeName},
    message::{Envelope, Message, Reason},
    names::quorum::GroupId,
    wire::{self, Agreement, Checkpoint, Frame, Hello, Member, Names},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, MissedTickBehavior},
};

use super::{
    agreement, blobs, calls,
    directory::{Directory, StageKey},
    letters::{LetterDesk, peer as letters},
    line::{self, Caller, First, wire_limits},
    tap::peer as taps,
};
use crate::{
    registry::Registry,
    transport::{Channel, CloseCode, Connection, FrameSender, Transport},
};

/// Frames for one peer that were not sent yet. Names and members, a few bytes each and rare: a peer
/// that leaves so many unread is not reading, and its connection is closed.
const OUTGOING_LEN: usize = 256;

/// How long a peer may take for its Hello.
const HELLO_WAIT: Duration = Duration::from_secs(5);

/// Channels of one peer whose first frame has not come yet. Further ones wait.
const OPENING_MAX: usize = 64;

/// Calls of the consensus and renewals of one peer that are being answered. Further ones wait; they have
/// places of their own, for whoever leads must be heard however much else is asked.
const CONSENSUS_MAX: usize = 64;

/// Other requests of one peer that are being answered: proposals take as long as the group takes. Further
/// ones are to be made again.
const PROPOSALS_MAX: usize = 64;

/// Requests of one peer to stages here that are being answered: those of its operators. Further ones are to be made
/// again. Each may hold 2 MiB for a minute.
const CALLS_MAX: usize = 8;

/// Requests of one peer for the events of stages here that are being answered: those of its operators. Further ones are to
/// be made again. Each may hold a page for 2 s.
const TAPS_MAX: usize = 8;

/// Requests of one peer about dead letters that are being answered: operators make them, one after the other. Further
/// ones are to be made again.
const LETTERS_MAX: usize = 4;

/// Subscriptions of one peer that wait for stages that are starting. Further ones are to be made again.
const SUBSCRIBING_MAX: usize = 64;

/// What all links of a node share.
#[derive(Debug)]
pub(crate) struct LinkShared {
    pub(crate) hello: Hello,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_misses: u32,
    pub(crate) directory: Arc<Directory>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(super) letters: LetterDesk,
    pub(super) blobs: Option<BlobStore>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
    ids: AtomicU64,
}

impl LinkShared {
    pub(crate) fn new(
        hello: Hello,
        (ping_interval, ping_misses): (Duration, u32),
        directory: Arc<Directory>,
        registry: Arc<dyn Registry>,
        letters: LetterDesk,
        blobs: Option<BlobStore>,
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let ids = AtomicU64::new(0);
        Self { hello, ping_interval, ping_misses, directory, registry, letters, blobs, events, ids }
    }

    fn hello(&self) -> Hello {
        Hello { group: self.registry.group(), ..self.hello.clone() }
    }
}

/// Tells apart the links of a node, also those to the same peer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct LinkId(u64);

/// A link that is up.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) peer: NodeName,
    pub(crate) boot: BootId,
    pub(crate) connection: Arc<dyn Connection>,
    /// Whether this node opened the connection.
    pub(crate) ours: bool,
    /// Where the peer wants to be reached.
    pub(crate) addr: SocketAddr,
    outgoing: mpsc::Sender<Frame>,
}

impl Link {
    /// Sends what is of use only if it comes soon, unless much waits to be sent.
    pub(crate) fn offer(&self, frame: Frame) {
        if self.outgoing.capacity() > OUTGOING_LEN / 2 {
            self.send(frame);
        }
    }

    /// Sends without waiting. A peer that does not read loses its connection.
    pub(crate) fn send(&self, frame: Frame) {
        if self.outgoing.try_send(frame).is_err() {
            self.connection.close(CloseCode::Silent, "control frames are not read");
        }
    }
}

/// What a link tells the node.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Up(Link),
    Names {
        id: LinkId,
        names: Names,
    },
    Members {
        members: Vec<Member>,
    },
    Checkpoint {
        id: LinkId,
        checkpoint: Checkpoint,
    },
    /// `ended`: the peer's process has ended, as far as can be told from outside.
    Down {
        id: LinkId,
        peer: NodeName,
        reason: String,
        ended: bool,
    },
}

/// How a link ended, with the reason.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It never came up: the nodes do not go together.
    Refused(String),
    /// It was up.
    Lost(String),
}

/// Runs a connection until it ends.
pub(crate) async fn run(connection: Box<dyn Connection>, ours: bool, shared: Arc<LinkShared>) -> Ended {
    let connection: Arc<dyn Connection> = Arc::from(connection);
    let Some(peer) = connection.peer().node().cloned() else {
        return Ended::Refused(close(&*connection, (CloseCode::WrongState, "operators are no peers".to_owned())));
    };
    let (channel, hello) = match greet(&*connection, ours, &shared.hello()).await {
        Ok(greeted) => greeted,
        Err((code, reason)) => {
            connection.close(code, &reason);
            return Ended::Refused(reason);
        }
    };
    let id = LinkId(shared.ids.fetch_add(1, Ordering::Relaxed));
    let (outgoing, queued) = mpsc::channel(OUTGOING_LEN);
    let addr = hello.advertise.unwrap_or_else(|| connection.remote_addr());
    let link =
        Link { id, peer: peer.clone(), boot: hello.boot, connection: Arc::clone(&connection), ours, addr, outgoing };
    let (pings, pinged) = (link.outgoing.clone(), Heard::new());
    if shared.events.send(LinkEvent::Up(link)).await.is_err() {
        return Ended::Lost("the node has ended".to_owned());
    }
    let Channel { sender, receiver } = channel;
    let writer = tokio::spawn(write(queued, sender));
    let mut ended = false;
    let reason = tokio::select! {
        biased;
        reason = connection.closed() => reason,
        // A node that was dropped must not go on answering pings: its peers would take it for alive.
        () = shared.events.closed() => close(&*connection, (CloseCode::Done, "the node has ended".to_owned())),
        reason = read(receiver, id, &shared, &pinged, &pings) => close(&*connection, reason),
        lost = watch_over(&*connection, &shared, &pinged, &pings) => {
            ended = lost.ended;
            close(&*connection, (CloseCode::Silent, lost.reason))
        }
        reason = serve(&connection, &peer, &shared) => reason,
    };
    writer.abort();
    let down = LinkEvent::Down { id, peer, reason: reason.clone(), ended };
    let _ = shared.events.send(down).await;
    Ended::Lost(reason)
}

fn close(connection: &dyn Connection, (code, reason): (CloseCode, String)) -> String {
    connection.close(code, &reason);
    reason
}

/// Exchanges Hello on the control channel, which the opener of the connection opens first.
async fn greet(connection: &dyn Connection, ours: bool, own: &Hello) -> Result<(Channel, Hello), (CloseCode, String)> {
    let lost = |error: crate::transport::ChannelError| (CloseCode::Done, error.to_string());
    let greeting = async {
        let mut channel = if ours { connection.open().await } else { connection.accept().await }.map_err(lost)?;
        channel.sender.send(wire::encode(&Frame::Hello(own.clone()))).await.map_err(lost)?;
        let frame = channel.receiver.receive().await.map_err(lost)?;
        let frame = frame.ok_or_else(|| (CloseCode::WrongState, "the peer ended the control channel".to_owned()))?;
        match wire::decode(&frame, &wire_limits()) {
            Ok(Frame::Hello(hello)) => Ok((channel, hello)),
            Ok(other) => Err((CloseCode::WrongState, format!("expected Hello as the first frame, got {other:?}"))),
            Err(error) => Err((CloseCode::Malformed, error.to_string())),
        }
    };
    let waited = tokio::time::timeout(HELLO_WAIT, greeting).await;
    let (channel, hello) = waited.map_err(|_| (CloseCode::Silent, "no Hello within 5 s".to_owned()))??;
    compatible(own, &hello).map_err(|reason| (CloseCode::Incompatible, reason))?;
    Ok((channel, hello))
}

/// Who is at `addr`, and to which group it belongs: without becoming its peer for longer than that
/// takes. `None`: nobody answers there, or it belongs to no group.
///
/// # Cancel safety
/// Cancel safe.
pub async fn group_at(transport: &dyn Transport, addr: SocketAddr) -> Option<(NodeName, GroupId)> {
    let connection = transport.connect(addr).await.ok()?;
    let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new()).ok()?.expose();
    let boot = BootId(u64::from_le_bytes(random));
    // Without a group it goes with every group, so that nobody hangs up before it has said its own.
    let own = Hello { version: wire::VERSION, boot, agreement: Agreement::Quorum, advertise: None, group: None };
    let greeted = greet(&*connection, true, &own).await;
    let node = connection.peer().node().cloned();
    connection.close(CloseCode::Done, "asked for its group");
    let (_, hello) = greeted.ok()?;
    Some((node?, hello.group?))
}

fn compatible(own: &Hello, peer: &Hello) -> Result<(), String> {
    if own.version != peer.version {
        let (ours, theirs) = (own.version, peer.version);
        return Err(format!("this node speaks protocol version {ours}, the peer {theirs}; update the older one"));
    }
    if own.agreement != peer.agreement {
        let (ours, theirs) = (mode(own.agreement), mode(peer.agreement));
        return Err(format!(
            "this node agrees by {ours}, the peer by {theirs}; set `agreement` to the same on all nodes"
        ));
    }
    match (own.group, peer.group) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(format!(
            "this node belongs to group {ours}, the peer to {theirs}; one of them lost its data or was started alone: \
             remove its `raft` directory and start it with `join`"
        )),
        _ => Ok(()),
    }
}

fn mode(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Islands => "islands",
        Agreement::Quorum => "quorum",
    }
}

/// When the peer was last heard.
struct Heard {
    start: Instant,
    at_ms: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self { start: Instant::now(), at_ms: AtomicU64::new(0) }
    }

    fn now(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(elapsed, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let at = Duration::from_millis(self.at_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(at)
    }
}

async fn write(mut queued: mpsc::Receiver<Frame>, mut sender: Box<dyn FrameSender>) {
    while let Some(frame) = queued.recv().await {
        if sender.send(wire::encode(&frame)).await.is_err() {
            return;
        }
    }
}

async fn read(
    mut receiver: Box<dyn crate::transport::FrameReceiver>,
    id: LinkId,
    shared: &LinkShared,
    heard: &Heard,
    answers: &mpsc::Sender<Frame>,
) -> (CloseCode, String) {
    loop {
        let frame = match receiver.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return (CloseCode::Done, "the peer ended the control channel".to_owned()),
            Err(error) => return (CloseCode::FrameSize, error.to_string()),
        };
        heard.now();
        let event = match wire::decode(&frame, &wire_limits()) {
            Ok(Frame::Ping(number)) => {
                // A full queue shows in `Link::send`; a ping too many is no reason to end.
                let _ = answers.try_send(Frame::Pong(number));
                continue;
            }
            Ok(Frame::Pong(_) | Frame::Unknown(_)) => continue,
            Ok(Frame::Names(names)) => LinkEvent::Names { id, names },
            Ok(Frame::Members(members)) => LinkEvent::Members { members },
            Ok(Frame::Checkpoint(checkpoint)) => LinkEvent::Checkpoint { id, checkpoint },
            Ok(
                other @ (Frame::Hello(_)
                | Frame::Stage(_)
                | Frame::Agreement(_)
                | Frame::LettersAsked(_)
                | Frame::LettersTold(_)
                | Frame::CallAsked(_)
                | Frame::CallTold(_)
                | Frame::TapAsked(_)
                | Frame::TapTold(_)
                | Frame::BlobAsked(_)
                | Frame::BlobTold(_)
                | Frame::AdminAsked(_)
                | Frame::AdminTold { .. }),
            ) => return (CloseCode::WrongState, format!("{other:?} on the control channel")),
            Err(error) => return (CloseCode::Malformed, error.to_string()),
        };
        if shared.events.send(event).await.is_err() {
            return (CloseCode::ShuttingDown, "the node has ended".to_owned());
        }
    }
}

/// Why a peer is taken for lost.
struct Lost {
    reason: String,
    /// Its kernel says so.
    ended: bool,
}

/// Pings, and returns once the peer is taken for lost.
async fn watch_over(
    connection: &dyn Connection,
    shared: &LinkShared,
    heard: &Heard,
    pings: &mpsc::Sender<Frame>,
) -> Lost {
    let interval = shared.ping_interval;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    for number in 0.. {
        ticks.tick().await;
        // After a pause of our own, of the process or of the machine, the silence may be ours.
        let late = last.elapsed() > 2 * interval;
        last = Instant::now();
        if late {
            heard.now();
        }
        let silence = heard.silence();
        if silence > interval * shared.ping_misses {
            return Lost { reason: format!("nothing heard for {} ms", silence.as_millis()), ended: false };
        }
        // Early: of what we send to a port that is closed, a kernel refuses about six datagrams and then
        // one a second, and QUIC's own repetitions use these up within 150 ms.
        if silence > interval / 4 && connection.is_port_closed().await {
            return Lost { reason: format!("nobody listens at {} any more", connection.remote_addr()), ended: true };
        }
        let _ = pings.try_send(Frame::Ping(number));
    }
    unreachable!("2^64 pings")
}

/// Takes in the subscriptions the peer opens.
async fn serve(connection: &Arc<dyn Connection>, peer: &NodeName, shared: &Arc<LinkShared>) -> String {
    let opening = Arc::new(Semaphore::new(OPENING_MAX));
    let places = Arc::new(Places::new());
    loop {
        let Ok(permit) = Arc::clone(&opening).acquire_owned().await else { return "the node has ended".to_owned() };
        let channel = match connection.accept().await {
            Ok(channel) => channel,
            Err(error) => return error.to_string(),
        };
        let (shared, places) = (Arc::clone(shared), Arc::clone(&places));
        let peer = (peer.clone(), connection.remote_addr());
        tokio::spawn(async move { admit(channel, peer, &shared, &places, permit).await });
    }
}

/// Places for what a peer asks for, once it is known what that is.
struct Places {
    consensus: Semaphore,
    proposals: Semaphore,
    letters: Semaphore,
    calls: Semaphore,
    taps: Semaphore,
    blobs: Semaphore,
    subscribing: Semaphore,
}

impl Places {
    fn new() -> Self {
        Self {
            consensus: Semaphore::new(CONSENSUS_MAX),
            proposals: Semaphore::new(PROPOSALS_MAX),
            letters: Semaphore::new(LETTERS_MAX),
            calls: Semaphore::new(CALLS_MAX),
            taps: Semaphore::new(TAPS_MAX),
            // Nodes that keep to the protocol ask for no more at a time; further requests are to be made again.
            blobs: Semaphore::new(ASKED_MAX),
            subscribing: Semaphore::new(SUBSCRIBING_MAX),
        }
    }
}

/// Hands a new subscription to its stage, and a request to whoever answers it. Gives its place among those that
/// are opening up as soon as it has one of its kind.
async fn admit(
    mut channel: Channel,
    (peer, addr): (NodeName, SocketAddr),
    shared: &LinkShared,
    places: &Places,
    opening: OwnedSemaphorePermit,
) {
    let first = match line::read_first(&mut channel).await {
        Ok(First::Subscribe(first)) => first,
        Ok(First::Agreement(request)) => {
            let place = match agreement::is_consensus(&request) {
                true => places.consensus.acquire().await,
                false => match places.proposals.try_acquire() {
                    Ok(place) => Ok(place),
                    Err(_) => return agreement::put_off(channel).await,
                },
            };
            drop(opening);
            agreement::answer(channel, &*shared.registry, (&peer, addr), request).await;
            return drop(place);
        }
        Ok(First::Letters(request)) => {
            drop(opening);
            let Ok(_place) = places.letters.try_acquire() else { return letters::put_off(channel).await };
            return letters::answer(channel, &shared.letters, &*shared.registry, &peer, request).await;
        }
        Ok(First::Call(request)) => {
            drop(opening);
            let Ok(_place) = places.calls.try_acquire() else { return calls::put_off(channel).await };
            return calls::answer(channel, &shared.directory, &*shared.registry, &peer, request).await;
        }
        Ok(First::Tap(request)) => {
            drop(opening);
            let Ok(_place) = places.taps.try_acquire() else { return taps::put_off(channel).await };
            return taps::answer(channel, &shared.directory, &*shared.registry, &peer, request).await;
        }
        Ok(First::Blob(request)) => {
            drop(opening);
            let Ok(_place) = places.blobs.try_acquire() else { return blobs::put_off(channel).await };
            let store = shared.blobs.as_ref();
            return blobs::answer(channel, store, &*shared.registry, &peer, request).await;
        }
        // The certificate of a node gives no orders: who has taken over one machine has not taken over all.
        Ok(First::Admin(_)) => {
            return line::refuse(channel, CloseCode::WrongState, "nodes give no orders, only operators do");
        }
        Err((code, reason)) => return line::refuse(channel, code, &reason),
    };
    subscribe(channel, first, peer, shared, places, opening).await;
}

/// Hands a new subscription to its stage.
async fn subscribe(
    channel: Channel,
    first: Envelope,
    peer: NodeName,
    shared: &LinkShared,
    places: &Places,
    opening: OwnedSemaphorePermit,
) {
    let Message::Subscribe(subscribe) = &first.message else { return };
    if subscribe.instance.node != peer {
        // What is kept for a lost consumer is for nobody else.
        let claimed = &subscribe.instance.node;
        let reason = format!("the subscription is in the name of node `{claimed}`, the certificate is `{peer}`'s");
        return line::refuse(channel, CloseCode::Malformed, &reason);
    }
    let key = StageKey { pipeline: subscribe.pipeline.clone(), stage: subscribe.producer.clone() };
    let (epoch, max_demand) = (first.epoch, subscribe.demand.max());
    let caller = Caller::Remote { channel, first, max_demand, peer };
    let place = places.subscribing.try_acquire();
    let (refused, reason) = match (shared.directory.stage(&key), &place) {
        (Some(_), Err(_)) => (caller, Reason::Unreachable("too many subscriptions wait for their stages".to_owned())),
        (Some(callers), Ok(_)) => {
            drop(opening);
            match callers.send(Box::new(caller)).await {
                Ok(()) => return,
                Err(mpsc::error::SendError(caller)) => (*caller, Reason::NotOwner),
            }
        }
        (None, _) => (caller, Reason::NotOwner),
    };
    if let Caller::Remote { mut channel, .. } = refused {
        let cancel = Frame::Stage(Envelope { epoch, message: Message::Cancel(reason) });
        // The peer may be gone; then there is nobody to tell.
        let _ = channel.sender.send(wire::encode(&cancel)).await;
        channel.sender.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use forebay_proto::names::quorum::{Answer, MemberNo, Request};

    use super::*;
    use crate::{
        dlq::{Bounds, DeadLetters},
        node::claims::tests::Scripted,
        transport::memory::Network,
    };

    const GROUP: GroupId = GroupId(1);

    fn raft() -> Bytes {
        let (from, to) = (MemberNo(1), MemberNo(2));
        Request::Raft { group: GROUP, from, to, call: Bytes::from_static(b"vote") }.encode()
    }

    /// Of a group that never answers proposals.
    #[tokio::test(start_paused = true)]
    async fn the_consensus_is_heard_however_many_proposals_wait() {
        let network = Network::new();
        let addr = |last| SocketAddr::from(([10, 0, 0, last], 1));
        let a = network.bind(addr(1), "a".parse().unwrap()).unwrap();
        let b = network.bind(addr(2), "b".parse().unwrap()).unwrap();
        let (asking, asked) = tokio::join!(b.connect(addr(1)), a.accept());
        let (asking, asked): (Arc<dyn Connection>, _) = (Arc::from(asking.unwrap()), Arc::from(asked.unwrap()));
        let (events, _events) = mpsc::channel(1);
        let agreement = Agreement::Quorum;
        let hello = Hello { version: wire::VERSION, boot: BootId(1), agreement, advertise: None, group: None };
        let directory = Arc::new(Directory::new("a".parse().unwrap()));
        let registry = Arc::new(Scripted::default());
        let pings = (Duration::from_secs(1), 5);
        let (core, _core) = mpsc::channel(1);
        let letters = DeadLetters::in_memory(Bounds::default());
        let letters = LetterDesk::new("a".parse().unwrap(), core, letters);
        let shared = Arc::new(LinkShared::new(hello, pings, directory, registry, letters, None, events));
        let peer = "b".parse().unwrap();
        let serving = tokio::spawn(async move { serve(&asked, &peer, &shared).await });
        let proposal = Request::Propose { group: GROUP, proposal: Bytes::from_static(b"claim") }.encode();
        let mut proposing = tokio::task::JoinSet::new();
        for _ in 0..PROPOSALS_MAX + 10 {
            let (asking, proposal) = (Arc::clone(&asking), proposal.clone());
            proposing.spawn(async move { agreement::ask(&*asking, proposal).await });
        }
        for _ in 0..10 {
            let answer = proposing.join_next().await.unwrap().unwrap().unwrap();
            assert!(matches!(Answer::decode(&answer), Ok(Answer::NotNow(_))), "{answer:?}");
        }
        let answered = tokio::time::timeout(Duration::from_secs(1), agreement::ask(&*asking, raft())).await;
        assert_eq!(answered.expect("at once").unwrap(), raft());
        let waits = tokio::time::timeout(Duration::from_secs(1), proposing.join_next()).await;
        assert!(waits.is_err(), "the others wait for the group: {waits:?}");
        serving.abort();
    }
}
