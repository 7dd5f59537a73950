use std::fs;

use super::{load_csv_folder, CsvOptions, SiteColumn};
use crate::data::{DataError, Site};

const GOOD: &str = "id,age,chol,label\na,40,200,0\nb,55,,1\nc,61,?,1\nd,38,180.5,0\n";

/// Loads a folder with the given files.
fn load(files: &[(&str, &[u8])], options: &CsvOptions) -> Result<Vec<Site>, DataError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a writable folder");
    }
    load_csv_folder(folder.path(), options)
}

fn options() -> CsvOptions {
    CsvOptions { drop: vec!["id".into()], ..CsvOptions::new("label") }
}

/// The message of the refusal of one file.
fn refusal(content: impl AsRef<[u8]>) -> String {
    load(&[("a.csv", content.as_ref())], &options()).expect_err("a hostile file").to_string()
}

#[test]
fn files_become_sites_in_order_of_names() {
    let swapped = "label,chol,age\n1,210,50\n0,190,44\n0,170,41\n1,230,70\n";
    let sites = load(
        &[("b.csv", swapped.as_bytes()), ("a.csv", GOOD.as_bytes()), ("notes.txt", b"\xff")],
        &options(),
    )
    .expect("two good files");
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    for site in &sites {
        assert_eq!(site.train.feature_names, ["age", "chol"]);
        assert_eq!(site.train.rows() + site.test.rows(), 4);
        // Ages and cholesterol values did not change places with the columns.
        let ages = site.train.features.column(0);
        assert!(ages.iter().all(|&age| age < 100.0), "{ages}");
    }
    let missing = sites[0].train.features.iter().chain(&sites[0].test.features);
    assert_eq!(missing.filter(|value| value.is_nan()).count(), 2);
}

#[test]
fn a_split_column_is_honoured() {
    let text = "x,label,part\n1,0,train\n2,1,test\n3,1,train\n";
    let options = CsvOptions { split_column: Some("part".into()), ..CsvOptions::new("label") };
    let sites = load(&[("a.csv", text.as_bytes())], &options).expect("a good file");
    assert_eq!(sites[0].train.features.column(0).to_vec(), [1.0, 3.0]);
    assert_eq!(sites[0].test.features.column(0).to_vec(), [2.0]);
    let bad = text.replace("test", "validation");
    let error = load(&[("a.csv", bad.as_bytes())], &options).expect_err("an unknown part");
    assert!(error.to_string().contains("line 3, column `part`: `validation`"), "{error}");
    let none = text.replace("test", "train");
    let error = load(&[("a.csv", none.as_bytes())], &options).expect_err("nothing held out");
    assert!(error.to_string().contains("no row for test in column `part`"), "{error}");
}

#[test]
fn indeterminate_rows_are_dropped_only_when_asked() {
    let text = "x,label\n1,0\n2,-1\n3,1\n4,\n5,0\n6,1\n";
    let message = load(&[("a.csv", text.as_bytes())], &options()).expect_err("-1").to_string();
    assert!(message.contains("line 3, column `label`: `-1`"), "{message}");
    let options = CsvOptions { drop_indeterminate: true, ..options() };
    let sites = load(&[("a.csv", text.as_bytes())], &options).expect("four labelled rows");
    assert_eq!(sites[0].train.rows() + sites[0].test.rows(), 4);
}

#[test]
fn hostile_files_are_refused_by_name_and_place() {
    for (content, expected) in [
        ("", "is empty: expected a header"),
        ("x,label\n", "no usable row"),
        ("x,label\n1,0\n2\n", "line 3: 1 fields, expected 2"),
        ("x,label\n1,0\n2,1,9\n", "line 3: 3 fields, expected 2"),
        ("x,x,label\n1,2,0\n", "column 2 is named `x`: expected a name that no column before"),
        ("x,,label\n1,2,0\n", "column 2 is named ``: expected a name"),
        ("x,y\n1,2\n", "no column `label` for the label; it has: x, y"),
        ("id,label\n1,0\n", "no feature column"),
        ("x,label\n1,0\nItaly,1\n", "line 3, column `x`: `Italy` is not a number (drop"),
        ("x,label\n1,0\ninf,1\n", "line 3, column `x`: `inf` is not a finite number"),
        ("x,label\n1e39,0\n", "line 2, column `x`: `1e39` is not a finite number"),
        ("x,label\n1,2\n", "line 2, column `label`: `2` is not a label 0 or 1"),
        ("x,label\n1,yes\n", "line 2, column `label`: `yes` is not a label 0 or 1"),
        ("x,label\n1,1\n2,1\n3,1\n", "training rows are of class 1: expected two classes"),
        ("x,label\n1,1\n", "1 rows cannot be split"),
    ] {
        let message = refusal(content);
        assert!(message.contains(expected), "{content:?}: {message}");
    }
    assert!(refusal(b"x,label\n\xff\xfe,0\n").contains("line 2, column `x`: `\u{fffd}\u{fffd}`"));
    assert!(refusal(b"x\xff,label\n1,0\n").contains("column 1 is named `x\u{fffd}`"));
    let long = format!("x,label\n{},1\n", "z".repeat(10_000));
    assert!(refusal(&long).len() < 300);
    let names: Vec<String> = (0..5_000).map(|k| format!("c{k}")).collect();
    let wide = names.join(",") + ",label\n";
    assert!(refusal(&wide).contains("more than 4096 columns"));
}

