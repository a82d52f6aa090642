//! Links, the connections over them, and the ordered streams over those.
//!
//! ```text
//! link (two nodes)      cut or open, each way; slow or not
//!   connection          begins when both ways are open; each end closes by itself
//!     control           claims, both ways, in order
//!     stream            one per subscription, in order, both ways
//! ```
//!
//! As with QUIC, loss never shows as a gap: what arrives while the way is cut waits until it is
//! healed, or is lost with the connection once an end has heard nothing for too long. The two ends
//! find that out at different times. A stream between stages of one node is never cut.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use forebay_proto::{
    ids::SubId,
    message::Envelope,
    names::{Claim, GlobalName},
};
use rand::RngExt;

use crate::{
    agenda::{Due, Env},
    facts::{InstanceNo, NodeNo, Side, StreamNo, What},
};

/// One connection between two nodes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SessionNo(pub(crate) u32);

/// What a node tells its peers: all it claims and all it could run.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) claims: Vec<Claim>,
    pub(crate) names: Vec<GlobalName>,
}

/// What travels on a stream.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Envelope(Envelope),
    /// Nothing more will come.
    Fin,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) node: NodeNo,
    /// None at a producer's end before the subscription was routed.
    pub(crate) stage: Option<(InstanceNo, SubId)>,
    pub(crate) is_open: bool,
}

#[derive(Debug)]
pub(crate) struct Stream {
    /// None within one node.
    session: Option<SessionNo>,
    ends: [End; 2],
    /// On the way to each end.
    frames: [VecDeque<Frame>; 2],
}

impl Stream {
    pub(crate) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }
}

#[derive(Debug)]
struct Session {
    /// The two nodes; whether each still holds it open; what is on the way to each.
    ends: [SessionEnd; 2],
}

#[derive(Debug)]
struct SessionEnd {
    node: NodeNo,
    is_open: bool,
    hellos: VecDeque<Hello>,
}

impl Session {
    fn index(&self, node: NodeNo) -> usize {
        usize::from(self.ends[1].node == node)
    }

    fn peer(&self, node: NodeNo) -> NodeNo {
        self.ends[1 - self.index(node)].node
    }
}

/// One way between two nodes.
#[derive(Debug, Default)]
struct Way {
    is_cut: bool,
    /// How often it was cut or healed.
    changes: u32,
    /// Delays are multiplied by one more than this.
    slowness: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    ways: BTreeMap<(NodeNo, NodeNo), Way>,
    sessions: BTreeMap<SessionNo, Session>,
    /// The latest connection of two nodes, the lower one first.
    latest: BTreeMap<(NodeNo, NodeNo), SessionNo>,
    streams: BTreeMap<StreamNo, Stream>,
    sessions_begun: u32,
    streams_begun: u32,
}

/// From one fifth of a LAN's round trip to that of a bad WAN. Unit: microseconds.
const DELAY_US: std::ops::Range<u64> = 100..12_000;
/// How long silence lasts before an end gives a connection up. Unit: milliseconds.
const SILENCE_MS: std::ops::Range<u64> = 250..1_200;

impl Network {
    fn way(&mut self, from: NodeNo, to: NodeNo) -> &mut Way {
        self.ways.entry((from, to)).or_default()
    }

    fn is_cut(&self, from: NodeNo, to: NodeNo) -> bool {
        self.ways.get(&(from, to)).is_some_and(|way| way.is_cut)
    }

    /// The connection to `peer`, as far as `node` knows.
    fn session(&self, node: NodeNo, peer: NodeNo) -> Option<SessionNo> {
        let no = *self.latest.get(&(node.min(peer), node.max(peer)))?;
        let session = &self.sessions[&no];
        session.ends[session.index(node)].is_open.then_some(no)
    }

    pub(crate) fn stream(&self, no: StreamNo) -> Option<&Stream> {
        self.streams.get(&no)
    }

    pub(crate) fn stream_mut(&mut self, no: StreamNo) -> Option<&mut Stream> {
        self.streams.get_mut(&no)
    }

    /// The other node of a connection, if `node` still holds it open.
    pub(crate) fn peer(&self, no: SessionNo, node: NodeNo) -> Option<NodeNo> {
        let session = &self.sessions[&no];
        session.ends[session.index(node)].is_open.then(|| session.peer(node))
    }

