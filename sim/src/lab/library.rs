//! The named scenarios that the program carries: the files of `sim/scenarios`, and one for each attack
//! by itself, all from the same file.

use std::path::PathBuf;

use super::check::nearest;
use super::file::Source;
use crate::attack::Attack;

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
    "honest-change",
    "honest-change-announced",
    "honest-change-apart",
    "silent-drift",
    "silent-drift-from-day-one",
    "coordinated-infiltration",
    "sybil-flood",
    "heart-one-of-four",
    "wdbc-sweep",
    "wdbc-sweep-later",
    "backdoors",
    "defence-drift",
    "defence-ablation",
    "defence-early",
    "defence-untargeted",
    "defence-backdoors",
    "defence-honest",
    "defence-framing",
    "defence-hospitals",
    "defence-hospitals-honest",
    "digits-network",
    "digits-convolutions",
}

/// What stands before an attack's name in the name of its scenario.
const SINGLE: &str = "attack-";
/// The attack that the file for single attacks names.
const WRITTEN: &str = "sign-flip";
const SINGLE_TEXT: &str = include_str!("../../scenarios/attack-sign-flip.toml");

/// The names, in the order in which they are listed.
pub fn names() -> Vec<String> {
    let files = SCENARIOS.iter().map(|(name, _)| (*name).to_owned());
    files.chain(Attack::NAMES.iter().map(|attack| format!("{SINGLE}{attack}"))).collect()
}

/// The text of a named scenario.
pub fn text(name: &str) -> Option<String> {
    if let Some(attack) = name.strip_prefix(SINGLE) {
        let known = Attack::NAMES.contains(&attack);
        return known.then(|| SINGLE_TEXT.replace(WRITTEN, attack));
    }
    let found = SCENARIOS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| (*text).to_owned())
}

/// A named scenario. Relative paths in it start from the working directory.
///
/// # Panics
/// Never: a test reads every scenario of the library.
pub fn get(name: &str) -> Option<Source> {
    let source = Source::parse(name, &format!("{name}.toml"), text(name)?, PathBuf::from("."));
    Some(source.expect("the library's scenarios are good"))
}

/// The name of the library that is most like `found`, if one is.
pub fn similar(found: &str) -> Option<String> {
    let names = names();
    nearest(found, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{get, names, similar};

    #[test]
    fn every_file_is_carried_and_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(names().contains(&name), "{name} is not carried");
        }
        for name in names() {
            let scenario = get(&name).expect("it is there").scenario;
            assert!(scenario.acceptance.asks(), "{name} asks nothing");
            assert!(!scenario.description.is_empty() && scenario.seeds.len() >= 3, "{name}");
            for group in &scenario.attackers {
                let single = name.strip_prefix("attack-");
                assert!(single.is_none_or(|attack| attack == group.attack.name()), "{name}");
            }
        }
        assert!(get("unknown").is_none() && get("attack-unknown").is_none());
        assert_eq!(similar("silent-drfit").as_deref(), Some("silent-drift"));
    }
}