#[test]
fn a_byte_order_mark_and_crlf_are_harmless() {
    let text = "\u{feff}x,label\r\n1,0\r\n2,1\r\n3,0\r\n4,1\r\n";
    let sites = load(&[("a.csv", text.as_bytes())], &CsvOptions::new("label")).expect("a file");
    assert_eq!(sites[0].train.feature_names, ["x"]);
}

#[test]
fn folders_that_do_not_fit_together_are_refused() {
    let more = "age,chol,sex,label\n40,200,1,0\n41,201,0,1\n";
    let fewer = "age,label\n40,0\n41,1\n";
    for (other, expected) in
        [(more, "has the additional column `sex`"), (fewer, "lacks column `chol`")]
    {
        let files: [(&str, &[u8]); 2] = [("a.csv", GOOD.as_bytes()), ("b.csv", other.as_bytes())];
        let message = load(&files, &options()).expect_err("other columns").to_string();
        assert!(message.contains("b.csv") && message.contains(expected), "{message}");
    }
    let error = load(&[], &options()).expect_err("an empty folder");
    assert!(matches!(error, DataError::NoFiles { .. }));
    let nowhere = tempfile::tempdir().expect("a folder").path().join("nowhere");
    assert!(matches!(load_csv_folder(&nowhere, &options()), Err(DataError::Read { .. })));
}

#[test]
fn groups_are_held_out_together_and_files_left_out() {
    let rows = (0..40).map(|row| format!("p{},{row},{}\n", row / 4, row % 2));
    let text: String = std::iter::once("patient,x,label\n".to_owned()).chain(rows).collect();
    let options = CsvOptions {
        group: Some("patient".into()),
        exclude: vec!["all".into()],
        ..CsvOptions::new("label")
    };
    let files = [("a.csv", text.as_bytes()), ("all.csv", &b"other\n1\n"[..])];
    let sites = load(&files, &options).expect("good files");
    assert_eq!((sites.len(), sites[0].train.feature_names.clone()), (1, vec!["x".to_owned()]));
    assert_eq!(sites[0].test.rows(), 12);
    let patients = |data: &crate::data::Dataset| -> Vec<u32> {
        data.features.column(0).iter().map(|&x| x as u32 / 4).collect()
    };
    let (train, test) = (patients(&sites[0].train), patients(&sites[0].test));
    assert!(test.iter().all(|patient| !train.contains(patient)));
}

/// Rows of `site`: `negatives`, then `positives`; the feature says which site.
fn rows_of(site: &str, feature: f32, negatives: usize, positives: usize) -> String {
    let row = |label: u32| format!("{site},{feature},{label}\n");
    row(0).repeat(negatives) + &row(1).repeat(positives)
}

fn by_column(rows_min: usize, members: usize, seed: u64) -> CsvOptions {
    let site = Some(SiteColumn { column: "hospital".into(), rows_min, members });
    CsvOptions { site, seed, ..CsvOptions::new("label") }
}

#[test]
fn a_column_names_the_sites_of_each_file() {
    let head = "hospital,x,label\n".to_owned();
    let north = head.clone() + &rows_of("7", 1.0, 6, 6) + &rows_of("small", 9.0, 5, 4);
    let north = north + &rows_of("one class", 9.0, 20, 2) + &rows_of("7", 1.0, 4, 0);
    let south = head + &rows_of("7", 2.0, 5, 5) + &rows_of("8", 3.0, 10, 10);
    let files = [("north.csv", north.as_bytes()), ("south.csv", south.as_bytes())];
    let sites = load(&files, &by_column(10, 0, 1)).expect("three sites are large enough");
    let found: Vec<(&str, usize, f32)> = sites
        .iter()
        .map(|site| {
            let rows = site.train.rows() + site.test.rows();
            let all = site.train.features.iter().chain(&site.test.features);
            assert!(all.clone().all(|x| *x == site.train.features[[0, 0]]), "{}", site.name);
            (site.name.as_str(), rows, site.train.features[[0, 0]])
        })
        .collect();
    assert_eq!(found, [("north-7", 16, 1.0), ("south-7", 10, 2.0), ("south-8", 20, 3.0)]);
    assert!(sites.iter().all(|site| site.train.feature_names == ["x"]), "no feature");
    // Two of them are drawn by the seed, each with the rows that it always has.
    let drawn = |seed| load(&files, &by_column(10, 2, seed)).expect("two of three");
    let mut pairs: Vec<Vec<String>> =
        (0..20).map(|seed| drawn(seed).iter().map(|site| site.name.clone()).collect()).collect();
    assert_eq!(drawn(3), drawn(3));
    pairs.sort();
    pairs.dedup();
    assert_eq!(pairs.len(), 3, "{pairs:?}");
    for (rows_min, members, expected) in [
        (10, 4, "3 sites by column `hospital` have 10 rows or more and 3 of each class, expected at least 4"),
        (21, 0, "0 sites by column `hospital` have 21 rows or more and 3 of each class, expected 1 to 128"),
    ] {
        let error = load(&files, &by_column(rows_min, members, 1)).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = load(&[("a.csv", b"hospital,x,label\n,1,0\n")], &by_column(10, 0, 1));
    let error = error.expect_err("a row of nobody").to_string();
    assert!(error.contains("line 2, column `hospital`: `` is not the name of an inst"), "{error}");
    let error = load(&[("a.csv", b"x,label\n1,0\n")], &by_column(10, 0, 1));
    let error = error.expect_err("no such column").to_string();
    assert!(error.contains("has no column `hospital` for the site"), "{error}");
}
