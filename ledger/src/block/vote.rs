//! The bytes that a vote signs: CometBFT's `CanonicalVote` with a constant time.

use serde::{Deserialize, Serialize};

use crate::ids::{ChainId, Digest, Height};

/// The two kinds of vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteType {
    /// The first vote of a consensus round.
    Prevote,
    /// The second one: more than two thirds of them decide.
    Precommit,
}

/// The bytes that a validator signs for a vote, length-prefixed as CometBFT has them:
/// `{1: type, 2: height sfixed64, 3: round sfixed64 (left out when 0), 4: block id (left out for
/// nil), 5: time = 1970-01-01, 6: chain id}`. The time is a constant because the engine rebuilds a
/// precommit from height, round, value and address alone; block id and part set are the same hash.
///
/// They are written here by hand because `height` and `round` may come from a peer's message: this
/// never fails, while the `tendermint` crate's types refuse values over their ranges. A test holds
/// the two against each other.
pub fn vote_sign_bytes(
    chain_id: &ChainId,
    vote_type: VoteType,
    height: Height,
    round: u32,
    block: Option<Digest>,
) -> Vec<u8> {
    let mut vote = vec![0x08, if vote_type == VoteType::Prevote { 1 } else { 2 }];
    if height.0 != 0 {
        vote.push(0x11);
        vote.extend(height.0.to_le_bytes());
    }
    if round != 0 {
        vote.push(0x19);
        vote.extend(u64::from(round).to_le_bytes());
    }
    if let Some(hash) = block {
        vote.extend([0x22, 0x48, 0x0a, 0x20]);
        vote.extend(hash.0);
        vote.extend([0x12, 0x24, 0x08, 0x01, 0x12, 0x20]);
        vote.extend(hash.0);
    }
    vote.extend([0x2a, 0x00]);
    let name = chain_id.as_str().as_bytes();
    vote.extend([0x32, u8::try_from(name.len()).expect("a chain id has at most 50 bytes")]);
    vote.extend(name);
    // A varint: the longest vote has 2 + 9 + 9 + 74 + 2 + 52 = 148 bytes, more than one byte holds.
    let length = u8::try_from(vote.len()).expect("no vote has more than 148 bytes");
    let prefix = if length < 0x80 { vec![length] } else { vec![length, 1] };
    [prefix, vote].concat()
}
