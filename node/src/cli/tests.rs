use std::path::Path;

use super::*;
use crate::files::{write_matrix, FloatBits, Matrix};

fn fedledger(arguments: &[&str]) -> Exit {
    let arguments = [&["fedledger"], arguments].concat();
    run_with(arguments.into_iter().map(OsString::from).collect())
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    assert_eq!(fedledger(&["--help"]), Exit::Ok);
    assert_eq!(fedledger(&["--version"]), Exit::Ok);
    assert_eq!(fedledger(&["exit-codes", "--output", "json"]), Exit::Ok);
    for bad in [
        &["no-such-verb"][..],
        &["status", "--output", "xml"],
        &["update", "submit", "u.safetensors", "--task", "t"],
        &["update", "submit", "u.safetensors", "--task", "Not An Id", "--num-examples", "1"],
        &["aggregate", "folder", "--rule", "krum"],
        &["aggregate", "folder", "--rule", "crumb", "--byzantine", "1"],
        &["aggregate", "folder", "--rule", "mean", "--byzantine", "1", "--before", "bucketing"],
        &["aggregate", "folder", "--rule", "mean", "--byzantine", "1", "--before", "bucketing:x"],
        &["aggregate", "folder", "--task", "t.toml", "--before", "nearest-neighbours"],
        &["status", "--node", "https://somewhere"],
    ] {
        assert_eq!(fedledger(bad), Exit::Usage, "{bad:?}");
    }
}

#[test]
fn no_node_ends_with_3() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    // A port that was free a moment ago and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for verb in [&["status"][..], &["member", "list"], &["task", "show", "t"], &["audit", "verify"]]
    {
        let arguments = [verb, &["--home", home, "--node", &url]].concat();
        assert_eq!(fedledger(&arguments), Exit::Unreachable, "{verb:?}");
    }
}

/// Makes a home and returns its member entry's path.
fn init(folder: &Path, member: &str) -> String {
    let home = folder.join(member);
    let arguments = [
        "init",
        "--home",
        home.to_str().unwrap(),
        "--member",
        member,
        "--name",
        "A hospital",
        "--address",
        "/ip4/127.0.0.1/tcp/8470",
    ];
    assert_eq!(fedledger(&arguments), Exit::Ok);
    home.join("member.json").to_str().unwrap().to_owned()
}

