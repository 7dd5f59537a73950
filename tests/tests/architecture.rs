//! The arrows between crates point down, and the pure crates stay pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").into()
}

const ALL_KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Which of our crates each crate may name, in any kind of dependency.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    BTreeMap::from([
        ("ledger", BTreeSet::from([])),
        ("contract", BTreeSet::from(["ledger"])),
        ("consensus", BTreeSet::from(["contract", "ledger"])),
        ("sim", BTreeSet::from(["contract", "ledger"])),
        ("node", BTreeSet::from(["consensus", "contract", "ledger", "sim"])),
        ("tests", BTreeSet::from(["consensus", "contract", "ledger", "node", "sim"])),
    ])
}

fn dependencies(krate: &str, kinds: &[&str]) -> BTreeMap<String, toml::Value> {
    let path = workspace().join(krate).join("Cargo.toml");
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(path).expect("a manifest")).expect("valid TOML");
    let mut all = BTreeMap::new();
    for kind in kinds {
        if let Some(table) = manifest.get(*kind).and_then(toml::Value::as_table) {
            all.extend(table.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    all
}

#[test]
fn arrows_point_down() {
    let root: toml::Table = toml::from_str(
        &fs::read_to_string(workspace().join("Cargo.toml")).expect("the root manifest"),
    )
    .expect("valid TOML");
    let members: BTreeSet<&str> = root["workspace"]["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|member| member.as_str().expect("text"))
        .collect();
    let allowed = allowed();
    assert_eq!(members, allowed.keys().copied().collect(), "a crate without a rule");
    for (krate, may) in &allowed {
        for name in dependencies(krate, &ALL_KINDS).keys() {
            if let Some(ours) = name.strip_prefix("fedledger-") {
                assert!(may.contains(ours), "{krate} must not depend on {ours}");
            }
        }
    }
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    let impure = ["tokio", "libp2p", "axum", "rand", "reqwest", "ureq", "tracing"];
    for krate in ["ledger", "contract"] {
        let dependencies = dependencies(krate, &["dependencies"]);
        for name in impure {
            assert!(!dependencies.contains_key(name), "{krate} must not depend on {name}");
        }
    }
    let sled = &dependencies("ledger", &["dependencies"])["sled"];
    assert_eq!(sled["optional"].as_bool(), Some(true), "the store is a feature of ledger");
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn nothing_in_ledger_but_the_store_names_the_store() {
    let root = workspace().join("ledger/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 10, "the sources were not found");
    for path in files {
        let relative = path.strip_prefix(&root).expect("below the root");
        if relative.starts_with("store") || relative == Path::new("store.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for forbidden in ["crate::store", "std::fs", "std::net", "sled::"] {
            assert!(!text.contains(forbidden), "{} names {forbidden}", path.display());
        }
    }
}

#[test]
fn no_room_is_too_large() {
    for krate in allowed().keys() {
        let root = workspace().join(krate).join("src");
        if !root.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        sources(&root, &mut files);
        for path in files {
            let lines = fs::read_to_string(&path).expect("a source file").lines().count();
            let test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
            assert!(test || lines <= 800, "{} has {lines} lines, at most 800", path.display());
        }
    }
}