    /// Streams with an open end at a stage of `node`, on one connection or on all.
    fn open_ends(&self, node: NodeNo, session: Option<SessionNo>) -> Vec<(StreamNo, Side)> {
        let mut found = Vec::new();
        for (no, stream) in &self.streams {
            for side in [Side::Consumer, Side::Producer] {
                let end = stream.end(side);
                if end.is_open && end.node == node && (session.is_none() || stream.session == session) {
                    found.push((*no, side));
                }
            }
        }
        found
    }

    /// Takes the next frame on the way to this end. None if there is none, the way is cut, or the
    /// end is closed.
    pub(crate) fn take_frame(&mut self, no: StreamNo, to: Side) -> Option<Frame> {
        let stream = self.streams.get(&no)?;
        let (from, at) = (stream.end(to.other()).node, *stream.end(to));
        if stream.session.is_some() && self.is_cut(from, at.node) {
            return None;
        }
        let stream = self.streams.get_mut(&no)?;
        let frame = stream.frames[to as usize].pop_front();
        frame.filter(|_| at.is_open)
    }

    pub(crate) fn take_hello(&mut self, no: SessionNo, to: NodeNo) -> Option<Hello> {
        let from = self.peer(no, to)?;
        if self.is_cut(from, to) {
            return None;
        }
        let session = self.sessions.get_mut(&no)?;
        let index = session.index(to);
        session.ends[index].hellos.pop_front()
    }

    /// Forgets streams that are closed at both ends.
    pub(crate) fn sweep(&mut self) {
        self.streams.retain(|_, stream| stream.ends.iter().any(|end| end.is_open));
    }
}

impl Env {
    fn delay(&mut self, from: NodeNo, to: NodeNo) -> Duration {
        let slowness = u64::from(self.network.way(from, to).slowness);
        Duration::from_micros(self.rng.random_range(DELAY_US) * (1 + slowness))
    }

