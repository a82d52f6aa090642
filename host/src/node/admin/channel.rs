//! One question of an operator and its answer, on a channel of their own. Frames: docs/wire.md, "Operators".

use bytes::Bytes;
use forebay_proto::wire::{self, Frame};

use super::{
    Desk,
    serve::{self, INGEST_LINE_BYTES_MAX},
    wire::Answer,
};
use crate::{
    node::line::wire_limits,
    transport::{Channel, ChannelError, Connection, FRAME_BYTES_MAX},
};

/// The longest answer. Unit: bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer travels in parts of this length. Unit: bytes.
const PART_BYTES: usize = 256 << 10;

/// How long an operator may take to receive a part: 50 KiB/s, as of blobs.
const PART_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

// The longest line in a frame, and the longest part.
const _: () = assert!(INGEST_LINE_BYTES_MAX < FRAME_BYTES_MAX as usize);
const _: () = assert!(PART_BYTES < FRAME_BYTES_MAX as usize);

/// Asks the node at the other end of an operator's connection a line, and returns the line it answers. Neither has an
/// end.
///
/// # Errors
/// As of the channel, and [`ChannelError::Lost`] for a line that no node takes and for an answer that does not come or
/// is none.
///
/// # Cancel safety
/// The node may do what it was asked to all the same.
pub async fn ask(connection: &dyn Connection, line: Vec<u8>) -> Result<Vec<u8>, ChannelError> {
    if line.is_empty() || line.len() > INGEST_LINE_BYTES_MAX {
        let length = line.len();
        let why = format!("a line of {length} bytes, 1 to {INGEST_LINE_BYTES_MAX} are allowed; nothing was sent");
        return Err(ChannelError::Lost(why));
    }
    let mut channel = connection.open().await?;
    channel.sender.send(wire::encode(&Frame::AdminAsked(line.into()))).await?;
    let lost = |why: &str| Err(ChannelError::Lost(why.to_owned()));
    let mut answer = Vec::new();
    while let Some(frame) = channel.receiver.receive().await? {
        match wire::decode(&frame, &wire_limits()) {
            Ok(Frame::AdminTold { part, .. }) if answer.len() + part.len() > ANSWER_BYTES_MAX => {
                return lost("the node answered with more than 64 MiB");
            }
            Ok(Frame::AdminTold { more, part }) => {
                answer.extend_from_slice(&part);
                if !more {
                    return Ok(answer);
                }
            }
            Ok(_) => return lost("the node answered with something else"),
            Err(error) => return lost(&format!("the answer cannot be read: {error}")),
        }
    }
    lost("the node ended the channel without an answer")
}

/// Answers the line that a channel began with, as the socket does.
pub(in crate::node) async fn answer(channel: Channel, desk: &Desk, line: &[u8]) {
    let text = serve::told(desk, line).await;
    tell(channel, text).await;
}

async fn tell(mut channel: Channel, mut text: Vec<u8>) {
    if text.len() > ANSWER_BYTES_MAX {
        text = serve::text(Answer::Error(format!("the answer has {} bytes, which is too long", text.len())));
    }
    let mut rest = Bytes::from(text);
    loop {
        let part = rest.split_to(rest.len().min(PART_BYTES));
        let frame = wire::encode(&Frame::AdminTold { more: !rest.is_empty(), part });
        // Who has gone, or does not read, has nobody who waits for the rest.
        let sent = tokio::time::timeout(PART_WITHIN, channel.sender.send(frame)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        if rest.is_empty() {
            return channel.sender.finish().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::transport::{Transport, memory::Network};

    /// Asks, and has this answer on the channel.
    async fn asked<F>(line: &[u8], answering: impl FnOnce(Channel) -> F) -> Result<Vec<u8>, ChannelError>
    where
        F: Future<Output = ()>,
    {
        let network = Network::new();
        let addr = |last| SocketAddr::from(([10, 0, 0, last], 1));
        let node = network.bind(addr(1), "a".parse().unwrap()).unwrap();
        let ours = network.connect_as(&"ann".parse().unwrap(), addr(2), addr(1)).unwrap();
        let theirs = node.accept().await.unwrap();
        let answered = async {
            let mut channel = theirs.accept().await.unwrap();
            let first = channel.receiver.receive().await.unwrap().unwrap();
            assert_eq!(wire::decode(&first, &wire_limits()), Ok(Frame::AdminAsked(line.to_vec().into())));
            answering(channel).await;
        };
        let (told, ()) = tokio::join!(ask(&*ours, line.to_vec()), answered);
        told
    }

    fn part(more: bool, length: usize) -> Bytes {
        wire::encode(&Frame::AdminTold { more, part: vec![b'x'; length].into() })
    }

    #[tokio::test]
    async fn an_answer_may_be_longer_than_a_frame_but_not_endless() {
        for length in [1, PART_BYTES, PART_BYTES + 1, FRAME_BYTES_MAX as usize + 7, ANSWER_BYTES_MAX] {
            let text: Vec<u8> = (0..=250).cycle().take(length).collect();
            let told = asked(b"?", |channel| tell(channel, text.clone())).await.unwrap();
            // Not assert_eq: it would print megabytes.
            assert!(told == text, "{length} bytes");
        }
        let told = asked(b"?", |channel| tell(channel, vec![b'x'; ANSWER_BYTES_MAX + 1])).await.unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("\"error\":\"the answer has 67108865 bytes"), "{told}");
    }

    #[tokio::test]
    async fn a_node_that_answers_anything_else_is_not_believed() {
        let lost = |why: &str| Err(ChannelError::Lost(why.to_owned()));
        let send = |frames: Vec<Bytes>| {
            |mut channel: Channel| async move {
                // Who asked may have heard enough.
                let _ = channel.sender.send_all(frames).await;
                channel.sender.finish().await;
            }
        };
        let endless = vec![part(true, 4 << 20); 17];
        assert_eq!(asked(b"?", send(endless)).await, lost("the node answered with more than 64 MiB"));
        let nothing = lost("the node ended the channel without an answer");
        assert_eq!(asked(b"?", send(vec![])).await, nothing);
        assert_eq!(asked(b"?", send(vec![part(true, 1)])).await, nothing);
        let other = vec![wire::encode(&Frame::Ping(1))];
        assert_eq!(asked(b"?", send(other)).await, lost("the node answered with something else"));
        let unread = asked(b"?", send(vec![Bytes::from_static(b"\x0d")])).await.unwrap_err();
        assert!(unread.to_string().contains("cannot be read"), "{unread}");
    }

    #[tokio::test]
    async fn a_line_that_no_node_takes_is_not_sent() {
        let network = Network::new();
        let addr = |last| SocketAddr::from(([10, 0, 0, last], 1));
        let _node = network.bind(addr(1), "a".parse().unwrap()).unwrap();
        let ours = network.connect_as(&"ann".parse().unwrap(), addr(2), addr(1)).unwrap();
        for length in [0, INGEST_LINE_BYTES_MAX + 1] {
            let told = ask(&*ours, vec![b'x'; length]).await.unwrap_err().to_string();
            assert!(told.contains(&format!("a line of {length} bytes")) && told.contains("nothing was sent"), "{told}");
        }
    }
}
