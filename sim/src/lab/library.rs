//! The named scenarios that the program carries: the files of `sim/scenarios`.

use std::path::PathBuf;

use super::check::nearest;
use super::file::Source;

macro_rules! scenarios {
    ($($name:literal,)+) => {
        /// Name and text of each, in the order in which they are listed.
        const SCENARIOS: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),+
        ];
    };
}

scenarios! {
    "control",
    "heart-control",
    "silent-drift",
    "coordinated-infiltration",
    "sybil-flood",
    "heart-one-of-four",
    "sign-flip",
    "label-flip",
    "inner-product",
    "alie",
    "backdoor",
}

/// The names, in the order in which they are listed.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// The text of a named scenario.
pub fn text(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A named scenario. Relative paths in it start from the working directory.
///
/// # Panics
/// Never: a test reads every scenario of the library.
pub fn get(name: &str) -> Option<Source> {
    let text = text(name)?.to_owned();
    let source = Source::parse(name, &format!("{name}.toml"), text, PathBuf::from("."));
    Some(source.expect("the library's scenarios are good"))
}

/// The name of the library that is most like `found`, if one is.
pub fn similar(found: &str) -> Option<&'static str> {
    nearest(found, names())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{get, names, similar};

    #[test]
    fn every_file_is_carried_and_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: BTreeSet<String> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, names().map(str::to_owned).collect());
        for name in names() {
            let scenario = get(name).expect("it is there").scenario;
            assert!(scenario.acceptance.asks(), "{name} asks nothing");
            assert!(!scenario.description.is_empty() && scenario.seeds.len() >= 3, "{name}");
        }
        assert!(get("unknown").is_none());
        assert_eq!(similar("silent-drfit"), Some("silent-drift"));
    }
}
