//! The frames of the baseline: made once and sent again, and on the other side counted by their heads.
//!
//! ```text
//! at  0  length, 4 bytes    kind 1   epoch 8   attempt 4
//!    17  runs, 4 bytes: one first number 8   count 4
//!    33  columns 1   events 4   bytes of payloads 4
//!    42  ends, 4 bytes for each event, then the payloads
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, Seq},
    message::{Envelope, Events, Message, SeqRun},
    wire::{self, Frame, WireError},
};

use super::{STAMP_BYTES, Work};
use crate::transport::FRAME_BYTES_MAX;

/// Up to the ends of an events frame, whose numbers are one run.
pub(super) const HEAD_BYTES: usize = 42;

/// The head, the end of the one event, and the beginning of its payload.
const STAMPED_BYTES: usize = HEAD_BYTES + 4 + STAMP_BYTES as usize;

const PREFIX_BYTES: usize = 4;

/// Bytes of frames that lie one behind the other, about: quinn's work grows with the pieces that it is given.
const TOGETHER_BYTES: usize = 256 << 10;

/// A claim's epoch, as good as any.
pub(super) fn epoch() -> Epoch {
    Epoch::from_u64(1)
}

/// A frame as it stands on the stream.
fn framed(message: Message) -> Bytes {
    let frame = wire::encode(&Frame::Stage(Envelope { epoch: epoch(), message }));
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + frame.len());
    bytes.put_u32_le(crate::transport::assert_frame_length(&frame));
    bytes.put_slice(&frame);
    bytes.freeze()
}

/// What a consumer says.
pub(super) fn ask(granted: u64, acked: Option<SeqRun>) -> Bytes {
    framed(Message::Ask { granted, acked: acked.into_iter().collect() })
}

/// Events that are ready to be sent.
#[derive(Debug)]
pub(super) struct Supply {
    payload: Vec<u8>,
    /// Events of a whole frame.
    batch: u32,
    frame_bytes: usize,
    /// Whole frames one behind the other.
    together: Bytes,
}

impl Supply {
    pub(super) fn new(work: &Work) -> Self {
        let payload = vec![b'x'; work.payload_bytes as usize];
        let frame = events(&payload, work.batch);
        let copies = (TOGETHER_BYTES / frame.len()).max(1);
        Self { payload, batch: work.batch, frame_bytes: frame.len(), together: frame.repeat(copies).into() }
    }

    /// Appends the frames of `count` events: whole ones, and at the end what is left.
    pub(super) fn take(&self, count: u64, pieces: &mut Vec<Bytes>) {
        let together = (self.together.len() / self.frame_bytes) as u64;
        let mut whole = count / u64::from(self.batch);
        while whole > 0 {
            let now = whole.min(together);
            // As many as there are fit the memory.
            pieces.push(self.together.slice(..now as usize * self.frame_bytes));
            whole -= now;
        }
        let rest = u32::try_from(count % u64::from(self.batch)).expect("less than a batch");
        if rest > 0 {
            pieces.push(events(&self.payload, rest));
        }
    }

    /// One event that says when it was emitted.
    pub(super) fn stamped(&self, emitted: u64) -> Bytes {
        let mut payload = self.payload.clone();
        payload[..STAMP_BYTES as usize].copy_from_slice(&emitted.to_le_bytes());
        events(&payload, 1)
    }
}

fn events(payload: &[u8], count: u32) -> Bytes {
    let events = Batch::from_payloads(std::iter::repeat_n(payload, count as usize));
    framed(Message::Events(Events { attempt: 1, runs: vec![SeqRun { first: Seq(0), count }], events }))
}

/// A frame of events that has arrived whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Arrived {
    pub(super) events: u32,
    pub(super) payload_bytes: u32,
    /// The first bytes of the payload, if they are looked for.
    pub(super) emitted: Option<u64>,
}

/// Counts the events of a stream by the heads of its frames; keeps nothing else of them.
#[derive(Debug)]
pub(super) struct Heads {
    head: [u8; STAMPED_BYTES],
    /// How many bytes of a head are looked at.
    wanted: usize,
    filled: usize,
    /// Of the frame, behind its head.
    left: usize,
}

impl Heads {
    pub(super) fn new(is_stamped: bool) -> Self {
        let wanted = if is_stamped { STAMPED_BYTES } else { HEAD_BYTES };
        Self { head: [0; STAMPED_BYTES], wanted, filled: 0, left: 0 }
    }

    /// Takes the next bytes of the stream; calls `arrived` for each frame that ends within them.
    ///
    /// # Errors
    /// What is wrong with a frame.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut arrived: impl FnMut(Arrived)) -> Result<(), String> {
        loop {
            if self.filled < self.wanted {
                let some = (self.wanted - self.filled).min(bytes.len());
                self.head[self.filled..self.filled + some].copy_from_slice(&bytes[..some]);
                self.filled += some;
                bytes = &bytes[some..];
                if self.filled < self.wanted {
                    return Ok(());
                }
                self.left = self.behind()?;
            }
            let some = self.left.min(bytes.len());
            self.left -= some;
            bytes = &bytes[some..];
            if self.left > 0 {
                return Ok(());
            }
            arrived(self.arrived());
            self.filled = 0;
        }
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.head[at..at + 4].try_into().expect("four bytes"))
    }

    /// How much of the frame is behind what was looked at.
    fn behind(&self) -> Result<usize, String> {
        let (length, runs) = (self.number(0), self.number(17));
        if length > FRAME_BYTES_MAX || runs != 1 {
            return Err(format!("a frame of {length} bytes with {runs} runs of numbers"));
        }
        let behind = (PREFIX_BYTES + length as usize).checked_sub(self.wanted);
        behind.ok_or_else(|| format!("a frame of {length} bytes, too short for events"))
    }

    fn arrived(&self) -> Arrived {
        let stamp = self.head[HEAD_BYTES + 4..].try_into().expect("the rest are eight bytes");
        let emitted = (self.wanted == STAMPED_BYTES).then(|| u64::from_le_bytes(stamp));
        Arrived { events: self.number(29), payload_bytes: self.number(38), emitted }
    }
}

