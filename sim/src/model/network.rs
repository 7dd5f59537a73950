//! The one face that training sees of the models.

use super::{conv, dense};

/// A model's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Dense(dense::Dense),
    Conv(conv::Conv),
}

/// Room for one row's way through a network.
#[derive(Debug, Clone)]
pub(super) enum Room {
    Dense(dense::Room),
    Conv(conv::Room),
}

impl Network {
    pub(super) fn features(self) -> usize {
        match self {
            Self::Dense(dense) => dense.features,
            Self::Conv(conv) => conv.features(),
        }
    }

    /// 1, the logit of class 1, or one for each class.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Dense(dense) => dense.outputs,
            Self::Conv(conv) => conv.outputs,
        }
    }

    pub(super) fn parameters(self) -> usize {
        match self {
            Self::Dense(dense) => dense.parameters(),
            Self::Conv(conv) => conv.parameters(),
        }
    }

    /// Whether outputs are a linear function of the features.
    pub(super) fn is_linear(self) -> bool {
        matches!(self, Self::Dense(dense) if dense.hidden == 0)
    }

    pub(super) fn room(self) -> Room {
        match self {
            Self::Dense(dense) => Room::Dense(dense.room()),
            Self::Conv(conv) => Room::Conv(conv.room()),
        }
    }

    /// Logits of each of `rows` (row-major), row by row.
    pub(super) fn logits(self, model: &[f32], rows: &[f32]) -> Vec<f32> {
        match self {
            Self::Dense(dense) => dense.logits(model, rows),
            Self::Conv(conv) => conv.logits(model, rows),
        }
    }

    /// Adds `scale` × the gradient of one row's loss to `gradient`, and returns the loss when it is
    /// `wanted`, else 0.
    ///
    /// # Panics
    /// When `room` is another network's, or a length differs.
    pub(super) fn add_gradient(
        self,
        model: &[f32],
        row: (&[f32], u32),
        how: (f32, bool),
        room: &mut Room,
        gradient: &mut [f32],
    ) -> f64 {
        match (self, room) {
            (Self::Dense(dense), Room::Dense(room)) => {
                dense.add_gradient(model, row, how, room, gradient)
            }
            (Self::Conv(conv), Room::Conv(room)) => {
                conv.add_gradient(model, row, how, room, gradient)
            }
            _ => panic!("the room is another network's"),
        }
    }
}
