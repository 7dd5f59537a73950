//! Breast Cancer Wisconsin (Diagnostic): 569 fine-needle aspirates, 30 features of cell nuclei.
//!
//! Source: Wolberg, Mangasarian, Street and Street (1995), UCI Machine Learning Repository,
//! doi:10.24432/C5DW2B, as embedded in the `smartcore` crate.
//! Deviation: `smartcore` labels malignant 0; here malignant is 1, so that recall is the share of
//! cancers found.

use ndarray::{Array1, Array2};

use super::Dataset;

/// The whole data set: 212 malignant (class 1) and 357 benign (class 0) rows, nothing missing.
pub fn load() -> Dataset {
    let source = smartcore::dataset::breast_cancer::load_dataset();
    let shape = (source.num_samples, source.num_features);
    Dataset {
        features: Array2::from_shape_vec(shape, source.data)
            .expect("the embedded matrix has the shape it states"),
        labels: Array1::from_iter(source.target.iter().map(|&label| 1 - label)),
        feature_names: source.feature_names,
        class_names: vec!["benign".to_owned(), "malignant".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn malignant_is_one() {
        let data = load();
        assert_eq!((data.rows(), data.width()), (569, 30));
        assert_eq!((data.count(1), data.count(0)), (212, 357));
        // Malignant nuclei are larger: mean radius 17.5 against 12.1 (in any description of it).
        let mean_radius = |class| {
            let radii = data.features.column(0);
            let of_class = radii.iter().zip(&data.labels).filter(|(_, &label)| label == class);
            of_class.map(|(&radius, _)| radius).sum::<f32>() / data.count(class) as f32
        };
        assert!((mean_radius(1) - 17.46).abs() < 0.01, "{}", mean_radius(1));
        assert!((mean_radius(0) - 12.15).abs() < 0.01, "{}", mean_radius(0));
    }
}
