use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use npyz::WriterBuilder;
use zip::write::SimpleFileOptions;

use super::{load_npz_images, NpzOptions};
use crate::data::{reference_data, DataError};

fn array<T: npyz::AutoSerialize>(shape: &[u64], values: Vec<T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(&mut bytes).begin_nd().expect("a header");
    writer.extend(values).and_then(|()| writer.finish()).expect("writing to memory");
    bytes
}

/// A change to the arrays of a file, by name.
type Edit = dyn Fn(&mut Vec<(String, Vec<u8>)>);

/// A file with two 4 × 4 images a part, changed by `edit`, and its folder.
fn file(edit: &Edit) -> (tempfile::TempDir, PathBuf) {
    let mut arrays = Vec::new();
    for part in ["train", "val", "test"] {
        let pixels: Vec<u8> = (0..32).map(|k| k * 5).collect();
        arrays.push((format!("{part}_images"), array(&[2, 4, 4], pixels)));
        arrays.push((format!("{part}_labels"), array(&[2, 1], vec![0u8, 2])));
    }
    edit(&mut arrays);
    archive_of(arrays)
}

/// A file with `count` images of `side` × `side` pixels a part, of three classes, and its folder.
pub(crate) fn images(count: usize, side: usize) -> (tempfile::TempDir, PathBuf) {
    let mut arrays = Vec::new();
    for part in ["train", "val", "test"] {
        let pixels: Vec<u8> = (0..count * side * side).map(|k| (k * 37 % 251) as u8).collect();
        let shape = [count as u64, side as u64, side as u64];
        arrays.push((format!("{part}_images"), array(&shape, pixels)));
        let labels: Vec<u8> = (0..count).map(|k| (k % 3) as u8).collect();
        arrays.push((format!("{part}_labels"), array(&[count as u64, 1], labels)));
    }
    archive_of(arrays)
}

fn archive_of(arrays: Vec<(String, Vec<u8>)>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("images.npz");
    let mut archive = zip::ZipWriter::new(File::create(&path).expect("a writable folder"));
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).expect("a member");
        archive.write_all(&bytes).expect("a writable folder");
    }
    archive.finish().expect("a writable folder");
    (folder, path)
}

#[test]
fn pixels_are_scaled_and_pooled() {
    let (_folder, path) = file(&|_| ());
    let whole = load_npz_images(&path, &NpzOptions::default()).expect("a good file");
    assert_eq!((whole.height, whole.width, whole.channels), (4, 4, 1));
    assert_eq!((whole.train.rows(), whole.test.rows(), whole.train.width()), (4, 2, 16));
    assert_eq!((whole.train.labels.to_vec(), whole.train.class_names.len()), (vec![0, 2, 0, 2], 3));
    assert!((whole.train.features[[1, 3]] - 95.0 / 255.0).abs() < 1e-6);
    let options = NpzOptions { pool: 2, positive: Some(0) };
    let pooled = load_npz_images(&path, &options).expect("a good file");
    assert_eq!((pooled.height, pooled.train.width()), (2, 4));
    // Pixels 2, 3, 6 and 7 of the first image.
    let mean = (10.0 + 15.0 + 30.0 + 35.0) / 4.0 / 255.0;
    assert!((pooled.train.features[[0, 1]] - mean).abs() < 1e-6);
    assert_eq!((pooled.test.labels.to_vec(), pooled.test.class_names.len()), (vec![1, 0], 2));
}

#[test]
fn labels_may_be_wide_integers_in_one_dimension() {
    let (_folder, path) = file(&|arrays| arrays[1].1 = array(&[2], vec![1i64, 0]));
    let images = load_npz_images(&path, &NpzOptions::default()).expect("a good file");
    assert_eq!(images.train.labels.to_vec(), [1, 0, 0, 2]);
}

#[test]
fn other_layouts_are_refused_by_array() {
    let cases: [(&str, &Edit); 6] = [
        ("val_labels", &|arrays| drop(arrays.remove(3))),
        ("train_images", &|arrays| arrays[0].1 = array(&[32], vec![0u8; 32])),
        ("train_images", &|arrays| arrays[0].1 = array(&[2, 4, 4], vec![0.5f32; 32])),
        ("test_labels", &|arrays| arrays[5].1 = array(&[3], vec![0u8; 3])),
        ("train_labels", &|arrays| arrays[1].1 = array(&[2], vec![-1i64, 0])),
        ("val_images", &|arrays| arrays[2].1.truncate(100)),
    ];
    for (array, edit) in cases {
        let (_folder, path) = file(edit);
        let error = load_npz_images(&path, &NpzOptions::default()).expect_err("a bad file");
        assert!(error.to_string().contains(array), "{array}: {error}");
        assert!(matches!(error, DataError::Array { .. } | DataError::Read { .. }), "{error}");
    }
}

#[test]
fn breast_ultrasound_has_its_published_size() {
    let Some(folder) = reference_data("breastmnist/original") else {
        println!("skipped: no folder of reference data has breastmnist/original");
        return;
    };
    let options = NpzOptions { pool: 2, positive: Some(0) };
    let images = load_npz_images(&folder.join("BreastMNIST.npz"), &options).expect("a good file");
    assert_eq!((images.train.rows(), images.test.rows()), (546 + 78, 156));
    assert_eq!((images.train.count(1), images.test.count(1)), (147 + 21, 42));
    assert_eq!((images.height, images.width, images.train.width()), (14, 14, 196));
}