#[test]
fn a_consortium_is_founded_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<String> =
        ["north", "south", "east", "west"].map(|member| init(folder.path(), member)).into();
    let again = folder.path().join("north");
    let arguments = [
        "init",
        "--home",
        again.to_str().unwrap(),
        "--member",
        "north",
        "--name",
        "N",
        "--dial-only",
    ];
    assert_eq!(fedledger(&arguments), Exit::Usage, "a home was initialised twice");

    let task = folder.path().join("task.toml");
    std::fs::write(&task, TASK).unwrap();
    let out = folder.path().join("genesis.json");
    let mut arguments = vec!["genesis", "create", "--chain-id", "test-1", "--time-ms", "1000"];
    for entry in &entries {
        arguments.extend(["--member", entry]);
    }
    arguments.extend(["--task", task.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(fedledger(&arguments), Exit::Ok);
    let genesis = crate::config::read_genesis(&out).unwrap();
    let ids: Vec<&str> = genesis.members.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(ids, ["east", "north", "south", "west"]);
    let model = std::fs::read(folder.path().join("heart.model")).unwrap();
    assert_eq!(fedledger_ledger::ids::Digest::of(&model), genesis.tasks[0].initial_model);
    assert_eq!(fedledger(&["genesis", "show", out.to_str().unwrap()]), Exit::Ok);

    // A task that wants four updates a round, among three members.
    let (_, fewer) = entries.split_last().unwrap();
    let mut arguments = vec!["genesis", "create", "--chain-id", "test-1"];
    for entry in fewer {
        arguments.extend(["--member", entry]);
    }
    let other = folder.path().join("other.json");
    arguments.extend(["--task", task.to_str().unwrap(), "--out", other.to_str().unwrap()]);
    assert_eq!(fedledger(&arguments), Exit::Usage);
    assert!(!other.exists());
}

const TASK: &str = r#"
id = "heart"
rounds = 3
byzantine = 1
rule = { name = "median" }
updates_min = 4

[[tensors]]
name = "w"
shape = [3]

[[tensors]]
name = "b"
shape = []
scale_bits = 20
"#;

#[test]
fn a_task_file_has_defaults_and_names_the_line_of_a_fault() {
    let path = Path::new("task.toml");
    let parsed = task_file::parse(path, TASK, None).unwrap();
    let names: Vec<(&str, i8)> =
        parsed.spec.tensors.iter().map(|it| (it.name.as_str(), it.scale_bits)).collect();
    assert_eq!(names, [("b", 20), ("w", 16)]);
    assert_eq!(parsed.spec.trust, Some(fedledger_contract::profile::TRUST_FEW));
    let error = |text: &str| task_file::parse(path, text, None).unwrap_err().message;
    let misspelt = TASK.replace("rounds", "round");
    assert!(error(&misspelt).contains("line 3") && error(&misspelt).contains("`round`"));
    assert!(error(&TASK.replace("median", "medium")).contains("medium"));
    assert!(error("id = \"t\"\nrounds = 1\nbyzantine = 0\n").contains("[[tensors]]"));
    assert!(error(&TASK.replace("[3]", "[0]")).contains("length 0"));

    let bits = |values: [f32; 3]| FloatBits::F32(values.map(f32::to_bits).into());
    let model = [
        crate::files::NamedTensor { name: "w".into(), shape: vec![3], values: bits([1.0; 3]) },
        crate::files::NamedTensor {
            name: "b".into(),
            shape: vec![],
            values: FloatBits::F64(vec![0.5f64.to_bits()]),
        },
    ];
    let with_model = task_file::parse(path, TASK, Some(&model)).unwrap();
    assert_ne!(with_model.spec.initial_model, parsed.spec.initial_model);
    let error = task_file::parse(path, TASK, Some(&model[1..])).unwrap_err().message;
    assert!(error.contains("\"w\" is missing"), "{error}");
}

fn matrix(rows: &[[f32; 3]]) -> Matrix {
    let bits = rows.iter().flatten().map(|value| value.to_bits()).collect();
    Matrix { rows: rows.len(), columns: 3, values: FloatBits::F32(bits) }
}

/// Applies a rule to files, with the aggregate in a file named after the rule.
fn aggregate(folder: &Path, input: &str, rule: &str, byzantine: &str) -> Exit {
    aggregate_after(folder, input, &[], (rule, byzantine))
}

/// The same with more on the command line.
fn aggregate_after(
    folder: &Path,
    input: &str,
    more: &[&str],
    (rule, byzantine): (&str, &str),
) -> Exit {
    let out = folder.join(format!("{rule}.npy"));
    let input = folder.join(input);
    let (input, out) = (utf8(&input), utf8(&out));
    let rule = ["--rule", rule, "--byzantine", byzantine, "--out", out];
    fedledger(&[&["aggregate", input], &rule[..], more].concat())
}

fn written(path: &Path) -> Vec<f32> {
    let tensors = crate::files::read_tensors(path).unwrap();
    match &tensors[0].values {
        FloatBits::F32(bits) => bits.iter().map(|&bits| f32::from_bits(bits)).collect(),
        FloatBits::F64(_) => panic!("aggregates are float32"),
    }
}

#[test]
fn aggregate_reads_a_matrix_and_writes_what_the_rule_says() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        [1.0, 2.0, 3.0],
        [1.25, 2.0, 3.0],
        [1.0, 2.25, 3.0],
        [1.0, 2.0, 3.25],
        [1.0, 2.0, 3.0],
        [1.0, 1.75, 3.0],
        [-8.0, 9.0, -9.0],
    ];
    write_matrix(&folder.path().join("m.npy"), &matrix(&rows)).expect("a file in it");
    assert_eq!(aggregate(folder.path(), "m.npy", "median", "1"), Exit::Ok);
    assert_eq!(written(&folder.path().join("median.npy")), [1.0, 2.0, 3.0]);
    assert_eq!(aggregate(folder.path(), "m.npy", "krum", "1"), Exit::Ok);
    let chosen = written(&folder.path().join("krum.npy"));
    assert!(rows[..6].iter().any(|row| row[..] == chosen[..]), "{chosen:?} is no honest update");
    // The mean, undefended, follows the hostile row.
    assert_eq!(aggregate(folder.path(), "m.npy", "mean", "0"), Exit::Ok);
    assert!(written(&folder.path().join("mean.npy"))[0] < 0.0);
    // Krum needs n ≥ 2f + 3, Bulyan n ≥ 4f + 3: refused with nothing written.
    assert_eq!(aggregate(folder.path(), "m.npy", "bulyan", "2"), Exit::Usage);
    assert!(!folder.path().join("bulyan.npy").exists());
    // Results are never overwritten.
    assert_eq!(aggregate(folder.path(), "m.npy", "median", "1"), Exit::Usage);
}

