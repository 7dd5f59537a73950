//! Optical recognition of handwritten digits: 1797 images of 8 × 8 pixels, ten classes.
//!
//! Source: Alpaydin and Kaynak (1998), UCI Machine Learning Repository, doi:10.24432/C50P49, as
//! embedded in the `smartcore` crate.

use ndarray::{Array1, Array2};

use super::Dataset;

/// Pixels in a row of an image.
pub const IMAGE_WIDTH: usize = 8;

/// The whole data set: pixels 0 to 16 in row-major order, class = digit, nothing missing.
pub fn load() -> Dataset {
    let source = smartcore::dataset::digits::load_dataset();
    let shape = (source.num_samples, source.num_features);
    let names = (0..source.num_features).map(|k| format!("pixel-{k:02}"));
    Dataset {
        features: Array2::from_shape_vec(shape, source.data)
            .expect("the embedded matrix has the shape it states"),
        labels: Array1::from_iter(source.target.iter().map(|&digit| digit as u32)),
        feature_names: names.collect(),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn there_are_ten_digits() {
        let data = load();
        assert_eq!((data.rows(), data.width()), (1797, 64));
        // The counts that scikit-learn documents for its copy.
        let counts: Vec<usize> = (0..10).map(|digit| data.count(digit)).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert!(data.features.iter().all(|&value| (0.0..=16.0).contains(&value)));
    }
}
