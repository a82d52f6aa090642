//! What every transport does: the contract of the traits, test by test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use forebay::transport::{CHANNELS_MAX, ChannelError, CloseCode, ConnectError, FRAME_BYTES_MAX};

use super::*;

macro_rules! for_every_transport {
    ($($name:ident,)*) => {
        mod quic { $(#[tokio::test] async fn $name() { super::bounded(super::$name(super::Pair::quic())).await; })* }
        mod memory { $(#[tokio::test] async fn $name() { super::bounded(super::$name(super::Pair::memory())).await; })* }
    };
}

for_every_transport! {
    each_side_knows_name_and_address_of_the_other,
    an_operator_is_let_in_and_told_apart_from_a_node_of_the_same_name,
    frames_arrive_in_order_both_ways,
    frames_sent_together_arrive_one_by_one,
    frames_up_to_the_limit_arrive_whole,
    a_channel_is_learned_of_with_its_first_frame,
    either_side_opens_channels_and_many_run_at_once,
    a_peer_that_does_not_read_blocks_its_channel_alone,
    opening_waits_while_too_many_channels_are_open,
    a_finished_stream_ends_cleanly_and_its_other_direction_goes_on,
    finish_then_close_loses_nothing,
    a_dropped_sender_ends_its_stream_cleanly,
    a_reset_shows_its_code,
    a_stop_shows_its_code,
    a_close_reaches_everyone_with_its_reason,
    a_peers_reason_is_cut_and_cannot_forge_log_lines,
    a_dropped_connection_is_closed,
    receiving_is_cancel_safe,
    a_closed_transport_tells_its_peers_and_accepts_no_more,
    nobody_there_is_unreachable,
}

async fn each_side_knows_name_and_address_of_the_other(pair: Pair) {
    let [ours, theirs] = pair.connect().await;
    assert_eq!(
        [ours.peer(), theirs.peer()],
        [&Holder::Node("b".parse().unwrap()), &Holder::Node("a".parse().unwrap())]
    );
    assert_eq!((ours.remote_addr(), theirs.remote_addr()), (pair.b.local_addr(), pair.a.local_addr()));
}

async fn an_operator_is_let_in_and_told_apart_from_a_node_of_the_same_name(pair: Pair) {
    let name = || "a".parse().unwrap();
    let (_client, ends) = pair.connect_operator(&name()).await;
    assert_eq!([ends[0].peer(), ends[1].peer()], [&Holder::Node("b".parse().unwrap()), &Holder::Operator(name())]);
    assert_eq!((ends[1].peer().node(), ends[1].peer().operator()), (None, Some(&name())));
    ping(&ends).await;
    ends[0].close(CloseCode::Done, "enough");
    assert_eq!(ends[1].closed().await, "closed by the peer: enough (Done)");
}

async fn frames_arrive_in_order_both_ways(pair: Pair) {
    let ends = pair.connect().await;
    let [ours, mut theirs] = channel(&ends).await;
    let length = |index: usize| 1 + index * 37 % 3000;
    let echo = tokio::spawn(async move {
        while let Some(frame) = theirs.receiver.receive().await.unwrap() {
            theirs.sender.send(frame).await.unwrap();
        }
        theirs.sender.finish().await;
    });
    let (mut sender, mut receiver) = (ours.sender, ours.receiver);
    let sending = tokio::spawn(async move {
        for index in 0..1000 {
            sender.send(pattern(length(index), index)).await.unwrap();
        }
        sender.finish().await;
    });
    for index in 0..1000 {
        assert_eq!(receiver.receive().await.unwrap().unwrap(), pattern(length(index), index), "frame {index}");
    }
    assert_eq!(receiver.receive().await, Ok(None));
    sending.await.unwrap();
    echo.await.unwrap();
}

async fn frames_sent_together_arrive_one_by_one(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    let frames: Vec<_> = (0..500).map(|index| pattern([1, 100, 2048, 2049, 30_000][index % 5], index)).collect();
    ours.sender.send_all(Vec::new()).await.unwrap();
    ours.sender.send_all(frames.clone()).await.unwrap();
    ours.sender.finish().await;
    for frame in frames {
        assert_eq!(theirs.receiver.receive().await.unwrap().unwrap(), frame);
    }
    assert_eq!(theirs.receiver.receive().await, Ok(None));
}

async fn frames_up_to_the_limit_arrive_whole(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    let max = FRAME_BYTES_MAX as usize;
    let frames: Vec<_> =
        [1, 16 << 10, (16 << 10) + 1, 64 << 10, max, 1, max - 1, 100].map(|length| pattern(length, length)).into();
    let expected = frames.clone();
    let sending = tokio::spawn(async move {
        for frame in frames {
            ours.sender.send(frame).await.unwrap();
        }
        ours
    });
    for frame in expected {
        // Not assert_eq: it would print megabytes.
        assert!(theirs.receiver.receive().await.unwrap().unwrap() == frame, "frame of {} bytes", frame.len());
    }
    sending.await.unwrap();
}

async fn a_channel_is_learned_of_with_its_first_frame(pair: Pair) {
    let ends = pair.connect().await;
    let mut quiet = ends[0].open().await.unwrap();
    let mut loud = ends[0].open().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), ends[1].accept()).await.is_err());
    loud.sender.send(Bytes::from_static(b"loud")).await.unwrap();
    quiet.sender.send(Bytes::from_static(b"quiet")).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..2 {
        heard.push(ends[1].accept().await.unwrap().receiver.receive().await.unwrap().unwrap());
    }
    heard.sort();
    assert_eq!(heard, ["loud", "quiet"]);
}

async fn either_side_opens_channels_and_many_run_at_once(pair: Pair) {
    let mut ends = pair.connect().await;
    for _ in 0..2 {
        let mut channels = Vec::new();
        for _ in 0..100 {
            channels.push(channel(&ends).await);
        }
        for index in 0..10 {
            for [ours, _] in &mut channels {
                ours.sender.send(pattern(500, index)).await.unwrap();
            }
        }
        for [_, theirs] in channels.iter_mut().rev() {
            for index in 0..10 {
                assert_eq!(theirs.receiver.receive().await.unwrap().unwrap(), pattern(500, index));
            }
        }
        ends.reverse();
    }
}

async fn a_peer_that_does_not_read_blocks_its_channel_alone(pair: Pair) {
    const FRAMES: usize = 640; // 40 MiB, above every window of one channel.
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sending = tokio::spawn(async move {
        for index in 0..FRAMES {
            ours.sender.send(pattern(64 << 10, index)).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
        ours.sender.finish().await;
    });
    let blocked_at = until_it_stands(&sent).await;
    assert!((64..FRAMES / 2).contains(&blocked_at), "{blocked_at} frames were taken");
    ping(&ends).await;
    for index in 0..FRAMES {
        assert!(theirs.receiver.receive().await.unwrap().unwrap() == pattern(64 << 10, index), "frame {index}");
    }
    sending.await.unwrap();
}

/// Waits until a counter has not moved for a fifth of a second.
async fn until_it_stands(counter: &AtomicUsize) -> usize {
    loop {
        let before = counter.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        if before > 0 && counter.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

async fn opening_waits_while_too_many_channels_are_open(pair: Pair) {
    let ends = pair.connect().await;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS_MAX {
        channels.push(channel(&ends).await);
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), ends[0].open()).await.is_err());
    // Not one alone: quinn gives places back in groups of an eighth.
    channels.truncate(CHANNELS_MAX as usize * 3 / 4);
    channel(&ends).await;
}

async fn a_finished_stream_ends_cleanly_and_its_other_direction_goes_on(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    ours.sender.send(Bytes::from_static(b"last")).await.unwrap();
    ours.sender.finish().await;
    assert_eq!(theirs.receiver.receive().await.unwrap().unwrap(), "last");
    assert_eq!(theirs.receiver.receive().await, Ok(None));
    assert_eq!(theirs.receiver.receive().await, Ok(None));
    theirs.sender.send(Bytes::from_static(b"answer")).await.unwrap();
    assert_eq!(ours.receiver.receive().await.unwrap().unwrap(), "answer");
    assert!(matches!(ours.sender.send(Bytes::from_static(b"more")).await, Err(ChannelError::Lost(_))));
}

async fn finish_then_close_loses_nothing(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    for index in 0..20 {
        ours.sender.send(pattern(50_000, index)).await.unwrap();
    }
    ours.sender.finish().await;
    ends[0].close(CloseCode::Done, "");
    ends[1].closed().await;
    for index in 0..20 {
        assert_eq!(theirs.receiver.receive().await.unwrap().unwrap(), pattern(50_000, index));
    }
    assert_eq!(theirs.receiver.receive().await, Ok(None));
}

async fn a_dropped_sender_ends_its_stream_cleanly(pair: Pair) {
    let ends = pair.connect().await;
    let [ours, mut theirs] = channel(&ends).await;
    drop(ours.sender);
    assert_eq!(theirs.receiver.receive().await, Ok(None));
}

async fn a_reset_shows_its_code(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    ours.sender.reset(CloseCode::WrongState);
    let code = ChannelError::Reset(CloseCode::WrongState as u64);
    assert_eq!(theirs.receiver.receive().await, Err(code.clone()));
    assert_eq!(theirs.receiver.receive().await, Err(code));
    ping(&ends).await;
}

async fn a_stop_shows_its_code(pair: Pair) {
    for (index, code) in [CloseCode::Malformed, CloseCode::Done].into_iter().enumerate() {
        let ends = pair.connect().await;
        let [mut ours, mut theirs] = channel(&ends).await;
        if index == 0 {
            theirs.receiver.stop(code);
            assert_eq!(theirs.receiver.receive().await, Ok(None));
        } else {
            drop(theirs.receiver);
        }
        let error = loop {
            if let Err(error) = ours.sender.send(pattern(10_000, 0)).await {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(error, ChannelError::Reset(code as u64));
    }
}

async fn a_close_reaches_everyone_with_its_reason(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    ends[0].close(CloseCode::Malformed, "byte 7");
    ends[0].close(CloseCode::Done, "again");
    let theirs_text = "closed by the peer: byte 7 (Malformed)".to_owned();
    assert_eq!(ends[1].closed().await, theirs_text);
    assert_eq!(theirs.receiver.receive().await, Err(ChannelError::Lost(theirs_text.clone())));
    assert_eq!(theirs.sender.send(pattern(1, 0)).await, Err(ChannelError::Lost(theirs_text.clone())));
    assert_eq!(ends[1].open().await.unwrap_err(), ChannelError::Lost(theirs_text.clone()));
    assert_eq!(ends[1].accept().await.unwrap_err(), ChannelError::Lost(theirs_text));
    let ours_text = ChannelError::Lost("closed by this node".to_owned());
    assert_eq!(ours.receiver.receive().await, Err(ours_text.clone()));
    assert_eq!(ours.sender.send(pattern(1, 0)).await, Err(ours_text.clone()));
    assert_eq!(ends[0].open().await.unwrap_err(), ours_text);
}

async fn a_peers_reason_is_cut_and_cannot_forge_log_lines(pair: Pair) {
    let ends = pair.connect().await;
    ends[0].close(CloseCode::Done, &format!("a\n\u{1b}[31m{}", "ä".repeat(5000)));
    let text = ends[1].closed().await;
    assert!(text.starts_with(r"closed by the peer: a\n\u{1b}[31mää") && text.len() < 600, "{text}");
}

async fn a_dropped_connection_is_closed(pair: Pair) {
    let ends = pair.connect().await;
    let [_ours, mut theirs] = channel(&ends).await;
    let [ours, other] = ends;
    drop(ours);
    assert_eq!(other.closed().await, "closed by the peer (Done)");
    assert!(matches!(theirs.receiver.receive().await, Err(ChannelError::Lost(_))));
}

async fn receiving_is_cancel_safe(pair: Pair) {
    let ends = pair.connect().await;
    let [mut ours, mut theirs] = channel(&ends).await;
    let sending = tokio::spawn(async move {
        for index in 0..10 {
            ours.sender.send(pattern(300_000, index)).await.unwrap();
            for _ in 0..5 {
                tokio::task::yield_now().await; // So that a receiver in the same process waits now and then.
            }
        }
        ours
    });
    let mut cancelled = 0;
    for index in 0..10 {
        let frame = loop {
            tokio::select! {
                biased;
                frame = theirs.receiver.receive() => break frame.unwrap().unwrap(),
                () = tokio::task::yield_now() => cancelled += 1,
            }
        };
        assert!(frame == pattern(300_000, index), "frame {index}");
    }
    assert!(cancelled > 0);
    sending.await.unwrap();
}

async fn a_closed_transport_tells_its_peers_and_accepts_no_more(pair: Pair) {
    let ends = pair.connect().await;
    pair.b.close("upgrade").await;
    assert_eq!(ends[0].closed().await, "closed by the peer: upgrade (ShuttingDown)");
    assert!(pair.b.accept().await.is_none());
    assert!(matches!(pair.a.connect(pair.b.local_addr()).await, Err(ConnectError::Unreachable { .. })));
}

async fn nobody_there_is_unreachable(pair: Pair) {
    let addr = pair.b.local_addr();
    drop(pair.b);
    let error = pair.a.connect(addr).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { addr: to, .. } if *to == addr), "{error}");
}

#[tokio::test]
async fn a_cut_ends_connections_and_heal_allows_new_ones() {
    let network = Network::new();
    let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
    let [node_a, node_b, node_c] =
        [(a, "a"), (b, "b"), (c, "c")].map(|(addr, name)| network.bind(addr, name.parse().unwrap()).unwrap());
    assert!(network.bind(a, "d".parse().unwrap()).unwrap_err().to_string().contains("in use by node `a`"));
    let (ab, ac) = (connect(&node_a, &node_b).await, connect(&node_a, &node_c).await);
    network.cut(b, a);
    for end in ab {
        assert_eq!(end.closed().await, "the network was cut");
    }
    assert!(node_a.connect(b).await.is_err() && node_b.connect(a).await.is_err());
    ping(&ac).await;
    network.heal(a, b);
    ping(&connect(&node_a, &node_b).await).await;
}
