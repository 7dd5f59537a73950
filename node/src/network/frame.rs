//! The bytes of a frame on a stream:
//! `length u32 | kind u8 | hop u8 | sequence u64 | [origin 32 bytes, when hop is 1] | payload`,
//! integers big-endian, `length` that of everything after it.

use bytes::{BufMut, Bytes, BytesMut};
use fedledger_consensus::transport::{FrameClass, BULK_FRAME_BYTES_MAX, CONTROL_FRAME_BYTES_MAX};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::MEMBERS_MAX;
use libp2p::StreamProtocol;

const HEADER_BYTES: usize = 10;
const ORIGIN_BYTES: usize = 32;
const HOP_OFFSET: usize = 1;

/// A one-way stream between two members. Frames of one lane keep their order; a proposal's parts do
/// not hold up votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Control,
    Bulk,
}

impl Lane {
    pub(super) const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    pub(super) fn protocol(self) -> StreamProtocol {
        match self {
            Self::Control => StreamProtocol::new("/fedledger/control/1"),
            Self::Bulk => StreamProtocol::new("/fedledger/bulk/1"),
        }
    }

    /// Longest frame without its length.
    pub(super) fn frame_bytes_max(self) -> usize {
        let payload = match self {
            Self::Control => CONTROL_FRAME_BYTES_MAX,
            Self::Bulk => BULK_FRAME_BYTES_MAX,
        };
        HEADER_BYTES + ORIGIN_BYTES + payload
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The engine's.
    Engine(FrameClass),
    /// The members that the sender cannot reach directly, as network keys of 32 bytes each: please
    /// pass its frames on to them.
    Unreached,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Engine(FrameClass::Control) => 1,
            Self::Engine(FrameClass::Bulk) => 2,
            Self::Engine(FrameClass::Status) => 3,
            Self::Unreached => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Engine(FrameClass::Control),
            2 => Self::Engine(FrameClass::Bulk),
            3 => Self::Engine(FrameClass::Status),
            4 => Self::Unreached,
            _ => return None,
        })
    }

    pub(super) fn lane(self) -> Lane {
        match self {
            Self::Engine(FrameClass::Bulk) => Lane::Bulk,
            _ => Lane::Control,
        }
    }

    /// Whether the frame may be passed on to a member that its origin cannot reach.
    pub(super) fn is_relayed(self) -> bool {
        matches!(self, Self::Engine(FrameClass::Control | FrameClass::Bulk))
    }

    /// Longest payload.
    pub(super) fn payload_bytes_max(self) -> usize {
        match self {
            Self::Engine(FrameClass::Bulk) => BULK_FRAME_BYTES_MAX,
            Self::Engine(_) => CONTROL_FRAME_BYTES_MAX,
            Self::Unreached => MEMBERS_MAX * ORIGIN_BYTES,
        }
    }
}

/// A frame taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Who made it, when it was relayed.
    pub(super) origin: Option<PublicKey>,
    /// Counts the origin's frames. It keeps a deliberate repetition apart from a relayed duplicate.
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
}

/// Puts a frame of ours together.
pub(super) fn encode(kind: Kind, sequence: u64, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + payload.len());
    bytes.put_u8(kind.byte());
    bytes.put_u8(0);
    bytes.put_u64(sequence);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// The form in which a frame that arrived directly is passed on.
pub(super) fn relayed(direct: &[u8], origin: &PublicKey) -> Bytes {
    let mut bytes = BytesMut::with_capacity(direct.len() + ORIGIN_BYTES);
    bytes.put_slice(&direct[..HEADER_BYTES]);
    bytes[HOP_OFFSET] = 1;
    bytes.put_slice(&origin.0);
    bytes.put_slice(&direct[HEADER_BYTES..]);
    bytes.freeze()
}

/// Takes a frame that arrived on `lane` apart; `None` when it is not one.
pub(super) fn decode(lane: Lane, bytes: &Bytes) -> Option<Frame> {
    let kind = Kind::from_byte(*bytes.first()?)?;
    let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
    let sequence = u64::from_be_bytes(header[2..].try_into().expect("eight bytes are left"));
    let (origin, start) = match header[HOP_OFFSET] {
        0 => (None, HEADER_BYTES),
        1 if kind.is_relayed() => {
            let origin = body.get(..ORIGIN_BYTES)?.try_into().expect("the length was asked for");
            (Some(PublicKey(origin)), HEADER_BYTES + ORIGIN_BYTES)
        }
        _ => return None,
    };
    let payload = bytes.slice(start..);
    let fits = kind.lane() == lane && payload.len() <= kind.payload_bytes_max();
    fits.then_some(Frame { kind, origin, sequence, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_its_way_direct_and_relayed() {
        for class in [FrameClass::Control, FrameClass::Bulk] {
            let kind = Kind::Engine(class);
            let bytes = encode(kind, 7, b"payload");
            let direct = decode(kind.lane(), &bytes).unwrap();
            assert_eq!((direct.kind, direct.origin, direct.sequence), (kind, None, 7));
            assert_eq!(&direct.payload[..], b"payload");
            let origin = PublicKey([9; 32]);
            let passed_on = decode(kind.lane(), &relayed(&bytes, &origin)).unwrap();
            assert_eq!(passed_on, Frame { origin: Some(origin), ..direct });
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        let good = encode(Kind::Engine(FrameClass::Control), 1, b"x");
        assert!(decode(Lane::Bulk, &good).is_none(), "a vote on the lane of proposal parts");
        assert!(decode(Lane::Control, &good.slice(..9)).is_none(), "cut in the header");
        let bent = |index: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[index] = byte;
            Bytes::from(bytes)
        };
        assert!(decode(Lane::Control, &bent(0, 0)).is_none(), "unknown kind");
        assert!(decode(Lane::Control, &bent(0, 5)).is_none(), "unknown kind");
        assert!(decode(Lane::Control, &bent(1, 2)).is_none(), "two hops");
        assert!(decode(Lane::Control, &bent(1, 1)).is_none(), "relayed without its origin");
        let status = encode(Kind::Engine(FrameClass::Status), 1, b"tip");
        let status = relayed(&status, &PublicKey([9; 32]));
        assert!(decode(Lane::Control, &status).is_none(), "a relayed status");
        let long = vec![0; CONTROL_FRAME_BYTES_MAX + 1];
        let long = encode(Kind::Engine(FrameClass::Control), 1, &long);
        assert!(decode(Lane::Control, &long).is_none(), "longer than a control frame");
        assert!(decode(Lane::Control, &Bytes::new()).is_none(), "empty");
    }
}