    fn silence(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(SILENCE_MS))
    }

    /// Begins a stream from a consumer towards the producer's node. Without a connection it ends at
    /// once.
    pub(crate) fn open_stream(&mut self, from: NodeNo, stage: (InstanceNo, SubId), to: NodeNo) -> StreamNo {
        self.network.streams_begun += 1;
        let no = StreamNo(self.network.streams_begun);
        let session = self.network.session(from, to);
        let is_way = from == to || session.is_some();
        let is_heard = session.is_some() && self.network.session(to, from) == session;
        let ends = [
            End { node: from, stage: Some(stage), is_open: true },
            End { node: to, stage: None, is_open: from == to || is_heard },
        ];
        let session = session.filter(|_| from != to);
        self.network.streams.insert(no, Stream { session, ends, frames: Default::default() });
        if !is_way {
            self.after(Duration::ZERO, Due::NoWay(no));
        }
        no
    }

    pub(crate) fn send_frame(&mut self, no: StreamNo, to: Side, frame: Frame) {
        let Some(stream) = self.network.stream_mut(no) else { return };
        let (from, at) = (stream.end(to.other()).node, stream.end(to).node);
        if !stream.end(to).is_open || !stream.end(to.other()).is_open {
            return;
        }
        stream.frames[to as usize].push_back(frame);
        let is_local = stream.session.is_none();
        let delay = if is_local { Duration::from_micros(self.rng.random_range(1..50)) } else { self.delay(from, at) };
        self.after(delay, Due::Frame(no, to));
    }

    /// Tells a peer what `node` claims, if there is a connection.
    pub(crate) fn send_hello(&mut self, node: NodeNo, peer: NodeNo, hello: &Hello) {
        let Some(no) = self.network.session(node, peer) else { return };
        let session = self.network.sessions.get_mut(&no).expect("a session is never forgotten");
        let index = session.index(peer);
        session.ends[index].hellos.push_back(hello.clone());
        let delay = self.delay(node, peer);
        self.after(delay, Due::Control(no, peer));
    }

    pub(crate) fn try_to_connect_soon(&mut self, one: NodeNo, other: NodeNo) {
        let delay = Duration::from_millis(self.rng.random_range(2..60));
        self.after(delay, Due::Connect(one, other));
    }

    /// Whether two living nodes can connect and are not connected.
    pub(crate) fn can_connect(&self, one: NodeNo, other: NodeNo) -> bool {
        let network = &self.network;
        let is_cut = network.is_cut(one, other) || network.is_cut(other, one);
        let connected = network.session(one, other).is_some() && network.session(other, one).is_some();
        !is_cut && !connected
    }

    /// Half of an old connection, to be closed before a new one begins.
    pub(crate) fn half_open(&self, node: NodeNo, peer: NodeNo) -> Option<SessionNo> {
        self.network.session(node, peer)
    }

    pub(crate) fn connect(&mut self, one: NodeNo, other: NodeNo) {
        self.network.sessions_begun += 1;
        let no = SessionNo(self.network.sessions_begun);
        let end = |node| SessionEnd { node, is_open: true, hellos: VecDeque::new() };
        let (one, other) = (one.min(other), one.max(other));
        self.network.sessions.insert(no, Session { ends: [end(one), end(other)] });
        self.network.latest.insert((one, other), no);
        self.note(What::Connected { one, other });
    }

    /// `node` gives a connection up, or has died: the streams over it end there, and the other side
    /// finds out in its time.
    pub(crate) fn close_session(&mut self, no: SessionNo, node: NodeNo, quick: bool) -> Vec<(StreamNo, Side)> {
        let session = self.network.sessions.get_mut(&no).expect("a session is never forgotten");
        let index = session.index(node);
        let peer = session.peer(node);
        session.ends[index].is_open = false;
        session.ends[index].hellos.clear();
        if session.ends[1 - index].is_open {
            let told = quick && !self.network.is_cut(node, peer);
            let delay = if told { self.delay(node, peer) } else { self.silence() };
            self.after(delay, Due::Disconnect { session: no, node: peer, by_silence: None });
        }
        let ends = self.network.open_ends(node, Some(no));
        for (stream, side) in &ends {
            self.network.streams.get_mut(stream).expect("just found").end_mut(*side).is_open = false;
        }
        self.try_to_connect_soon(node, peer);
        ends
    }

    /// All of a dead node's connections, and its streams within itself.
    pub(crate) fn drop_node(&mut self, node: NodeNo, peers: impl Iterator<Item = NodeNo>) {
        // Half of the deaths are noticed at once: the kernel of a dead process refuses its datagrams.
        let quick = self.rng.random_bool(0.5);
        for peer in peers {
            if let Some(session) = self.network.session(node, peer) {
                self.close_session(session, node, quick);
            }
        }
        for (stream, side) in self.network.open_ends(node, None) {
            self.network.streams.get_mut(&stream).expect("just found").end_mut(side).is_open = false;
        }
    }

    pub(crate) fn cut(&mut self, from: NodeNo, to: NodeNo) {
        let way = self.network.way(from, to);
        if way.is_cut {
            return;
        }
        way.is_cut = true;
        way.changes += 1;
        let changes = way.changes;
        if let Some(session) = self.network.session(to, from) {
            let silence = self.silence();
            self.after(silence, Due::Disconnect { session, node: to, by_silence: Some(changes) });
        }
    }

    /// A node stands still: peers that hear nothing for too long give it up.
    pub(crate) fn fall_silent(&mut self, node: NodeNo, lasts: Duration, peers: impl Iterator<Item = NodeNo>) {
        for peer in peers {
            let silence = self.silence();
            if let Some(session) = self.network.session(peer, node).filter(|_| silence < lasts) {
                self.after(silence, Due::Disconnect { session, node: peer, by_silence: None });
            }
        }
    }

    /// Whether the way to `node` is still cut as it was when the waiting began.
    pub(crate) fn is_still_silent(&mut self, session: SessionNo, node: NodeNo, changes: u32) -> bool {
        let peer = self.network.sessions[&session].peer(node);
        let way = self.network.way(peer, node);
        way.is_cut && way.changes == changes
    }

    /// What waited arrives after all, in order.
    pub(crate) fn heal(&mut self, from: NodeNo, to: NodeNo) {
        let way = self.network.way(from, to);
        if !way.is_cut {
            return;
        }
        way.is_cut = false;
        way.changes += 1;
        let mut arrivals = Vec::new();
        if let Some(session) = self.network.session(to, from) {
            let ends = &self.network.sessions[&session].ends;
            let waiting = ends[self.network.sessions[&session].index(to)].hellos.len();
            arrivals.extend(std::iter::repeat_n(Due::Control(session, to), waiting));
            for (stream, side) in self.network.open_ends(to, Some(session)) {
                let waiting = self.network.streams[&stream].frames[side as usize].len();
                arrivals.extend(std::iter::repeat_n(Due::Frame(stream, side), waiting));
            }
        }
        for due in arrivals {
            let delay = self.delay(from, to);
            self.after(delay, due);
        }
        self.try_to_connect_soon(from, to);
    }

    pub(crate) fn slow(&mut self, one: NodeNo, other: NodeNo, slowness: u32) {
        self.network.way(one, other).slowness = slowness;
        self.network.way(other, one).slowness = slowness;
    }
}
