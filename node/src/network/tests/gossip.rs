//! Transactions and announcements.

use fedledger_ledger::ids::{Digest, MemberId};

use super::super::{GossipVerdict, NetworkEvent, PublishError, GOSSIP_TRANSACTION_BYTES_MAX};
use super::fixture::{introduce, within, Listen, Node};

async fn transaction(node: &mut Node) -> (MemberId, Vec<u8>, GossipVerdict) {
    node.node_event("a transaction", |event| match event {
        NetworkEvent::Transaction { publisher, bytes, verdict } => {
            Some((publisher, bytes, verdict))
        }
        _ => None,
    })
    .await
}

/// Publishes until somebody has subscribed: a link is up a moment before gossip knows the peer.
async fn publish(node: &Node, bytes: &[u8]) {
    within("gossip to know a peer", async {
        while let Err(error) = node.network.publish_transaction(bytes.to_vec()).await {
            assert_eq!(error, PublishError::NoPeers);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_transactions_are_not_passed_on_and_valid_ones_are() {
    // The first and the third cannot connect, so that everything passes through the second.
    let mut a = Node::start(1, Listen::Nowhere).await;
    let mut b = Node::start(2, Listen::Both).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b, &mut c]).await;
    let longest = vec![5; GOSSIP_TRANSACTION_BYTES_MAX];
    for bytes in [&b"rejected"[..], b"dropped", b"accepted", &longest] {
        publish(&a, bytes).await;
        let (publisher, found, verdict) = transaction(&mut b).await;
        assert_eq!(publisher, a.member());
        assert!(found == bytes);
        match bytes {
            b"rejected" => verdict.reject(),
            b"dropped" => drop(verdict),
            _ => verdict.accept(),
        }
    }
    for expected in [&b"accepted"[..], &longest] {
        let (publisher, found, verdict) = transaction(&mut c).await;
        assert_eq!(publisher, a.member(), "named by who published, not by who passed it on");
        assert!(found == expected);
        verdict.accept();
    }
    // The same bytes again are a new message.
    publish(&a, b"accepted").await;
    let (_, _, verdict) = transaction(&mut b).await;
    verdict.accept();
    assert_eq!(transaction(&mut c).await.1, b"accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_name_the_member_that_signed_them() {
    let mut a = Node::start(1, Listen::Nowhere).await;
    let mut b = Node::start(2, Listen::Quic).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b, &mut c]).await;
    let digests: Vec<Digest> = (0..1_000u32).map(|i| Digest::of(&i.to_be_bytes())).collect();
    within("gossip to know a peer", async {
        while a.network.announce_blobs(&digests).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for node in [&mut b, &mut c] {
        let (who, found) = node
            .node_event("an announcement", |event| match event {
                NetworkEvent::BlobsHeld { member, digests } => Some((member, digests)),
                _ => None,
            })
            .await;
        assert_eq!(who, a.member());
        assert_eq!(found, digests);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_reaches_nobody_is_refused() {
    let a = Node::start(1, Listen::Nowhere).await;
    let refused = a.network.publish_transaction(b"alone".to_vec()).await;
    assert_eq!(refused, Err(PublishError::NoPeers));
    let long = vec![0; GOSSIP_TRANSACTION_BYTES_MAX + 1];
    let refused = a.network.publish_transaction(long).await;
    assert!(matches!(refused, Err(PublishError::TooLong { found: 65_537, .. })), "{refused:?}");
    let many = vec![Digest::of(b""); 1_001];
    let refused = a.network.announce_blobs(&many).await;
    assert!(matches!(refused, Err(PublishError::TooLong { found: 1_001, .. })), "{refused:?}");
    a.network.shutdown().await;
    let refused = a.network.publish_transaction(b"late".to_vec()).await;
    assert_eq!(refused, Err(PublishError::Stopped));
}
