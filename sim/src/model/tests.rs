use rand::Rng;

use super::{to_grid, ModelError, ModelSpec, Tensor, Training, SCALE_BITS, VALUE_MAX};
use crate::data::{fixtures::clouds, split::train_test, standardize_sites, wdbc, Dataset, Site};
use crate::seed;

const CNN: ModelSpec = ModelSpec::Cnn { height: 8, width: 7, channels: 2, filters: 3, classes: 4 };
const SPECS: [ModelSpec; 4] = [
    ModelSpec::Logistic { features: 5 },
    ModelSpec::Mlp { features: 5, hidden: 4 },
    ModelSpec::Softmax { features: 5, classes: 3 },
    ModelSpec::SoftmaxMlp { features: 5, hidden: 4, classes: 3 },
];

/// Rows of as many classes as the model has.
fn rows_for(spec: &ModelSpec) -> Dataset {
    let mut data = clouds(23, 5, 3);
    let classes = spec.classes() as u32;
    data.class_names = (0..classes).map(|class| class.to_string()).collect();
    if classes > 2 {
        data.labels.iter_mut().enumerate().for_each(|(row, label)| *label = row as u32 % classes);
    }
    data
}

#[test]
fn gradients_equal_central_differences() {
    for spec in SPECS {
        let data = rows_for(&spec);
        let labels = data.labels.to_vec();
        let mut rng = seed::stream(5, "point", 0, 0);
        let model: Vec<f32> = (0..spec.parameters()).map(|_| rng.gen_range(-0.8f32..0.8)).collect();
        let loss = |model: &[f32]| spec.gradient(model, data.features.view(), &labels).0;
        let (_, gradient) = spec.gradient(&model, data.features.view(), &labels);
        for (k, &slope) in gradient.iter().enumerate() {
            let step = 2e-3f32;
            let (mut up, mut down) = (model.clone(), model.clone());
            up[k] += step;
            down[k] -= step;
            let width = f64::from(up[k]) - f64::from(down[k]);
            let estimate = (loss(&up) - loss(&down)) / width;
            let error = (estimate - f64::from(slope)).abs();
            assert!(error < 2e-4 + 1e-3 * estimate.abs(), "{spec:?} {k}: {estimate} {slope}");
        }
    }
}

#[test]
fn loss_of_the_gradient_is_the_metric() {
    for spec in SPECS {
        let data = rows_for(&spec);
        let model = spec.initial(9);
        let (loss, _) = spec.gradient(&model, data.features.view(), &data.labels.to_vec());
        assert!((loss - spec.evaluate(&model, &data).log_loss).abs() < 1e-5);
    }
}

#[test]
fn tensors_are_in_order_of_names_and_come_back() {
    for spec in SPECS.into_iter().chain([CNN]) {
        let specs = spec.tensor_specs();
        assert!(specs.windows(2).all(|pair| pair[0].name.as_bytes() < pair[1].name.as_bytes()));
        let elements: u64 = specs.iter().map(|tensor| tensor.elements().expect("small")).sum();
        assert_eq!(elements, spec.parameters() as u64);
        let flat: Vec<f32> = (0..spec.parameters()).map(|k| k as f32).collect();
        let tensors = spec.named(&flat);
        assert_eq!(spec.flat(&tensors), Ok(flat));
    }
}

#[test]
fn foreign_tensors_are_refused_by_name() {
    let spec = SPECS[0];
    let good = spec.named(&[0.0; 6]);
    let change = |edit: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = good.clone();
        edit(&mut tensors);
        spec.flat(&tensors).expect_err("not the model's")
    };
    assert_eq!(change(&|t| drop(t.pop())), ModelError::Count { expected: 2, found: 1 });
    assert!(matches!(change(&|t| t.swap(0, 1)), ModelError::Name { position: 0, .. }));
    assert!(matches!(change(&|t| t[1].shape = vec![1, 5]), ModelError::Shape { .. }));
    assert!(matches!(change(&|t| t[1].values.truncate(4)), ModelError::Shape { .. }));
}

#[test]
fn the_grid_is_the_ledgers() {
    let quantum = 1.0 / f32::from(1u16 << 8) / f32::from(1u16 << (SCALE_BITS - 8));
    for (value, expected) in [
        (0.5 * quantum, 0.0),
        (1.5 * quantum, 2.0 * quantum),
        (-2.5 * quantum, -2.0 * quantum),
        (0.7 * quantum, quantum),
        (1e9, VALUE_MAX),
        (f32::NEG_INFINITY, -VALUE_MAX),
    ] {
        assert_eq!(to_grid(value), expected);
    }
    let model = SPECS[1].initial(4);
    assert!(model.iter().all(|&value| to_grid(value) == value) && model.iter().any(|v| *v != 0.0));
}

#[test]
fn quantum_is_too_small_to_matter() {
    let (train, test) = train_test(&wdbc::load(), 0.3, 1).expect("enough rows");
    let mut sites = [Site { name: "all".into(), train, test }];
    standardize_sites(&mut sites);
    let spec = ModelSpec::Mlp { features: 30, hidden: 8 };
    let training = Training {
        epochs: 20,
        batch_size: 16,
        learning_rate: 0.05,
        l2: 1e-3,
        momentum: 0.0,
        class_balanced: true,
    };
    let base = spec.initial(1);
    let mut rng = seed::stream(1, "t", 0, 0);
    let update = super::train(&spec, &base, &sites[0].train, &training, &mut rng);
    let exact: Vec<f32> = base.iter().zip(&update).map(|(b, u)| b + u).collect();
    let rounded: Vec<f32> = base.iter().zip(&update).map(|(b, u)| b + to_grid(*u)).collect();
    assert_ne!(exact, rounded);
    let (exact, rounded) =
        (spec.evaluate(&exact, &sites[0].test), spec.evaluate(&rounded, &sites[0].test));
    assert_eq!(exact.accuracy, rounded.accuracy);
    assert!((exact.auc.expect("both") - rounded.auc.expect("both")).abs() < 1e-3);
    assert!((exact.log_loss - rounded.log_loss).abs() < 1e-3);
}

#[test]
fn a_softmax_of_two_classes_is_the_logistic_model() {
    let data = clouds(30, 5, 3);
    let (two, one) = (ModelSpec::Softmax { features: 5, classes: 2 }, SPECS[0]);
    let logistic: Vec<f32> = (0..6).map(|k| 0.3 - k as f32 / 7.0).collect();
    // Class 0 has the logit 0.
    let softmax: Vec<f32> = [&[0.0][..], &logistic[..1], &[0.0; 5], &logistic[1..]].concat();
    let (a, b) = (one.evaluate(&logistic, &data), two.evaluate(&softmax, &data));
    assert_eq!((a.accuracy, a.recall), (b.accuracy, b.recall));
    assert!((a.log_loss - b.log_loss).abs() < 1e-5);
    assert!((a.auc.expect("both") - b.auc.expect("both")).abs() < 1e-6);
    assert_eq!(
        one.predict(&logistic, data.features.view()),
        two.predict(&softmax, data.features.view())
    );
}

#[test]
fn the_model_fits_the_data() {
    for (classes, linear, network) in [(2, SPECS[0], SPECS[1]), (3, SPECS[2], SPECS[3])] {
        assert_eq!(ModelSpec::linear(5, classes), linear);
        assert_eq!(ModelSpec::network(5, 4, classes), network);
        assert_eq!((linear.classes(), network.features()), (classes, 5));
    }
}
