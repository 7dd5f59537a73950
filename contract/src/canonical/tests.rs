use fedledger_ledger::task::TensorSpec;

use super::*;

fn tensor(name: &str, shape: &[u64], scale_bits: i8) -> TensorSpec {
    TensorSpec { name: name.into(), shape: shape.to_vec(), scale_bits }
}

fn example() -> Schema {
    Schema::of_tensors(&[tensor("a", &[2, 2], 20), tensor("b", &[], 0), tensor("b.w", &[3], -3)])
        .unwrap()
}

#[test]
fn bytes_are_as_the_specification_says_and_round_trip() {
    let schema = example();
    let values = [1, -1, 8_388_607, -8_388_607, 0, 2, 3, 256];
    let bytes = schema.encode(&values).unwrap();
    assert_eq!(bytes.len() as u64, schema.byte_length());
    assert_eq!(&bytes[..8], b"FEDLUP\x01\x00");
    assert_eq!(&bytes[8..40], schema.digest().as_bytes());
    assert_eq!(&bytes[40..52], [1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 127, 0]);
    assert_eq!(schema.decode(&bytes).unwrap(), values);
}

#[test]
fn the_schema_digest_is_pinned() {
    // tensors [{0: "a", 1: [2], 2: 20}] in canonical CBOR after the domain, written out by hand.
    let schema = Schema::of_tensors(&[tensor("a", &[2], 20)]).unwrap();
    let bytes = b"fedledger/schema/v1\0\x81\xa3\x00\x61a\x01\x81\x02\x02\x14";
    assert_eq!(schema.digest(), Digest::of(bytes));
}

#[test]
fn every_bad_byte_string_is_refused_for_its_reason() {
    let schema = example();
    let good = schema.encode(&[0; 8]).unwrap();
    for length in [0, 1, 39, 40, good.len() - 1] {
        assert!(matches!(
            schema.decode(&good[..length]),
            Err(CanonicalError::WrongLength { found, .. }) if found == length as u64
        ));
    }
    let long = [good.clone(), vec![0]].concat();
    assert!(matches!(schema.decode(&long), Err(CanonicalError::WrongLength { .. })));
    for at in 0..HEADER_BYTES {
        let mut bent = good.clone();
        bent[at] ^= 1;
        let refused = schema.decode(&bent).unwrap_err();
        assert_eq!(at < 8, matches!(refused, CanonicalError::WrongMagic { .. }), "{at}");
        assert_eq!(at >= 8, matches!(refused, CanonicalError::WrongSchema { .. }), "{at}");
    }
    for (q, fine) in [
        (8_388_607, true),
        (8_388_608, false),
        (-8_388_607, true),
        (-8_388_608, false),
        (i32::MAX, false),
        (i32::MIN, false),
    ] {
        let mut bent = good.clone();
        bent[40 + 4 * 6..40 + 4 * 7].copy_from_slice(&i32::to_le_bytes(q));
        let expected = CanonicalError::ValueOutOfRange { tensor: "b.w".into(), index: 1, found: q };
        assert_eq!(schema.decode(&bent).err(), (!fine).then_some(expected));
    }
}

#[test]
fn the_range_check_agrees_with_its_definition_everywhere() {
    let mut values = vec![0i32; 5000];
    for at in [0, 1023, 1024, 4999] {
        for q in [-8_388_608, 8_388_608, i32::MIN, i32::MAX, 1 << 24, -(1 << 24)] {
            values[at] = q;
            assert_eq!(first_out_of_range(&values), Some(at), "{q}");
        }
        for q in [-8_388_607, 8_388_607, 0, -1] {
            values[at] = q;
            assert_eq!(first_out_of_range(&values), None, "{q}");
        }
    }
}

#[test]
fn schemas_over_the_limits_are_refused() {
    let check = |tensors: &[TensorSpec]| Schema::of_tensors(tensors).unwrap_err();
    assert_eq!(check(&[]), SchemaError::NoTensors);
    let many: Vec<_> = (0..1025).map(|i| tensor(&format!("{i:05}"), &[1], 0)).collect();
    assert_eq!(check(&many), SchemaError::TooManyTensors { max: 1024, found: 1025 });
    assert!(Schema::of_tensors(&many[..1024]).is_ok());
    assert!(matches!(check(&[tensor("", &[1], 0)]), SchemaError::NameLength { found: 0, .. }));
    let long = "n".repeat(129);
    assert!(matches!(check(&[tensor(&long, &[1], 0)]), SchemaError::NameLength { .. }));
    for (first, second) in [("b", "a"), ("a", "a"), ("é", "z")] {
        let tensors = [tensor(first, &[1], 0), tensor(second, &[1], 0)];
        assert!(matches!(check(&tensors), SchemaError::NotSorted { .. }), "{first} {second}");
    }
    assert!(matches!(
        check(&[tensor("a", &[1; 9], 0)]),
        SchemaError::TooManyDimensions { found: 9, .. }
    ));
    assert_eq!(
        check(&[tensor("a", &[3, 0], 0)]),
        SchemaError::ZeroDimension { tensor: "a".into(), dimension: 1 }
    );
    for scale_bits in [-33, 49, i8::MIN, i8::MAX] {
        assert!(matches!(
            check(&[tensor("a", &[1], scale_bits)]),
            SchemaError::ScaleOutOfRange { .. }
        ));
    }
    for shape in [&[50_000_001][..], &[u64::MAX, u64::MAX], &[1 << 32, 1 << 32]] {
        assert!(matches!(
            check(&[tensor("a", shape, 0)]),
            SchemaError::TooManyParameters { max: 50_000_000, .. }
        ));
    }
    let two = [tensor("a", &[50_000_000], 0), tensor("b", &[1], 0)];
    assert!(matches!(check(&two), SchemaError::TooManyParameters { tensor, .. } if tensor == "b"));
    assert_eq!(Schema::of_tensors(&two[..1]).unwrap().byte_length(), 200_000_040);
}

