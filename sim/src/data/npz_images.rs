//! Images in an npz file laid out as MedMNIST's: `train_images`, `train_labels` and so on for `val`
//! and `test`, images n × height × width (× channels) of bytes, labels n or n × 1 of integers (Yang et
//! al., MedMNIST v2, Scientific Data 10, 2023, 41).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{Array1, Array2};
use npyz::{NpyFile, Order};
use zip::ZipArchive;

use super::{DataError, Dataset};

/// Longest array in bytes: 2 GiB would not be a reference data set for this laboratory.
pub const ARRAY_BYTES_MAX: u64 = 1 << 30;

/// How images become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NpzOptions {
    /// Side of the square of pixels that is averaged to one, 1 to keep all; a rest at the right and
    /// lower edge is left out.
    pub pool: usize,
    /// The label that becomes class 1, all others class 0; labels stay as they are when absent. In
    /// BreastMNIST, 0 is malignant.
    pub positive: Option<u32>,
}

impl Default for NpzOptions {
    fn default() -> Self {
        Self { pool: 1, positive: None }
    }
}

/// The images of a file as rows of pixels between 0 and 1, channel after channel for each pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct NpzImages {
    /// The parts `train` and `val`.
    pub train: Dataset,
    /// The part `test`.
    pub test: Dataset,
    /// Rows of pixels of an image.
    pub height: usize,
    /// Pixels in a row of an image.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

/// Reads a file in MedMNIST's layout.
///
/// # Errors
/// When the file cannot be read, an array is missing or too long, or shapes or types are others.
pub fn load_npz_images(path: &Path, options: &NpzOptions) -> Result<NpzImages, DataError> {
    let read = |source| DataError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let mut archive = ZipArchive::new(file).map_err(|error| read(error.into()))?;
    let mut parts = Vec::new();
    for part in ["train", "val", "test"] {
        parts.push(read_part(path, &mut archive, part)?);
    }
    let first = parts[0].shape;
    if let Some(other) = parts.iter().find(|part| part.shape != first) {
        let found = format!("{:?} beside {first:?}", other.shape);
        return Err(array_error(path, "test_images", found, "images of one size"));
    }
    let (height, width, channels) = first;
    let pool = options.pool.clamp(1, height.min(width).max(1));
    let labels = parts.iter().flat_map(|part| part.labels.iter().copied());
    let classes = match options.positive {
        Some(_) => 2,
        None => labels.max().map_or(2, |largest| largest as usize + 1).max(2),
    };
    let datasets: Vec<Dataset> =
        parts.into_iter().map(|part| part.into_dataset(pool, classes, options.positive)).collect();
    Ok(NpzImages {
        train: Dataset::union([&datasets[0], &datasets[1]]).expect("two parts"),
        test: datasets[2].clone(),
        height: height / pool,
        width: width / pool,
        channels,
    })
}

fn array_error(path: &Path, array: &str, found: String, expected: &'static str) -> DataError {
    DataError::Array { path: path.to_owned(), array: array.to_owned(), found, expected }
}

/// One part of the file.
struct Part {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    /// Height, width, channels.
    shape: (usize, usize, usize),
}

fn read_part(
    path: &Path,
    archive: &mut ZipArchive<File>,
    part: &'static str,
) -> Result<Part, DataError> {
    let name = format!("{part}_images");
    let bytes = read_array(path, archive, &name)?;
    let (shape, pixels) = parse::<u8>(path, &name, &bytes)?;
    let (count, shape) = match shape[..] {
        [count, height, width] => (count, (height, width, 1)),
        [count, height, width, channels] => (count, (height, width, channels)),
        _ => {
            let expected = "shape n × height × width, perhaps × channels";
            return Err(array_error(path, &name, format!("shape {shape:?}"), expected));
        }
    };
    let name = format!("{part}_labels");
    let bytes = read_array(path, archive, &name)?;
    let labels = parse::<u8>(path, &name, &bytes).map(|(_, labels)| labels).or_else(|_| {
        let (_, labels) = parse::<i64>(path, &name, &bytes)?;
        let small = labels.iter().map(|&label| u8::try_from(label));
        small.collect::<Result<Vec<u8>, _>>().map_err(|_| {
            array_error(path, &name, "a label below 0 or over 255".to_owned(), "classes from 0")
        })
    })?;
    if labels.len() != count || count == 0 {
        let found = format!("{} labels for {count} images", labels.len());
        return Err(array_error(path, &name, found, "one label for each image, and some images"));
    }
    Ok(Part { pixels, labels: labels.into_iter().map(u32::from).collect(), shape })
}

fn read_array(
    path: &Path,
    archive: &mut ZipArchive<File>,
    name: &str,
) -> Result<Vec<u8>, DataError> {
    let member = archive.by_name(&format!("{name}.npy"));
    let member = member.map_err(|error| array_error(path, name, error.to_string(), "the array"))?;
    let mut bytes = Vec::new();
    let read = |source| DataError::Read { path: path.to_owned(), source };
    member.take(ARRAY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > ARRAY_BYTES_MAX {
        let found = format!("more than {ARRAY_BYTES_MAX} bytes");
        return Err(array_error(path, name, found, "a shorter array"));
    }
    Ok(bytes)
}

/// Shape and elements of an array in C order.
fn parse<T: npyz::Deserialize>(
    path: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(Vec<usize>, Vec<T>), DataError> {
    let bad = |found: String, expected| array_error(path, name, found, expected);
    let file = NpyFile::new(bytes).map_err(|error| bad(error.to_string(), "a NumPy array"))?;
    let shape: Vec<usize> = file.shape().iter().map(|&length| length as usize).collect();
    if file.order() != Order::C {
        return Err(bad("Fortran order".to_owned(), "C order"));
    }
    let elements = shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
    if elements.is_none_or(|elements| elements > bytes.len()) {
        return Err(bad(format!("shape {shape:?} in {} bytes", bytes.len()), "as many elements"));
    }
    let dtype = file.dtype().descr();
    let values = file.into_vec::<T>();
    let values =
        values.map_err(|_| bad(format!("elements {dtype}"), "bytes, or integers for labels"))?;
    Ok((shape, values))
}

impl Part {
    fn into_dataset(self, pool: usize, classes: usize, positive: Option<u32>) -> Dataset {
        let (height, width, channels) = self.shape;
        let (rows, columns) = (height / pool, width / pool);
        let area = (pool * pool) as f32 * 255.0;
        let mut values = Vec::with_capacity(self.labels.len() * rows * columns * channels);
        for image in self.pixels.chunks_exact(height * width * channels) {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                for channel in 0..channels {
                    let square = (0..pool).flat_map(|y| (0..pool).map(move |x| (y, x)));
                    let at = |(y, x): (usize, usize)| {
                        let pixel = (row * pool + y) * width + column * pool + x;
                        f32::from(image[pixel * channels + channel])
                    };
                    values.push(square.map(at).sum::<f32>() / area);
                }
            }
        }
        let names = (0..rows * columns * channels).map(|k| format!("pixel-{k:04}"));
        let class = |&label: &u32| positive.map_or(label, |wanted| u32::from(label == wanted));
        Dataset {
            features: Array2::from_shape_vec(
                (self.labels.len(), rows * columns * channels),
                values,
            )
            .expect("as many pixels as the shape says"),
            labels: Array1::from_iter(self.labels.iter().map(class)),
            feature_names: names.collect(),
            class_names: (0..classes).map(|class| class.to_string()).collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
