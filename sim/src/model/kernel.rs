//! Inner loops of training, written so that the compiler turns them into vector instructions: fixed
//! lanes, whose order of addition does not depend on the machine.

/// Independent sums of [`dot`].
const LANES: usize = 16;

/// Σ a·b. Terms k, k + 16, k + 32, … are added first, then the lanes from the first to the last, then
/// the rest: the same order everywhere.
///
/// # Panics
/// When the lengths differ.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// y ← y + factor·x.
///
/// # Panics
/// When the lengths differ.
pub(super) fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    assert_eq!(y.len(), x.len(), "vectors of one length");
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::{add_scaled, dot};

    #[test]
    fn sums_are_those_of_the_plain_loop() {
        for length in [0usize, 1, 5, 16, 17, 33, 64, 100] {
            let a: Vec<f32> = (0..length).map(|k| (k as f32).sin()).collect();
            let b: Vec<f32> = (0..length).map(|k| (k as f32 * 0.7).cos()).collect();
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(dot(&a, &b)) - plain).abs() < 1e-5, "{length}");
            let mut y = b.clone();
            add_scaled(&mut y, 2.0, &a);
            assert!(y.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == b + 2.0 * a));
        }
    }
}
