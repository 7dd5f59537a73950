use bytes::Bytes;
use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::keys::Signature;
use malachitebft_app_channel::app::types::codec::Codec;
use malachitebft_app_channel::app::types::sync::{RawDecidedValue, Request, Response, Status};
use malachitebft_app_channel::app::types::{ProposedValue, SignedConsensusMsg};
use malachitebft_core_types::{
    ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, PolkaCertificate, PolkaSignature,
    Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, Validity,
    VoteType,
};
use malachitebft_sync::{ValueRequest, ValueResponse};
use proptest::prelude::*;

use super::*;
use crate::context::{Address, BlockPart, BlockRef, Ctx, EngineHeight, Proposal, Vote};
use crate::testkit::MemoryNetwork;

fn address(i: u8) -> Address {
    Address(ValidatorAddress([i; 20]))
}

fn signature(i: u8) -> Signature {
    Signature([i; 64])
}

fn block_ref() -> BlockRef {
    BlockRef { id: Digest::of(b"block"), size: 77 }
}

fn vote(vote_type: VoteType, value: NilOrVal<Digest>) -> SignedConsensusMsg<Ctx> {
    let (height, round) = (EngineHeight(7), Round::new(2));
    let vote = Vote { vote_type, height, round, value, address: address(1) };
    SignedConsensusMsg::Vote(SignedMessage::new(vote, signature(2)))
}

fn proposal(pol_round: Round) -> SignedConsensusMsg<Ctx> {
    let (height, round) = (EngineHeight(7), Round::new(2));
    let proposal = Proposal { height, round, value: block_ref(), pol_round, address: address(1) };
    SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature(2)))
}

fn polka(signatures: usize) -> PolkaCertificate<Ctx> {
    PolkaCertificate {
        height: EngineHeight(7),
        round: Round::new(0),
        value_id: Digest::of(b"block"),
        polka_signatures: (0..signatures)
            .map(|i| PolkaSignature::new(address(i as u8), signature(i as u8)))
            .collect(),
    }
}

fn round_certificate(votes: usize) -> RoundCertificate<Ctx> {
    let vote = |i: usize| {
        let value =
            if i.is_multiple_of(2) { NilOrVal::Nil } else { NilOrVal::Val(Digest::of(b"block")) };
        let kind = if i.is_multiple_of(3) { VoteType::Prevote } else { VoteType::Precommit };
        RoundSignature::new(kind, value, address(i as u8), signature(i as u8))
    };
    RoundCertificate {
        height: EngineHeight(7),
        round: Round::new(4),
        cert_type: RoundCertificateType::Skip,
        round_signatures: (0..votes).map(vote).collect(),
    }
}

fn part() -> BlockPart {
    BlockPart {
        height: EngineHeight(7),
        block: block_ref(),
        index: 0,
        bytes: Bytes::from_static(&[5; 77]),
    }
}

fn frames() -> Vec<Frame> {
    vec![
        Frame::Message(vote(VoteType::Prevote, NilOrVal::Nil)),
        Frame::Message(vote(VoteType::Precommit, NilOrVal::Val(Digest::of(b"block")))),
        Frame::Message(proposal(Round::Nil)),
        Frame::Message(proposal(Round::new(1))),
        Frame::Polka(polka(3)),
        Frame::Round(round_certificate(5)),
        Frame::Part(part()),
        Frame::Status { tip: Height(9), first: Height(1) },
    ]
}

fn response() -> Response<Ctx> {
    let certificate = |height| ExtendedCommitCertificate {
        height: EngineHeight(height),
        round: Round::new(0),
        value_id: Digest::of(b"block"),
        commit_signatures: (0..3)
            .map(|i| ExtendedCommitSignature::new(address(i), signature(i), None))
            .collect(),
    };
    let values = (3..5)
        .map(|height| RawDecidedValue::new(Bytes::from_static(b"bytes"), certificate(height)))
        .collect();
    Response::ValueResponse(ValueResponse::new(EngineHeight(3), values))
}

/// Round trip; every cut, and every bent byte, is refused or means something else.
fn check<T: PartialEq + std::fmt::Debug>(
    value: &T,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, WireError>,
) {
    assert_eq!(&decode(bytes).unwrap(), value);
    for at in 0..bytes.len() {
        assert!(decode(&bytes[..at]).is_err(), "the first {at} bytes of {value:?}");
        let mut bent = bytes.to_vec();
        bent[at] ^= 1;
        if let Ok(other) = decode(&bent) {
            assert_ne!(&other, value, "byte {at} can be changed");
        }
    }
    let longer = [bytes, &[0]].concat();
    assert!(decode(&longer).is_err(), "a byte more was accepted after {value:?}");
}

