//! Frames between members.

use bytes::Bytes;
use fedledger_ledger::codec::{from_canonical, to_canonical};
use fedledger_ledger::ids::Height;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_types::{PolkaCertificate, RoundCertificate};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::wire::{WireMessage, WirePolka, WireRef, WireRound};
use super::{WireError, MESSAGE_BYTES_MAX};
use crate::context::{BlockPart, Ctx, EngineHeight};
use crate::parts::PART_BYTES;
use crate::transport::FrameClass;

/// What members send each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A vote or a proposal.
    Message(SignedConsensusMsg<Ctx>),
    /// A quorum of prevotes, which lets others lock the same block.
    Polka(PolkaCertificate<Ctx>),
    /// The votes that let others enter a round.
    Round(RoundCertificate<Ctx>),
    /// A piece of a proposed block.
    Part(BlockPart),
    /// Where the sender's chain stands.
    Status {
        /// Its last decided height; 0 for none.
        tip: Height,
        /// The first height that it can serve.
        first: Height,
    },
}

#[derive(Encode, Decode)]
enum WireFrame {
    #[n(0)]
    Message(#[n(0)] WireMessage),
    #[n(1)]
    Polka(#[n(0)] WirePolka),
    #[n(2)]
    Round(#[n(0)] WireRound),
    #[n(3)]
    Part(#[n(0)] WirePart),
    #[n(4)]
    Status(#[n(0)] u64, #[n(1)] u64),
}

#[derive(Encode, Decode)]
struct WirePart {
    #[n(0)]
    height: u64,
    #[n(1)]
    block: WireRef,
    #[n(2)]
    index: u32,
    #[n(3)]
    bytes: ByteVec,
}

impl Frame {
    /// How the frame is queued.
    pub fn class(&self) -> FrameClass {
        match self {
            Self::Message(_) | Self::Polka(_) | Self::Round(_) => FrameClass::Control,
            Self::Part(_) => FrameClass::Bulk,
            Self::Status { .. } => FrameClass::Status,
        }
    }
}

/// Encodes a frame.
///
/// # Errors
/// When a message has no consensus round.
pub fn encode_frame(frame: &Frame) -> Result<Bytes, WireError> {
    let wire = match frame {
        Frame::Message(message) => WireFrame::Message(WireMessage::of(message)?),
        Frame::Polka(polka) => WireFrame::Polka(WirePolka::of(polka)?),
        Frame::Round(certificate) => WireFrame::Round(WireRound::of(certificate)?),
        Frame::Part(part) => WireFrame::Part(WirePart {
            height: part.height.0,
            block: part.block.into(),
            index: part.index,
            bytes: part.bytes.to_vec().into(),
        }),
        Frame::Status { tip, first } => WireFrame::Status(tip.0, first.0),
    };
    Ok(to_canonical(&wire).into())
}

/// Reads a frame that arrived in `class`.
///
/// # Errors
/// When it is too long for its class, not the canonical encoding of a frame, over a count's limit,
/// or belongs to another class.
pub fn decode_frame(class: FrameClass, bytes: &[u8]) -> Result<Frame, WireError> {
    let bytes_max = match class {
        FrameClass::Control | FrameClass::Status => MESSAGE_BYTES_MAX,
        FrameClass::Bulk => PART_BYTES + 256,
    };
    let frame = match from_canonical("consensus frame", bytes, bytes_max)? {
        WireFrame::Message(message) => Frame::Message(message.into()),
        WireFrame::Polka(polka) => Frame::Polka(polka.try_into()?),
        WireFrame::Round(certificate) => Frame::Round(certificate.try_into()?),
        WireFrame::Part(part) => Frame::Part(BlockPart {
            height: EngineHeight(part.height),
            block: part.block.into(),
            index: part.index,
            bytes: Vec::from(part.bytes).into(),
        }),
        WireFrame::Status(tip, first) => Frame::Status { tip: Height(tip), first: Height(first) },
    };
    if frame.class() == class {
        Ok(frame)
    } else {
        Err(WireError::WrongClass { expected: class, found: frame.class() })
    }
}
