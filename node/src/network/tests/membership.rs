//! Who is let in, and when.

use fedledger_consensus::transport::{FrameClass, TransportEvent};

use super::super::hub::engine_peer;
use super::super::NetworkEvent;
use super::fixture::{introduce, Listen, Node};

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_is_cut_off_at_once_and_may_come_back() {
    let mut a = Node::start(1, Listen::Both).await;
    let mut b = Node::start(2, Listen::Tcp).await;
    let mut c = Node::start(3, Listen::Quic).await;
    introduce(&mut [&mut a, &mut b, &mut c]).await;
    a.network.set_members(vec![a.listed(), c.listed()]).await;
    let peer_a = engine_peer(a.network.local_peer());
    b.engine_event("to be cut off", |event| match event {
        TransportEvent::PeerDown(peer) if peer == peer_a => Some(()),
        _ => None,
    })
    .await;
    let gone = a.node_event("the member to go", |event| match event {
        NetworkEvent::MemberDisconnected(member) => Some(member),
        _ => None,
    });
    assert_eq!(gone.await, b.member());
    let left: Vec<_> = a.network.peers().into_iter().map(|status| status.member).collect();
    assert_eq!(left, [c.member()]);

    // What the first says now reaches the third and not the second, directly or relayed; what the
    // second says reaches the third and not the first.
    let first = a.network.local_peer();
    let received = |node: &Node| {
        let statuses = node.network.peers();
        statuses.into_iter().find(|status| status.peer == first).unwrap().frames_received
    };
    let before = received(&b);
    a.broadcast(FrameClass::Control, "for members");
    b.broadcast(FrameClass::Control, "from outside");
    let mut got = [c.frame(FrameClass::Control).await, c.frame(FrameClass::Control).await];
    got.sort();
    assert_eq!(got, ["for members", "from outside"]);
    c.broadcast(FrameClass::Control, "from inside");
    assert_eq!(a.frame(FrameClass::Control).await, "from inside");
    assert_eq!(b.frame(FrameClass::Control).await, "from inside");
    assert_eq!(received(&b), before);

    a.network.set_members(vec![a.listed(), b.listed(), c.listed()]).await;
    b.connected_to(&[a.member()]).await;
    assert_eq!(b.frame(FrameClass::Control).await, "for members", "recent frames come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_member_is_linked_again_over_each_transport() {
    for listen in [Listen::Tcp, Listen::Quic] {
        let mut a = Node::start(1, listen).await;
        let mut b = Node::start(2, Listen::Nowhere).await;
        introduce(&mut [&mut a, &mut b]).await;
        let members = vec![a.listed(), b.listed()];
        // Dropped without a goodbye, as far as a process can do that to itself.
        drop(b);
        let mut b = Node::start(2, Listen::Nowhere).await;
        b.network.set_members(members).await;
        b.connected_to(&[a.member()]).await;
        b.broadcast(FrameClass::Control, "back again");
        assert_eq!(a.frame(FrameClass::Control).await, "back again");
        a.broadcast(FrameClass::Control, "welcome");
        assert_eq!(b.frame(FrameClass::Control).await, "welcome");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_bound_is_named() {
    use super::super::{Network, NetworkConfig, NetworkError};
    let a = Node::start(1, Listen::Tcp).await;
    let taken = a.network.listen_addresses()[0].clone();
    let key = super::fixture::key(2);
    let config = NetworkConfig { key, listen: vec![taken.clone()], members: Vec::new() };
    let source = std::sync::Arc::new(super::fixture::Nothing);
    match Network::start(config, source, a.store.clone()).await.err() {
        Some(NetworkError::Listen { address, .. }) => assert_eq!(address, taken),
        other => panic!("{other:?}"),
    }
}