fn check_codec<T>(value: &T)
where
    T: PartialEq + std::fmt::Debug,
    WireCodec: Codec<T, Error = WireError>,
{
    let bytes = WireCodec.encode(value).unwrap();
    check(value, &bytes, |bytes| WireCodec.decode(Bytes::copy_from_slice(bytes)));
}

#[test]
fn frames_round_trip_and_only_in_their_own_class() {
    let classes = [FrameClass::Control, FrameClass::Bulk, FrameClass::Status];
    for frame in frames() {
        let bytes = encode_frame(&frame).unwrap();
        check(&frame, &bytes, |bytes| decode_frame(frame.class(), bytes));
        for class in classes.into_iter().filter(|class| *class != frame.class()) {
            assert!(decode_frame(class, &bytes).is_err(), "{frame:?} came in {class:?}");
        }
    }
}

#[test]
fn log_entries_round_trip() {
    for message in [vote(VoteType::Prevote, NilOrVal::Nil), proposal(Round::new(0))] {
        check_codec(&message);
    }
    check_codec(&polka(4));
    for (validity, valid_round) in
        [(Validity::Valid, Round::Nil), (Validity::Invalid, Round::new(3))]
    {
        check_codec(&ProposedValue::<Ctx> {
            height: EngineHeight(7),
            round: Round::new(5),
            valid_round,
            proposer: address(1),
            value: block_ref(),
            validity,
        });
    }
}

#[test]
fn sync_messages_round_trip() {
    check_codec(&response());
    check_codec::<Request<Ctx>>(&Request::ValueRequest(ValueRequest::new(
        EngineHeight(3)..=EngineHeight(9),
    )));
    check_codec::<Status<Ctx>>(&Status {
        peer_id: MemoryNetwork::peer(3),
        tip_height: EngineHeight(9),
        history_min_height: EngineHeight(1),
    });
}

#[test]
fn a_full_consortium_fits_and_more_is_refused() {
    use fedledger_ledger::limits::MEMBERS_MAX;
    let class = FrameClass::Control;
    for (frame, fits) in [
        (Frame::Polka(polka(MEMBERS_MAX)), true),
        (Frame::Polka(polka(MEMBERS_MAX + 1)), false),
        (Frame::Round(round_certificate(2 * MEMBERS_MAX)), true),
        (Frame::Round(round_certificate(2 * MEMBERS_MAX + 1)), false),
    ] {
        let bytes = encode_frame(&frame).unwrap();
        assert_eq!(decode_frame(class, &bytes).is_ok(), fits, "{} bytes", bytes.len());
    }
}

#[test]
fn a_message_of_no_round_is_never_encoded() {
    let SignedConsensusMsg::Vote(mut vote) = vote(VoteType::Prevote, NilOrVal::Nil) else {
        unreachable!("it is a vote")
    };
    vote.message.round = Round::Nil;
    let frame = Frame::Message(SignedConsensusMsg::Vote(vote));
    assert!(matches!(encode_frame(&frame), Err(WireError::NoRound { .. })));
}

proptest! {
    /// No bytes make a decoder panic, and what is accepted is the one encoding of its value.
    #[test]
    fn decoders_are_total_and_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for class in [FrameClass::Control, FrameClass::Bulk, FrameClass::Status] {
            if let Ok(frame) = decode_frame(class, &bytes) {
                prop_assert_eq!(&encode_frame(&frame).unwrap()[..], &bytes[..]);
            }
        }
        let bytes = Bytes::from(bytes);
        let response: Result<Response<Ctx>, _> = WireCodec.decode(bytes.clone());
        let request: Result<Request<Ctx>, _> = WireCodec.decode(bytes.clone());
        let value: Result<ProposedValue<Ctx>, _> = WireCodec.decode(bytes.clone());
        if let Ok(response) = response {
            prop_assert_eq!(WireCodec.encode(&response).unwrap(), bytes.clone());
        }
        if let Ok(request) = request {
            prop_assert_eq!(WireCodec.encode(&request).unwrap(), bytes.clone());
        }
        if let Ok(value) = value {
            prop_assert_eq!(WireCodec.encode(&value).unwrap(), bytes);
        }
    }

    /// The same from valid frames with a few bytes changed, which get further into the decoders.
    #[test]
    fn bent_frames_are_refused_or_canonical(
        which in 0usize..8, at in any::<prop::sample::Index>(), with in any::<u8>(),
    ) {
        let frame = &frames()[which];
        let mut bytes = encode_frame(frame).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(other) = decode_frame(frame.class(), &bytes) {
            prop_assert_eq!(&encode_frame(&other).unwrap()[..], &bytes[..]);
        }
    }
}