/// What each stage does to these updates can be said without the contract.
#[test]
fn aggregate_transforms_updates_before_the_rule_and_knows_the_spectral_rules() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [[1.0, 2.0, 3.0]; 6].into_iter().chain([[-8.0, 16.0, -8.0]]);
    // No two alike: copies would be left out.
    let nudge = |(k, mut row): (usize, [f32; 3])| {
        row[0] += k as f32 / 1024.0;
        row
    };
    let rows: Vec<[f32; 3]> = rows.enumerate().map(nudge).collect();
    write_matrix(&folder.path().join("m.npy"), &matrix(&rows)).expect("a file in it");
    let close = |file: &str, by: f32| {
        let found = written(&folder.path().join(file));
        std::fs::remove_file(folder.path().join(file)).expect("it was written");
        let honest = [1.0, 2.0, 3.0];
        found.iter().zip(honest).all(|(found, honest): (&f32, f32)| (found - honest).abs() < by)
    };
    let run = |before: &[&str], rule: &str| {
        let exit = aggregate_after(folder.path(), "m.npy", before, (rule, "1"));
        assert_eq!(exit, Exit::Ok, "{rule} after {before:?}");
    };
    for rule in ["filtered-trimmed-mean", "divide-and-conquer"] {
        run(&[], rule);
        assert!(close(&format!("{rule}.npy"), 0.01), "{rule}");
    }
    // The mean follows the hostile update; clipped to the length of an honest one, much less; once
    // it is mixed with its neighbours, the median of buckets does not.
    run(&[], "mean");
    assert!(!close("mean.npy", 1.2));
    run(&["--before", "adaptive-clipping"], "mean");
    assert!(close("mean.npy", 1.2));
    run(&["--before", "nearest-neighbours,bucketing:2"], "median");
    assert!(close("median.npy", 0.01));
    // Seven updates in buckets of six are two, too few for a median that withstands one.
    let more = ["--before", "bucketing:6"];
    assert_eq!(aggregate_after(folder.path(), "m.npy", &more, ("median", "1")), Exit::Usage);
}

#[test]
fn aggregate_reads_a_folder_and_refuses_one_update_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |values: [f32; 3]| crate::files::NamedTensor {
        name: "w".into(),
        shape: vec![3],
        values: FloatBits::F32(values.map(f32::to_bits).into()),
    };
    let updates = folder.path().join("updates");
    std::fs::create_dir(&updates).unwrap();
    for (name, values) in [
        ("a", [1.0, 1.0, 1.0]),
        ("b", [1.0, 1.0, 1.5]),
        ("c", [1.0, 1.5, 1.0]),
        ("d", [f32::NAN, 1.0, 1.0]),
        ("e", [1e30, 1.0, 1.0]),
    ] {
        let bytes = crate::files::to_safetensors(&[tensor(values)]);
        std::fs::write(updates.join(format!("{name}.safetensors")), bytes).unwrap();
    }
    std::fs::write(updates.join("README"), "not an update").unwrap();
    assert_eq!(aggregate(folder.path(), "updates", "median", "0"), Exit::Ok);
    assert_eq!(written(&folder.path().join("median.npy")), [1.0, 1.0, 1.0]);
    std::fs::write(updates.join("f.safetensors"), "cut off").unwrap();
    assert_eq!(aggregate(folder.path(), "updates", "mean", "0"), Exit::Usage);
}