fn named(name: &str, shape: &[u64], bits: &[u32]) -> NamedTensor {
    NamedTensor { name: name.into(), shape: shape.to_vec(), values: FloatBits::F32(bits.to_vec()) }
}

#[test]
fn floats_are_taken_in_any_order_and_faults_are_located() {
    const ONE: u32 = 0x3f80_0000;
    let schema = Schema::of_tensors(&[tensor("a", &[2], 4), tensor("b", &[2, 1], -1)]).unwrap();
    let a = named("a", &[2], &[ONE, ONE | 1 << 31]);
    let b = named("b", &[2, 1], &[0x4000_0000, 0x8000_0000]);
    assert_eq!(schema.quantise(&[b.clone(), a.clone()]).unwrap(), [16, -16, 1, 0]);
    let wide = NamedTensor { values: FloatBits::F64(vec![0x3ff0 << 48, 0]), ..a.clone() };
    assert_eq!(schema.quantise(&[wide, b.clone()]).unwrap(), [16, 0, 1, 0]);
    assert_eq!(
        schema.dequantise(&[16, -16, 1, 0]).unwrap(),
        [a.clone(), named("b", &[2, 1], &[0x4000_0000, 0])]
    );

    let check = |given: &[NamedTensor]| schema.quantise(given).unwrap_err();
    let tensor = || "a".to_owned();
    assert_eq!(check(std::slice::from_ref(&b)), QuantiseError::MissingTensor { tensor: tensor() });
    assert_eq!(
        check(&[a.clone(), b.clone(), a.clone()]),
        QuantiseError::DuplicateTensor { tensor: tensor() }
    );
    assert_eq!(
        check(&[a.clone(), b.clone(), named("c", &[], &[0])]),
        QuantiseError::ExtraTensor { tensor: "c".into() }
    );
    assert_eq!(
        check(&[named("a", &[1, 2], &[0, 0]), b.clone()]),
        QuantiseError::WrongShape { tensor: tensor(), expected: vec![2], found: vec![1, 2] }
    );
    assert!(matches!(
        check(&[named("a", &[2], &[0]), b.clone()]),
        QuantiseError::WrongLength { expected: 2, found: 1, .. }
    ));
    // One poisoned value must not get past the member's own node: the peers let it win Krum.
    for (bits, expected) in [
        (0x7fc0_0000, QuantiseFault::NaN),
        (0xff80_0001, QuantiseFault::NaN),
        (0x7f80_0000, QuantiseFault::Infinite),
        (0xff80_0000, QuantiseFault::Infinite),
        (0x4900_0000, QuantiseFault::OutOfRange),
        (0xc900_0000, QuantiseFault::OutOfRange),
    ] {
        let refused = check(&[named("a", &[2], &[ONE, bits]), b.clone()]);
        let QuantiseError::Value { tensor, index, fault, .. } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((tensor.as_str(), *index, *fault), ("a", 1, expected));
        assert!(refused.to_string().contains("8388607 / 2^4"), "{refused}");
    }
}

#[test]
fn models_stay_in_range_or_say_which_parameter_does_not() {
    assert_eq!(add_to_model(&[1, -2], &[3, -4]).unwrap(), [4, -6]);
    assert_eq!(
        add_to_model(&[1], &[3, -4]),
        Err(ModelRangeError::WrongLength { model: 1, aggregate: 2 })
    );
    assert_eq!(add_to_model(&[8_388_606], &[1]).unwrap(), [8_388_607]);
    assert_eq!(
        add_to_model(&[0, -8_388_607], &[0, -1]),
        Err(ModelRangeError::OutOfRange { index: 1, model: -8_388_607, aggregate: -1 })
    );
    assert!(add_to_model(&[i32::MAX], &[i32::MAX]).is_err());
}
