//! A small convolutional network: filters of 3 × 3 without padding, rectified, averaged over squares
//! of 2 × 2 (a rest at the right and lower edge is left out), and a linear layer on top.
//!
//! The flat model is `conv.bias` (filters), `conv.weight` (filters × channels × 3 × 3), `output.bias`
//! (outputs), `output.weight` (outputs × filters·rows·columns). A row of data is an image, pixel by
//! pixel, the channels of each pixel together. One output stands for the logit of class 1, several for
//! one logit a class, as in [`super::dense`].

use super::dense::{loss, slopes};
use super::kernel::{add_scaled, dot};

/// Side of a filter.
pub(super) const SIDE: usize = 3;

/// Lengths of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conv {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) filters: usize,
    pub(super) outputs: usize,
}

/// A flat model, or its gradient, cut into its parts.
struct Parts<T> {
    conv_bias: T,
    conv_weight: T,
    output_bias: T,
    output_weight: T,
}

/// Room for one image's way through the network.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// channels × height × width.
    planes: Vec<f32>,
    /// filters × rows × columns, rectified; then their slopes.
    maps: Vec<f32>,
    pooled: Vec<f32>,
    back: Vec<f32>,
    outputs: Vec<f32>,
}

impl Conv {
    /// Rows and columns of a filter's map.
    fn map(self) -> (usize, usize) {
        (self.height.saturating_sub(SIDE - 1), self.width.saturating_sub(SIDE - 1))
    }

    /// Rows and columns of an averaged map.
    fn small(self) -> (usize, usize) {
        let (rows, columns) = self.map();
        (rows / 2, columns / 2)
    }