#[test]
fn a_profile_fills_what_a_task_file_leaves_open() {
    use fedledger_contract::profile::{HISTORY_BALANCED, NORM_BAND};
    use fedledger_ledger::task::{AggregationRule, Weighting};
    let path = Path::new("task.toml");
    let body = "id = \"t\"\nrounds = 60\nbyzantine = 4\n";
    let tensors = "[[tensors]]\nname = \"w\"\nshape = [3]\n";
    let read = |more: &str| task_file::parse(path, &format!("{body}{more}{tensors}"), None);
    let balanced = read("profile = \"balanced\"\n").expect("a good task file").spec;
    assert_eq!(balanced.history, Some(HISTORY_BALANCED));
    assert_eq!(balanced.norm_band, Some(NORM_BAND));
    assert_eq!(balanced.weighting, Weighting::Uniform);
    assert_eq!(balanced.byzantine, 4);
    assert_eq!(fedledger_contract::check_task(&balanced, 13), Ok(()));
    // What the file says itself stays.
    let mixed = read("profile = \"balanced\"\nrule = { name = \"median\" }\n")
        .expect("a good task file")
        .spec;
    assert_eq!(mixed.rule, AggregationRule::Median);
    assert_eq!(mixed.history, Some(HISTORY_BALANCED));
    let untrusting =
        read("profile = \"strict\"\ntrust_enabled = false\n").expect("a good task file").spec;
    assert_eq!(untrusting.trust, None);
    assert_eq!(read("").expect("a good task file").spec, balanced, "balanced is the default");
    assert_eq!(balanced.evaluation, None);
    let evaluated = read("profile = \"evaluated\"\n").expect("a good task file").spec;
    let harm = evaluated.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
    assert_eq!(harm, Some(fedledger_contract::profile::HARM));
    assert_eq!(fedledger_contract::check_task(&evaluated, 13), Ok(()));
    let named = "classes = [\"benign\", \"malignant\"]\n";
    let by_class = read(&format!("profile = \"evaluated\"\n{named}")).expect("a good task file");
    assert_eq!(by_class.spec.classes(), ["benign", "malignant"]);
    assert_eq!(by_class.spec.evaluation.as_ref().and_then(|evaluation| evaluation.harm), harm);
    assert_eq!(by_class.spec.protected_class(), None);
    let whole = format!("[evaluation]\ncandidates = []\nwindow_ms = 9\n{named}");
    assert_eq!(read(&whole).expect("a good task file").spec.classes(), ["benign", "malignant"]);
    let error = read(&format!("{named}{whole}")).unwrap_err().message;
    assert!(error.contains("with a table `evaluation` they belong into it"), "{error}");
    let protects = "protected_class = \"malignant\"\n";
    let of_class = read(&format!("profile = \"evaluated\"\n{named}{protects}"));
    let of_class = of_class.expect("a good task file").spec;
    assert_eq!(of_class.protected_class(), Some(1));
    let harm = of_class.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
    assert_eq!(harm, Some(fedledger_contract::profile::HARM_OF_CLASS));
    assert_eq!(fedledger_contract::check_task(&of_class, 13), Ok(()));
    let error = read(named).unwrap_err().message;
    assert!(error.contains("`classes` is set, and members score nothing"), "{error}");
    let untrusting = read("profile = \"evaluated\"\ntrust_enabled = false\n");
    let untrusting = untrusting.expect("a good task file").spec;
    assert_eq!((untrusting.evaluation, untrusting.history), (None, None));
    let error = read("profile = \"lax\"\n").unwrap_err().message;
    assert!(error.contains("lax") && error.contains("balanced"), "{error}");
}

#[test]
fn every_verb_and_exit_code_is_documented() {
    let documentation = include_str!("../../../docs/cli.md");
    for verb in command().get_subcommands().filter(|verb| verb.get_name() != "help") {
        let heading = format!("`{}", verb.get_name());
        assert!(documentation.contains(&heading), "docs/cli.md does not describe {heading}`");
    }
    for (exit, name, _) in Exit::ALL {
        let row = format!("| {} | `{name}` |", exit as u8);
        assert!(documentation.contains(&row), "docs/cli.md lacks `{row}`");
    }
}
