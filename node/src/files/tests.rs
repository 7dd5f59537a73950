use std::io::Write as _;

use super::*;

fn at(name: &str) -> PathBuf {
    PathBuf::from(name)
}

fn tensor(name: &str, shape: &[u64], values: &[f32]) -> NamedTensor {
    let bits = values.iter().map(|value| value.to_bits()).collect();
    NamedTensor { name: name.into(), shape: shape.to_vec(), values: FloatBits::F32(bits) }
}

/// An `.npy` file of version 1, written byte by byte.
fn npy_file(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

fn le_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn npz_file(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A safetensors file from header text and data, whatever they say.
fn safetensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn refused(format: Format, bytes: &[u8], words: &str) {
    let error = parse_tensors(format, &at("u.file"), bytes).expect_err(words).to_string();
    assert!(error.starts_with("u.file: "), "does not name the file: {error}");
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}

#[test]
fn safetensors_round_trip_in_the_order_of_names() {
    let tensors = vec![tensor("b", &[2, 2], &[1.0, -2.5, 0.0, 3.0]), tensor("a", &[], &[f32::NAN])];
    let read =
        parse_tensors(Format::Safetensors, &at("u"), &to_safetensors(&tensors)).expect("valid");
    assert_eq!(read, [tensors[1].clone(), tensors[0].clone()]);
}

#[test]
fn npz_round_trips_and_is_the_same_bytes_again() {
    let wide = FloatBits::F64(vec![(1.0 + f64::EPSILON).to_bits()]);
    let tensors = vec![
        tensor("layer/1.weight", &[2, 3], &[1.0, -2.5, 0.0, 3.0, -0.0, 7.0]),
        NamedTensor { name: "scale".into(), shape: vec![], values: wide },
    ];
    let bytes = to_npz(&tensors);
    assert_eq!(parse_tensors(Format::Npz, &at("u"), &bytes).expect("valid"), tensors);
    assert_eq!(to_npz(&tensors), bytes);
}

#[test]
fn binary64_keeps_its_bits() {
    let values = [1.0 + f64::EPSILON, -0.0, 1e300, f64::MIN_POSITIVE / 2.0];
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let expected = |name: &str| {
        let values = FloatBits::F64(values.iter().map(|value| value.to_bits()).collect());
        [NamedTensor { name: name.into(), shape: vec![4], values }]
    };
    let header = r#"{"w":{"dtype":"F64","shape":[4],"data_offsets":[0,32]}}"#;
    let file = safetensors_file(header, &data);
    let read = parse_tensors(Format::Safetensors, &at("u"), &file).expect("valid");
    assert_eq!(read, expected("w"));
    let again = parse_tensors(Format::Safetensors, &at("u"), &to_safetensors(&read));
    assert_eq!(again.expect("valid"), read);
    let read = parse_tensors(Format::Npy, &at("u"), &npy_file("<f8", false, "(4,)", &data));
    assert_eq!(read.expect("valid"), expected("update"));
}

#[test]
fn hostile_safetensors_are_refused_by_name() {
    let format = Format::Safetensors;
    refused(format, b"", "only 0 bytes");
    refused(format, &u64::MAX.to_le_bytes(), "header claims 18446744073709551615 bytes");
    refused(format, &safetensors_file("{", b""), "not a readable safetensors file");
    let whole = to_safetensors(&[tensor("w", &[3], &[1.0, 2.0, 3.0])]);
    for cut in 0..whole.len() {
        assert!(parse_tensors(format, &at("u"), &whole[..cut]).is_err(), "cut at {cut}");
    }
    let half = r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    refused(format, &safetensors_file(half, &[0; 4]), "tensor `h` has elements of type F16");
    let brain = r#"{"h":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
    refused(format, &safetensors_file(brain, &[0; 4]), "of type BF16; expected float32");
    let overlap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    refused(format, &safetensors_file(overlap, &[0; 4]), "not a readable safetensors file");
    let empty = r#"{"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    refused(format, &safetensors_file(empty, &[]), "tensor `e`: has no elements");
    let vast =
        format!(r#"{{"v":{{"dtype":"F32","shape":[{0},{0}],"data_offsets":[0,4]}}}}"#, u64::MAX);
    refused(format, &safetensors_file(&vast, &[0; 4]), "not a readable safetensors file");
    refused(format, &safetensors_file("{}", &[]), "holds 0 tensors");
}

#[test]
fn npz_holds_one_tensor_an_entry() {
    let w = npy_file("<f4", false, "(2, 1)", &le_f32(&[1.0, 2.0]));
    let b = npy_file(">f4", false, "()", &7.5f32.to_be_bytes());
    let file = npz_file(&[("w.npy", &w), ("layer/b.npy", &b)]);
    let read = parse_tensors(Format::Npz, &at("u"), &file).expect("valid");
    assert_eq!(read, [tensor("layer/b", &[], &[7.5]), tensor("w", &[2, 1], &[1.0, 2.0])]);
}

#[test]
fn hostile_npz_are_refused_by_name() {
    let format = Format::Npz;
    let w = npy_file("<f4", false, "(2,)", &le_f32(&[1.0, 2.0]));
    refused(format, b"PK", "not a readable npz file");
    refused(format, &npz_file(&[]), "holds 0 tensors");
    refused(format, &npz_file(&[("w.txt", &w)]), "name must end in .npy");
    let integers = npy_file("<i8", false, "(1,)", &[0; 8]);
    refused(format, &npz_file(&[("i.npy", &integers)]), "tensor `i` has elements of type '<i8'");
    let pickled = npy_file("|O", false, "(1,)", b"cos\nsystem\n");
    assert!(parse_tensors(format, &at("u"), &npz_file(&[("o.npy", &pickled)])).is_err());
    let long_name = format!("{}.npy", "n".repeat(TENSOR_NAME_BYTES_MAX + 1));
    refused(format, &npz_file(&[(&long_name, &w)]), "name is 129 bytes long");
    let whole = npz_file(&[("w.npy", &w)]);
    for cut in 0..whole.len() {
        assert!(parse_tensors(format, &at("u"), &whole[..cut]).is_err(), "cut at {cut}");
    }
    let many: Vec<String> = (0..=TENSORS_MAX).map(|i| format!("{i}.npy")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &w[..])).collect();
    refused(format, &npz_file(&many), "holds 1025 tensors; expected 1 to 1024");
}

#[test]
fn a_bomb_is_refused_when_it_has_unpacked_to_the_limit() {
    // 500 MB of zeros deflate to half a megabyte; the header promises one element.
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("w.npy", zip::write::SimpleFileOptions::default().compression_level(Some(1)))
        .unwrap();
    writer.write_all(&npy_file("<f4", false, "(1,)", &[])).unwrap();
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..500 {
        writer.write_all(&zeros).unwrap();
    }
    let file = writer.finish().unwrap().into_inner();
    assert!(file.len() < 4 << 20, "the bomb is {} bytes long", file.len());
    refused(Format::Npz, &file, "tensor `w`, unpacked, is longer than");
}

#[test]
fn hostile_npy_are_refused() {
    let format = Format::Npy;
    refused(format, b"\x93NUMPX\x01\x00\x00\x00", "magic bytes are missing");
    refused(format, b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "its header claims 4294967307 bytes");
    let whole = npy_file("<f4", false, "(2,)", &le_f32(&[1.0, 2.0]));
    for cut in 0..whole.len() {
        assert!(parse_tensors(format, &at("u"), &whole[..cut]).is_err(), "cut at {cut}");
    }
    let vast = npy_file("<f4", false, "(4294967296, 4294967296)", &[]);
    refused(format, &vast, "its shape has too many elements");
    let large = npy_file("<f4", false, "(10000, 5001)", &[]);
    refused(format, &large, "has more than 50000000 elements");
    let hidden = npy_file("<f4", false, "(0, 4294967296, 4294967296)", &[]);
    refused(format, &hidden, "its shape has too many elements");
    let deep = npy_file("<f4", false, &"(".repeat(9_000), &[]);
    refused(format, &deep, "nests brackets too deeply");
    let escaped = npy_file("<f4\\'", false, "(1,)", &[0; 4]);
    refused(format, &escaped, "a character that is not allowed");
    refused(format, &npy_file("<f4", false, "(3,)", &[0; 8]), "its data are 8 bytes");
    refused(format, &npy_file("<f4", false, "(1,)", &[0; 8]), "shape [1] needs 4");
    refused(format, &npy_file("<f2", false, "(1,)", &[0; 2]), "of type '<f2'");
    refused(format, &npy_file("<f4", false, "(0,)", &[]), "has no elements");
    refused(format, &npy_file("<f4", false, "(1,1,1,1,1,1,1,1,1)", &[0; 4]), "9 dimensions");
}

#[test]
fn fortran_order_is_turned_into_rows() {
    // Element (i, j, k) of shape 2 × 3 × 4 is 100 i + 10 j + k.
    let value = |i: u32, j: u32, k: u32| (100 * i + 10 * j + k) as f32;
    let mut by_column = Vec::new();
    for k in 0..4 {
        for j in 0..3 {
            for i in 0..2 {
                by_column.push(value(i, j, k));
            }
        }
    }
    let mut by_row = Vec::new();
    for i in 0..2 {
        for j in 0..3 {
            for k in 0..4 {
                by_row.push(value(i, j, k));
            }
        }
    }
    let file = npy_file("<f4", true, "(2, 3, 4)", &le_f32(&by_column));
    let read = parse_tensors(Format::Npy, &at("u"), &file).expect("valid");
    assert_eq!(read, [tensor("update", &[2, 3, 4], &by_row)]);
}

#[test]
fn matrices_round_trip_and_other_shapes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.npy");
    let bits = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_bits).to_vec();
    let matrix = Matrix { rows: 2, columns: 3, values: FloatBits::F32(bits) };
    write_matrix(&path, &matrix).expect("written");
    assert_eq!(read_matrix(&path, None).expect("read"), matrix);
    assert!(matches!(write_matrix(&path, &matrix), Err(FileError::Exists { .. })));

    let array = npy_file("<f4", false, "(1, 2)", &le_f32(&[1.0, 2.0]));
    let path = folder.path().join("m.npz");
    std::fs::write(&path, npz_file(&[("a.npy", &array), ("b.npy", &array)])).unwrap();
    let error = read_matrix(&path, None).unwrap_err().to_string();
    assert!(error.contains("holds 2 arrays; say which"), "{error}");
    assert_eq!(read_matrix(&path, Some("b")).expect("read").columns, 2);
    assert!(read_matrix(&path, Some("c")).unwrap_err().to_string().contains("no array `c`"));

    let path = folder.path().join("v.npy");
    std::fs::write(&path, npy_file("<f4", false, "(2,)", &[0; 8])).unwrap();
    let error = read_matrix(&path, None).unwrap_err().to_string();
    assert!(error.contains("expected a matrix n × d"), "{error}");
}

#[test]
fn formats_are_told_by_name_and_content_type() {
    assert_eq!(Format::of_path(&at("a.b.npz")).unwrap(), Format::Npz);
    assert!(matches!(Format::of_path(&at("weights.pt")), Err(FileError::UnknownFormat { .. })));
    for format in [Format::Safetensors, Format::Npz, Format::Npy] {
        assert_eq!(Format::of_content_type(format.content_type()), Some(format));
    }
    assert_eq!(Format::of_content_type("Application/Zip; x=y"), Some(Format::Npz));
    assert_eq!(Format::of_content_type("text/html"), None);
}
