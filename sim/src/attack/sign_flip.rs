//! Sign flip: submits −γ × the member's own honest update (Li et al., RSA, AAAI 2019).

use serde::{Deserialize, Serialize};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignFlip {
    /// γ: how far the update is stretched; 1 keeps its norm and passes every norm check.
    pub scale: f32,
}

impl Default for SignFlip {
    fn default() -> Self {
        Self { scale: 4.0 }
    }
}

impl SignFlip {
    pub(super) fn craft(self, own: &[f32]) -> Vec<f32> {
        own.iter().map(|value| -self.scale * value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::SignFlip;

    #[test]
    fn every_sign_turns() {
        assert_eq!(SignFlip { scale: 3.0 }.craft(&[1.0, -0.5, 0.0]), [-3.0, 1.5, 0.0]);
    }
}