/// Whole frames of what arrives in parts. For asks, which are few and short.
#[derive(Debug, Default)]
pub(super) struct Asks(BytesMut);

impl Asks {
    /// Takes the next bytes of the stream; calls `asked` with each ask that ends within them: the sum granted, and
    /// how many events are acknowledged.
    ///
    /// # Errors
    /// What is wrong with a frame.
    pub(super) fn take(&mut self, bytes: &[u8], mut asked: impl FnMut(u64, u64)) -> Result<(), String> {
        self.0.extend_from_slice(bytes);
        while let Some(prefix) = self.0.first_chunk::<PREFIX_BYTES>() {
            let length = u32::from_le_bytes(*prefix);
            if length > FRAME_BYTES_MAX {
                return Err(format!("a frame of {length} bytes"));
            }
            let end = PREFIX_BYTES + length as usize;
            if self.0.len() < end {
                return Ok(());
            }
            let frame = self.0.split_to(end).freeze().slice(PREFIX_BYTES..);
            let (granted, acked) = decode(&frame).map_err(|error| error.to_string())?;
            asked(granted, acked);
        }
        Ok(())
    }
}

fn decode(frame: &Bytes) -> Result<(u64, u64), WireError> {
    match wire::decode(frame, &forebay_proto::batch::BatchLimits::default())? {
        Frame::Stage(Envelope { message: Message::Ask { granted, acked }, .. }) => {
            Ok((granted, acked.iter().map(|run| u64::from(run.count)).sum()))
        }
        other => Err(WireError::Field { field: "kind", found: format!("{other:?}"), expected: "an ask" }),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use forebay_proto::message::Demand;

    use super::*;

    fn supply(payload_bytes: u32, rate: Option<u32>) -> Supply {
        let batch = NonZeroU32::new(5).unwrap();
        let demand = Demand::new(20, None).unwrap();
        Supply::new(&Work::new((payload_bytes, batch), demand, 1452, rate.and_then(NonZeroU32::new)).unwrap())
    }

    fn count(bytes: &[u8], step: usize, is_stamped: bool) -> Vec<Arrived> {
        let (mut heads, mut found) = (Heads::new(is_stamped), Vec::new());
        bytes.chunks(step).for_each(|part| heads.take(part, |arrived| found.push(arrived)).unwrap());
        found
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut pieces = Vec::new();
        supply(16, None).take(23, &mut pieces);
        let bytes = pieces.concat();
        for step in [1, 2, 41, 42, 43, 100, bytes.len()] {
            let found = count(&bytes, step, false);
            assert_eq!(found.iter().map(|one| one.events).collect::<Vec<_>>(), [5, 5, 5, 5, 3], "in parts of {step}");
            assert_eq!(found.iter().map(|one| one.payload_bytes).sum::<u32>(), 23 * 16);
        }
        assert_eq!(count(&bytes[..bytes.len() - 1], 7, false).len(), 4, "the last frame is not whole");
    }

    #[test]
    fn what_is_sent_is_what_nodes_send() {
        let mut pieces = Vec::new();
        supply(3, None).take(7, &mut pieces);
        let bytes = pieces.concat();
        let length = u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let Ok(Frame::Stage(Envelope { message: Message::Events(events), .. })) =
            wire::decode(&Bytes::copy_from_slice(&bytes[4..4 + length]), &forebay_proto::batch::BatchLimits::default())
        else {
            panic!("no events message")
        };
        assert_eq!(events.events, Batch::from_payloads(["xxx"; 5]));
    }

    #[test]
    fn a_stamp_arrives() {
        let stamped = supply(16, Some(1000)).stamped(0x0102_0304_0506_0708);
        for step in [1, 50, 1000] {
            let found = count(&stamped, step, true);
            assert_eq!(found, [Arrived { events: 1, payload_bytes: 16, emitted: Some(0x0102_0304_0506_0708) }]);
        }
    }

    #[test]
    fn asks_are_read_however_they_are_cut() {
        let acked = SeqRun { first: Seq(0), count: 7 };
        let bytes = [ask(20, None), ask(27, Some(acked))].concat();
        for step in [1, 5, bytes.len()] {
            let (mut asks, mut found) = (Asks::default(), Vec::new());
            for part in bytes.chunks(step) {
                asks.take(part, |granted, acked| found.push((granted, acked))).unwrap();
            }
            assert_eq!(found, [(20, 0), (27, 7)]);
        }
    }

    #[test]
    fn what_is_no_frame_of_the_work_is_refused() {
        assert!(Heads::new(false).take(&[0xff; 100], |_| panic!("nothing arrived")).is_err());
        let ask = ask(20, None);
        assert!(Heads::new(false).take(&ask.repeat(3), |_| panic!("nothing arrived")).is_err());
        let mut pieces = Vec::new();
        supply(3, None).take(5, &mut pieces);
        assert!(Asks::default().take(&pieces.concat(), |_, _| panic!("nothing asked")).is_err());
    }
}
