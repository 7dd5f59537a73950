//! The rules over real numbers, as the papers write them, in double precision.
#![allow(clippy::disallowed_types, reason = "the reference that the integer code is held to")]

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

pub fn weighted_mean(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let column = |k: usize| rows.iter().zip(weights).map(|(row, w)| w * row[k]).sum::<f64>();
    (0..rows[0].len()).map(|k| column(k) / total).collect()
}

/// Mean of the sorted values without `trimmed` on each side.
pub fn trimmed_mean(rows: &[Vec<f64>], trimmed: usize) -> Vec<f64> {
    (0..rows[0].len())
        .map(|k| {
            let mut column: Vec<f64> = rows.iter().map(|row| row[k]).collect();
            column.sort_by(f64::total_cmp);
            let kept = &column[trimmed..column.len() - trimmed];
            kept.iter().sum::<f64>() / kept.len() as f64
        })
        .collect()
}

/// RFA with ν = 1 quantum.
pub fn geometric_median(rows: &[Vec<f64>], weights: &[f64], iterations: u32) -> Vec<f64> {
    let mut z = weighted_mean(rows, weights);
    for _ in 0..iterations {
        let betas: Vec<f64> = rows
            .iter()
            .zip(weights)
            .map(|(row, alpha)| alpha / norm(&minus(row, &z)).max(1.0))
            .collect();
        z = weighted_mean(rows, &betas);
    }
    z
}

/// Centered clipping with τ a multiple of the median distance to the start.
pub fn centered_clipping(
    rows: &[Vec<f64>],
    weights: &[f64],
    start: &[f64],
    iterations: u32,
    radius: f64,
) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut distances: Vec<f64> = rows.iter().map(|row| norm(&minus(row, start))).collect();
    distances.sort_by(f64::total_cmp);
    let n = rows.len();
    let tau = radius * (distances[(n - 1) / 2] + distances[n / 2]) / 2.0;
    let mut v = start.to_vec();
    for _ in 0..iterations {
        let mut next = v.clone();
        for (row, weight) in rows.iter().zip(weights) {
            let step = minus(row, &v);
            let length = norm(&step);
            let factor = if length <= tau { 1.0 } else { tau / length };
            for (next, step) in next.iter_mut().zip(&step) {
                *next += weight / total * factor * step;
            }
        }
        v = next;
    }
    v
}
