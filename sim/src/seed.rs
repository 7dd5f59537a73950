//! Independent streams of randomness from one seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Opens the stream for `purpose` and two indices (a member, a round).
///
/// Streams of different purposes or indices are independent, so that members can train in any
/// order or in parallel and still draw the same numbers.
pub fn stream(seed: u64, purpose: &str, first: u64, second: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(purpose.as_bytes()).to_le_bytes());
    key[16..24].copy_from_slice(&first.to_le_bytes());
    key[24..].copy_from_slice(&second.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// 64-bit FNV-1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::stream;

    #[test]
    fn streams_repeat_and_differ() {
        let first = stream(1, "shuffle", 2, 3).next_u64();
        assert_eq!(first, stream(1, "shuffle", 2, 3).next_u64());
        for other in [
            stream(2, "shuffle", 2, 3),
            stream(1, "split", 2, 3),
            stream(1, "shuffle", 3, 3),
            stream(1, "shuffle", 2, 4),
        ] {
            assert_ne!(first, other.clone().next_u64());
        }
    }
}