    pub(super) fn features(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Length of what the linear layer sees.
    pub(super) fn pooled(self) -> usize {
        let (rows, columns) = self.small();
        self.filters * rows * columns
    }

    pub(super) fn parameters(self) -> usize {
        self.filters * (1 + self.channels * SIDE * SIDE) + self.outputs * (1 + self.pooled())
    }

    pub(super) fn room(self) -> Room {
        let (rows, columns) = self.map();
        Room {
            planes: vec![0.0; self.features()],
            maps: vec![0.0; self.filters * rows * columns],
            pooled: vec![0.0; self.pooled()],
            back: vec![0.0; self.pooled()],
            outputs: vec![0.0; self.outputs],
        }
    }

    fn parts(self, model: &[f32]) -> Parts<&[f32]> {
        assert_eq!(model.len(), self.parameters(), "one value for each parameter");
        let (conv_bias, rest) = model.split_at(self.filters);
        let (conv_weight, rest) = rest.split_at(self.filters * self.channels * SIDE * SIDE);
        let (output_bias, output_weight) = rest.split_at(self.outputs);
        Parts { conv_bias, conv_weight, output_bias, output_weight }
    }

    fn parts_mut(self, gradient: &mut [f32]) -> Parts<&mut [f32]> {
        assert_eq!(gradient.len(), self.parameters(), "one value for each parameter");
        let (conv_bias, rest) = gradient.split_at_mut(self.filters);
        let (conv_weight, rest) = rest.split_at_mut(self.filters * self.channels * SIDE * SIDE);
        let (output_bias, output_weight) = rest.split_at_mut(self.outputs);
        Parts { conv_bias, conv_weight, output_bias, output_weight }
    }

    /// Where row `y` of plane `channel` starts, moved by `x`.
    fn at(self, channel: usize, y: usize, x: usize) -> usize {
        (channel * self.height + y) * self.width + x
    }

    /// Leaves maps, averages and logits of `image` in `room`.
    fn forward(self, parts: &Parts<&[f32]>, image: &[f32], room: &mut Room) {
        for (pixel, values) in image.chunks_exact(self.channels).enumerate() {
            for (channel, value) in values.iter().enumerate() {
                room.planes[channel * self.height * self.width + pixel] = *value;
            }
        }
        let (rows, columns) = self.map();
        let weights = parts.conv_weight.chunks_exact(self.channels * SIDE * SIDE);
        let maps = room.maps.chunks_exact_mut((rows * columns).max(1));
        for ((map, weight), bias) in maps.zip(weights).zip(parts.conv_bias) {
            map.fill(*bias);
            for (k, factor) in weight.iter().enumerate() {
                let (channel, dy, dx) = (k / (SIDE * SIDE), k / SIDE % SIDE, k % SIDE);
                for (y, line) in map.chunks_exact_mut(columns.max(1)).enumerate() {
                    let start = self.at(channel, y + dy, dx);
                    add_scaled(line, *factor, &room.planes[start..start + columns]);
                }
            }
            map.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        self.average(room);
        let weights = parts.output_weight.chunks_exact(room.pooled.len().max(1));
        for ((output, weight), bias) in room.outputs.iter_mut().zip(weights).zip(parts.output_bias)
        {
            *output = dot(weight, &room.pooled) + bias;
        }
    }

    /// Averages of squares of the maps.
    fn average(self, room: &mut Room) {
        let ((rows, columns), (small_rows, small_columns)) = (self.map(), self.small());
        for (k, value) in room.pooled.iter_mut().enumerate() {
            let (filter, cell) =
                (k / (small_rows * small_columns), k % (small_rows * small_columns));
            let corner = filter * rows * columns + cell / small_columns * 2 * columns;
            let corner = corner + cell % small_columns * 2;
            let (upper, lower) = (&room.maps[corner..], &room.maps[corner + columns..]);
            *value = 0.25 * (upper[0] + upper[1] + lower[0] + lower[1]);
        }
    }

    pub(super) fn logits(self, model: &[f32], images: &[f32]) -> Vec<f32> {
        let parts = self.parts(model);
        let mut room = self.room();
        let mut logits = Vec::with_capacity(images.len() / self.features().max(1) * self.outputs);
        for image in images.chunks_exact(self.features().max(1)) {
            self.forward(&parts, image, &mut room);
            logits.extend_from_slice(&room.outputs);
        }
        logits
    }

    /// Adds `scale` × the gradient of one image's loss to `gradient`, and returns the loss when it is
    /// `wanted`, else 0.
    pub(super) fn add_gradient(
        self,
        model: &[f32],
        (image, label): (&[f32], u32),
        (scale, wanted): (f32, bool),
        room: &mut Room,
        gradient: &mut [f32],
    ) -> f64 {
        let parts = self.parts(model);
        self.forward(&parts, image, room);
        let loss = if wanted { loss(&room.outputs, label) } else { 0.0 };
        slopes(&mut room.outputs, label);
        let own = self.parts_mut(gradient);
        room.back.fill(0.0);
        let width = room.pooled.len().max(1);
        let weights = own.output_weight.chunks_exact_mut(width);
        let known = parts.output_weight.chunks_exact(width);
        for (((slope, bias), weight), known) in
            room.outputs.iter().zip(own.output_bias).zip(weights).zip(known)
        {
            let slope = scale * slope;
            *bias += slope;
            add_scaled(weight, slope, &room.pooled);
            add_scaled(&mut room.back, slope, known);
        }
        self.spread(room);
        let (rows, columns) = self.map();
        let weights = own.conv_weight.chunks_exact_mut(self.channels * SIDE * SIDE);
        let maps = room.maps.chunks_exact((rows * columns).max(1));
        for ((map, weight), bias) in maps.zip(weights).zip(own.conv_bias) {
            *bias += map.iter().sum::<f32>();
            for (k, slope) in weight.iter_mut().enumerate() {
                let (channel, dy, dx) = (k / (SIDE * SIDE), k / SIDE % SIDE, k % SIDE);
                for (y, line) in map.chunks_exact(columns.max(1)).enumerate() {
                    let start = self.at(channel, y + dy, dx);
                    *slope += dot(line, &room.planes[start..start + columns]);
                }
            }
        }
        loss
    }

    /// Replaces each activation by its slope: a quarter of its square's, 0 where it is inactive or in
    /// the rest at an edge.
    fn spread(self, room: &mut Room) {
        let ((rows, columns), (small_rows, small_columns)) = (self.map(), self.small());
        for (k, value) in room.maps.iter_mut().enumerate() {
            let (filter, y, x) = (k / (rows * columns), k / columns % rows, k % columns);
            let inside = y / 2 < small_rows && x / 2 < small_columns;
            *value = if *value > 0.0 && inside {
                0.25 * room.back[(filter * small_rows + y / 2) * small_columns + x / 2]
            } else {
                0.0
            };
        }
    }
}

#[cfg(test)]
mod tests;
