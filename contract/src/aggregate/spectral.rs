//! Directions of greatest variance, found in the n × n matrix of inner products alone.
//!
//! A direction v = Σ_j a_j·(x_j − μ) is held by its coefficients a. With the centred products
//! `K_ij = ⟨x_i − μ, x_j − μ⟩` the projection of x_i − μ on v is p_i = (K·a)_i, and a step of the
//! power iteration for the covariance `Σ c_i·(x_i − μ)(x_i − μ)ᵀ` is a_i ← c_i·p_i. So the d
//! coordinates are touched once, for the distances.
//!
//! Numbers: distances are shifted by the same number of bits until the greatest has 56 bits, weights
//! c are at most 2^20, coefficients a below 2^30 in magnitude; nothing below leaves i128.

/// Binary digits of a weight of one.
const WEIGHT_BITS: u32 = 20;
/// A weight of one.
pub(super) const WEIGHT_ONE: u64 = 1 << WEIGHT_BITS;
/// Steps of the power iteration.
const STEPS: usize = 32;
/// Coefficients are below 2 to this.
const COEFFICIENT_BITS: u32 = 30;
/// Distances are below 2 to this.
const DISTANCE_BITS: u32 = 56;
/// Projections are shifted below 2 to this.
const PROJECTION_BITS: u32 = 48;

/// Squared distances, all shifted left or right by as many bits as make the greatest 56 bits long.
pub(super) fn shifted(distances: &[u128]) -> Vec<i128> {
    let greatest = distances.iter().copied().max().unwrap_or(0);
    let length = u128::BITS - greatest.leading_zeros();
    let right = length.saturating_sub(DISTANCE_BITS);
    let left = DISTANCE_BITS.saturating_sub(length);
    distances.iter().map(|&distance| ((distance >> right) << left) as i128).collect()
}

/// K: inner products of the rows less their weighted mean, from the squared distances:
/// `K_ij = (s_i + s_j − m − D_ij) / 2` with `s_i = Σ_k c_k·D_ik / C` and `m = Σ_k c_k·s_k / C`.
/// Divisions round down. Not all weights are zero.
pub(super) fn centred(distances: &[i128], weights: &[u64]) -> Vec<i128> {
    let n = weights.len();
    let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
    let weighted = |of: &dyn Fn(usize) -> i128| -> i128 {
        (0..n).map(|k| i128::from(weights[k]) * of(k)).sum::<i128>().div_euclid(total)
    };
    let spreads: Vec<i128> = (0..n).map(|i| weighted(&|k| distances[i * n + k])).collect();
    let mean = weighted(&|k| spreads[k]);
    (0..n * n).map(|at| (spreads[at / n] + spreads[at % n] - mean - distances[at]) >> 1).collect()
}

/// A direction, by what it does to the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Direction {
    /// The rows' projections, all of them times the same positive number, below 2^48 in magnitude.
    pub(super) projections: Vec<i64>,
    /// The variance along the direction, `Σ c_i·p_i² / (C·‖v‖²)`, rounded down, in units of K.
    pub(super) variance: u128,
    /// ‖v‖² = aᵀ·K·a, shifted right by `shift`, as `projections` are.
    norm: i128,
    shift: u32,
}

impl Direction {
    /// `p·q / ‖v‖²` in units of K, for two projections.
    pub(super) fn part(&self, p: i64, q: i64) -> i128 {
        // Products are below 2^96, remainders below 2^86.
        let product = i128::from(p) * i128::from(q);
        let (quotient, rest) = (product.div_euclid(self.norm), product.rem_euclid(self.norm));
        let near = self.shift.min(40);
        (quotient << self.shift) + (((rest << near).div_euclid(self.norm)) << (self.shift - near))
    }
}

/// The direction of greatest variance, after 32 steps from the row that is farthest from the mean
/// among those with a weight, the lower of equals. `None` when the rows do not differ.
pub(super) fn top(products: &[i128], weights: &[u64]) -> Option<Direction> {
    let n = weights.len();
    let start = (0..n)
        .filter(|&row| weights[row] > 0)
        .max_by_key(|&row| (products[row * n + row], std::cmp::Reverse(row)))?;
    let mut coefficients = vec![0i128; n];
    coefficients[start] = 1 << (COEFFICIENT_BITS - 1);
    for _ in 0..STEPS {
        let projections = project(products, &coefficients);
        let pulled: Vec<i128> = projections
            .iter()
            .zip(weights)
            .map(|(p, &weight)| (p * i128::from(weight)) >> WEIGHT_BITS)
            .collect();
        coefficients = below(&pulled, COEFFICIENT_BITS).0;
    }
    let (projections, shift) = below(&project(products, &coefficients), PROJECTION_BITS);
    let norm: i128 = coefficients.iter().zip(&projections).map(|(a, p)| a * p).sum();
    if norm <= 0 {
        return None;
    }
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let squares: u128 = projections
        .iter()
        .zip(weights)
        .map(|(p, &weight)| p.unsigned_abs().pow(2) * u128::from(weight))
        .sum();
    let variance = (squares / total / norm.unsigned_abs()) << shift;
    let projections = projections.into_iter().map(|p| p as i64).collect();
    Some(Direction { projections, variance, norm, shift })
}

fn project(products: &[i128], coefficients: &[i128]) -> Vec<i128> {
    let n = coefficients.len();
    let row = |i: usize| (0..n).map(|j| products[i * n + j] * coefficients[j]).sum();
    (0..n).map(row).collect()
}

/// The vector shifted right until all magnitudes are below 2^bits, and by how many bits.
fn below(vector: &[i128], bits: u32) -> (Vec<i128>, u32) {
    // Shifting rounds down: -1 stays -1 and a magnitude of 2^bits − 1 may become 2^bits, so one bit
    // is left free.
    let greatest = vector.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
    let length = u128::BITS - greatest.leading_zeros();
    let shift = (length + 1).saturating_sub(bits);
    (vector.iter().map(|value| value >> shift).collect(), shift)
}
