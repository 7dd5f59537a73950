use rand::Rng;

use crate::data::fixtures::clouds;
use crate::data::{digits, train_test, Dataset};
use crate::model::{train, ModelSpec, Training};
use crate::seed;

/// The convolution, pixel by pixel as it is defined, for one channel and two classes.
fn logit_naive(
    model: &[f32],
    image: &[f32],
    (height, width, filters): (usize, usize, usize),
) -> f32 {
    let (rows, columns) = (height - 2, width - 2);
    let (small_rows, small_columns) = (rows / 2, columns / 2);
    let activation = |f: usize, y: usize, x: usize| {
        let mut sum = model[f];
        for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
            sum += model[filters + f * 9 + dy * 3 + dx] * image[(y + dy) * width + x + dx];
        }
        sum.max(0.0)
    };
    let mut logit = model[filters * 10];
    let mut weight = model[filters * 10 + 1..].iter();
    for f in 0..filters {
        for (y, x) in (0..small_rows).flat_map(|y| (0..small_columns).map(move |x| (y, x))) {
            let square = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let sum: f32 =
                square.iter().map(|(dy, dx)| activation(f, 2 * y + dy, 2 * x + dx)).sum();
            logit += weight.next().expect("one weight a cell") * sum / 4.0;
        }
    }
    logit
}

#[test]
fn it_is_the_convolution_that_the_definition_says() {
    let spec = ModelSpec::Cnn { height: 7, width: 6, channels: 1, filters: 3, classes: 2 };
    let mut rng = seed::stream(1, "point", 0, 0);
    let model: Vec<f32> = (0..spec.parameters()).map(|_| rng.gen_range(-1.0f32..1.0)).collect();
    let images = clouds(10, 42, 1);
    let found = spec.probabilities(&model, images.features.view());
    for (image, probability) in images.features.rows().into_iter().zip(found) {
        let logit = logit_naive(&model, &image.to_vec(), (7, 6, 3));
        assert!((probability - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-5);
    }
}

#[test]
fn gradients_equal_central_differences() {
    for (channels, classes) in [(1, 2), (2, 3)] {
        let spec = ModelSpec::Cnn { height: 6, width: 7, channels, filters: 2, classes };
        let mut data = clouds(9, 42 * channels, 2);
        for row in 0..9 {
            data.labels[row] = row as u32 % classes as u32;
        }
        let labels = data.labels.to_vec();
        let mut rng = seed::stream(3, "point", 0, 0);
        let model: Vec<f32> = (0..spec.parameters()).map(|_| rng.gen_range(-0.5f32..0.5)).collect();
        let (_, gradient) = spec.gradient(&model, data.features.view(), &labels);
        let loss = |model: &[f32]| spec.gradient(model, data.features.view(), &labels).0;
        for (k, &slope) in gradient.iter().enumerate() {
            let (mut up, mut down) = (model.clone(), model.clone());
            up[k] += 1e-3;
            down[k] -= 1e-3;
            let width = f64::from(up[k]) - f64::from(down[k]);
            let estimate = (loss(&up) - loss(&down)) / width;
            let error = (estimate - f64::from(slope)).abs();
            assert!(error < 1e-3 + 5e-3 * estimate.abs(), "{k}: {estimate} {slope}");
        }
    }
}

#[test]
fn it_reads_digits() {
    let mut data: Dataset = digits::load();
    data.features.mapv_inplace(|pixel| pixel / 8.0 - 1.0);
    let (seen, unseen) = train_test(&data, 0.3, 1).expect("enough rows");
    let spec = ModelSpec::Cnn { height: 8, width: 8, channels: 1, filters: 8, classes: 10 };
    let training = Training {
        epochs: 12,
        batch_size: 16,
        learning_rate: 0.05,
        l2: 0.0,
        momentum: 0.9,
        class_balanced: false,
    };
    let base = spec.initial(1);
    let step = train(&spec, &base, &seen, &training, &mut seed::stream(1, "t", 0, 0));
    let model: Vec<f32> = base.iter().zip(step).map(|(a, b)| a + b).collect();
    let accuracy = spec.evaluate(&model, &unseen).accuracy;
    assert!(accuracy > 0.93, "{accuracy}");
}
