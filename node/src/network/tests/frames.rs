//! Consensus frames, sync, and readiness.

use bytes::Bytes;
use fedledger_consensus::transport::{FrameClass, TransportCommand, TransportEvent};

use super::super::hub::engine_peer;
use super::super::Network;
use super::fixture::{introduce, within, Listen, Node};

fn numbered(prefix: &str, count: usize, length: usize) -> Vec<Bytes> {
    let padding = " ".repeat(length);
    let frame = |i| format!("{prefix} {i:>4}{padding}").into();
    (0..count).map(frame).collect()
}

async fn check_order(first: Listen, second: Listen) {
    let mut a = Node::start(1, first).await;
    let mut b = Node::start(2, second).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b, &mut c]).await;
    let votes = numbered("vote", 300, 8);
    let parts = numbered("part", 100, 64 << 10);
    for (i, vote) in votes.iter().enumerate() {
        a.broadcast(FrameClass::Control, vote.clone());
        if let Some(part) = parts.get(i) {
            a.broadcast(FrameClass::Bulk, part.clone());
        }
    }
    a.broadcast(FrameClass::Status, "tip");
    for node in [&mut b, &mut c] {
        let (mut got_votes, mut got_parts, mut got_status) = (Vec::new(), Vec::new(), 0);
        while got_votes.len() < votes.len() || got_parts.len() < parts.len() || got_status < 1 {
            let from_a = engine_peer(a.network.local_peer());
            let (class, bytes) = node
                .engine_event("a frame", |event| match event {
                    TransportEvent::Frame { from, class, bytes } if from == from_a => {
                        Some((class, bytes))
                    }
                    _ => None,
                })
                .await;
            match class {
                FrameClass::Control => got_votes.push(bytes),
                FrameClass::Bulk => got_parts.push(bytes),
                FrameClass::Status => got_status += 1,
            }
        }
        assert!(got_votes == votes, "votes in order, each once");
        assert!(got_parts == parts, "parts in order, each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_over_tcp() {
    check_order(Listen::Tcp, Listen::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_over_quic() {
    check_order(Listen::Quic, Listen::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_over_both_mixed() {
    check_order(Listen::Both, Listen::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_frames_pass_and_longer_ones_are_not_sent() {
    use fedledger_consensus::transport::{BULK_FRAME_BYTES_MAX, CONTROL_FRAME_BYTES_MAX};
    let (mut a, mut b) = (Node::start(1, Listen::Both).await, Node::start(2, Listen::Both).await);
    introduce(&mut [&mut a, &mut b]).await;
    for (class, max) in
        [(FrameClass::Control, CONTROL_FRAME_BYTES_MAX), (FrameClass::Bulk, BULK_FRAME_BYTES_MAX)]
    {
        a.broadcast(class, vec![1; max + 1]);
        a.broadcast(class, vec![2; max]);
        let bytes = b.frame(class).await;
        assert!(bytes.len() == max && bytes[0] == 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_connects_late_gets_the_recent_frames() {
    let mut a = Node::start(1, Listen::Both).await;
    a.broadcast(FrameClass::Control, "vote before anybody came");
    a.broadcast(FrameClass::Bulk, "part before anybody came");
    a.broadcast(FrameClass::Status, "old status");
    let mut b = Node::start(2, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b]).await;
    let mut got = Vec::new();
    while got.len() < 2 {
        let frame = b.engine_event("a recent frame", |event| match event {
            TransportEvent::Frame { bytes, .. } => Some(bytes),
            _ => None,
        });
        got.push(frame.await);
    }
    // The two lanes may overtake each other.
    got.sort();
    assert_eq!(got, ["part before anybody came", "vote before anybody came"]);
    a.broadcast(FrameClass::Status, "new status");
    assert_eq!(b.frame(FrameClass::Status).await, "new status", "a status is never replayed");
}

/// Lets the node's engine take everything that comes.
fn drained(node: Node) -> Network {
    let Node { network, mut transport, .. } = node;
    tokio::spawn(async move { while transport.events.recv().await.is_some() {} });
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_that_only_dial_reach_each_other_through_others() {
    let mut a = Node::start(1, Listen::Nowhere).await;
    let mut b = Node::start(2, Listen::Nowhere).await;
    let mut c = Node::start(3, Listen::Tcp).await;
    let mut d = Node::start(4, Listen::Quic).await;
    introduce(&mut [&mut a, &mut b, &mut c, &mut d]).await;
    let relays = [&c, &d].map(|node| engine_peer(node.network.local_peer()));
    // A relay whose engine is stuck stops reading, and so relaying.
    let (c, d) = (drained(c), drained(d));
    // Frames sent before the relays know that they are needed are lost; the engine repeats.
    let (mut sent, mut first) = (0, None);
    within("the first relayed frame", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        while first.is_none() {
            tokio::select! {
                _ = tick.tick() => {
                    a.broadcast(FrameClass::Control, format!("warm-up {sent}"));
                    sent += 1;
                }
                event = b.transport.events.recv() => {
                    if let Some(TransportEvent::Frame { from, .. }) = event {
                        first = Some(from);
                    }
                }
            }
        }
    })
    .await;
    assert!(relays.contains(&first.unwrap()), "a relayed frame comes from its relay");

    let check = async |a: &Node, b: &mut Node, prefix: &str| {
        for class in [FrameClass::Control, FrameClass::Bulk] {
            let frames = numbered(prefix, 100, 1_000);
            for frame in &frames {
                a.broadcast(class, frame.clone());
            }
            a.broadcast(class, "end");
            let (mut got, mut ended) = (Vec::new(), false);
            // Two relays may swap neighbours, the end and the frame before it too.
            while !ended || got.len() < frames.len() {
                match b.frame(class).await {
                    end if end == "end" => ended = true,
                    frame if frame.starts_with(prefix.as_bytes()) => got.push(frame),
                    _warm_up => {}
                }
            }
            got.sort();
            assert!(got == frames, "{prefix}: each frame once, though two members relay it");
        }
    };
    check(&a, &mut b, "with two relays").await;
    d.shutdown().await;
    check(&a, &mut b, "with one relay").await;
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_requests_are_answered_or_fail_each_once() {
    let (mut a, mut b) = (Node::start(1, Listen::Both).await, Node::start(2, Listen::Both).await);
    introduce(&mut [&mut a, &mut b]).await;
    let to_b = engine_peer(b.network.local_peer());
    let ask = |node: &Node, request: u64| {
        let bytes = Bytes::from(format!("from {request}"));
        let command = TransportCommand::SyncRequest { peer: to_b, request, bytes };
        node.transport.commands.send(command).unwrap();
    };
    let blocks = vec![7; 9 << 20];
    for request in [1, 2] {
        ask(&a, request);
        let (inbound, bytes) = b
            .engine_event("a sync request", |event| match event {
                TransportEvent::SyncRequest { inbound, bytes, .. } => Some((inbound, bytes)),
                _ => None,
            })
            .await;
        assert_eq!(bytes, format!("from {request}"));
        let bytes = (request == 1).then(|| blocks.clone().into());
        b.transport.commands.send(TransportCommand::SyncRespond { inbound, bytes }).unwrap();
    }
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        let outcome = a.engine_event("an outcome", |event| match event {
            TransportEvent::SyncResponse { request, bytes, .. } => Some((request, Some(bytes))),
            TransportEvent::SyncRequestFailed { request, .. } => Some((request, None)),
            _ => None,
        });
        outcomes.push(outcome.await);
    }
    outcomes.sort_by_key(|(request, _)| *request);
    assert_eq!(outcomes[0].0, 1);
    assert!(outcomes[0].1.as_ref().is_some_and(|bytes| bytes[..] == blocks[..]));
    assert_eq!(outcomes[1], (2, None), "dropped unanswered");

    b.network.shutdown().await;
    ask(&a, 3);
    let failed = a.engine_event("the failure", |event| match event {
        TransportEvent::SyncRequestFailed { request, .. } => Some(request),
        _ => None,
    });
    assert_eq!(failed.await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_told_once_that_the_network_is_ready() {
    let mut nodes = [
        Node::start(1, Listen::Both).await,
        Node::start(2, Listen::Tcp).await,
        Node::start(3, Listen::Quic).await,
        Node::start(4, Listen::Nowhere).await,
    ];
    introduce(&mut nodes.each_mut()[..]).await;
    for node in &mut nodes {
        let mut up = 0;
        node.engine_event("Ready", |event| match event {
            TransportEvent::PeerUp(_) => {
                up += 1;
                None
            }
            TransportEvent::Ready => Some(()),
            _ => None,
        })
        .await;
        assert!(up >= 2, "a quorum of four is two others, {up} were linked");
    }
}
