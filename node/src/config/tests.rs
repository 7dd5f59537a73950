use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Config::parse(Path::new("node.toml"), text, variables).map_err(|error| error.to_string())
}

fn refused(text: &str, variables: &[(&str, &str)], words: &[&str]) {
    let error = parse(text, variables).expect_err("accepted");
    for word in words {
        assert!(error.contains(word), "`{error}` does not say `{word}`");
    }
}

#[test]
fn what_is_written_reads_back() {
    assert_eq!(parse("", &[]).unwrap(), Config::default());
    assert_eq!(parse(&Config::default().to_text(), &[]).unwrap(), Config::default());
    let mut config = Config::default();
    config.node.member = "hospital-a".into();
    config.network.listen = vec!["/ip6/::/tcp/1".into()];
    config.http.address = "[::1]:0".parse().unwrap();
    config.log.format = LogFormat::Json;
    config.evaluator.command = vec!["python3".into(), "score it.py".into()];
    assert_eq!(parse(&config.to_text(), &[]).unwrap(), config);
    assert_eq!(config.member_id().unwrap().as_str(), "hospital-a");
    assert_eq!(config.listen().len(), 1);
}

#[test]
fn unknown_settings_are_refused_with_their_line() {
    refused("[http]\n\nadress = \"127.0.0.1:1\"\n", &[], &["node.toml", "line 3", "adress"]);
    refused("[htttp]\n", &[], &["line 1", "htttp"]);
    refused("[http]\naddress = 7\n", &[], &["line 2", "address"]);
    refused("[log]\nformat = \"xml\"\n", &[], &["line 2", "xml", "text", "json"]);
    refused("[node\n", &[], &["line 1"]);
}

#[test]
fn variables_override_every_kind_of_setting() {
    let file = "[http]\naddress = \"127.0.0.1:1\"\n[limits]\nhttp_uploads = 9\n";
    let config = parse(
        file,
        &[
            ("FEDLEDGER_HTTP_ADDRESS", "127.0.0.1:0"),
            ("FEDLEDGER_NETWORK_LISTEN", " /ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2"),
            ("FEDLEDGER_NETWORK_EXTERNAL", ""),
            ("FEDLEDGER_NETWORK_DIAL_ONLY", "false"),
            ("FEDLEDGER_LOG_FORMAT", "json"),
            ("FEDLEDGER_TIMEOUTS_SHUTDOWN_MS", "5"),
            ("FEDLEDGER_NODE_DATA_DIR", "/var/lib/fedledger"),
            ("FEDLEDGER_NODE_MEMBER", "a"),
            ("FEDLEDGER_EVALUATOR_COMMAND", "python3, score.py"),
            ("FEDLEDGER_EVALUATOR_FORMAT", "safetensors"),
            ("FEDLEDGER_NODE", "http://127.0.0.1:1"),
            ("FEDLEDGER_HOME", "/home"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.http.address.port(), 0);
    assert_eq!(config.network.listen, ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.timeouts.shutdown_ms, 5);
    assert_eq!(config.evaluator.command, ["python3", "score.py"]);
    assert_eq!(config.evaluator.format, ModelFormat::Safetensors);
    assert_eq!(config.node.data_dir, Path::new("/var/lib/fedledger"));
    assert_eq!(config.limits.http_uploads, 9, "a setting of the file was lost");
}

#[test]
fn variables_that_name_no_setting_or_hold_no_value_are_refused() {
    refused("", &[("FEDLEDGER_HTTP_ADRESS", "x")], &["FEDLEDGER_HTTP_ADRESS", "address"]);
    refused("", &[("FEDLEDGER_HTTP_ADDRESS", "here")], &["FEDLEDGER_HTTP_ADDRESS"]);
    refused("", &[("FEDLEDGER_NETWORK_DIAL_ONLY", "1")], &["expected true or false"]);
    refused("", &[("FEDLEDGER_LIMITS_HTTP_UPLOADS", "-1")], &["FEDLEDGER_LIMITS_HTTP_UPLOADS"]);
    refused("", &[("FEDLEDGER_LIMITS_HTTP_UPLOADS", "many")], &["expected a whole number"]);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    refused("[network]\nlisten = [\"0.0.0.0:1\"]", &[], &["network.listen", "not a multiaddr"]);
    refused("[network]\nlisten = []", &[], &["network.listen", "dial_only = true"]);
    assert!(parse("[network]\nlisten = []\ndial_only = true", &[]).unwrap().listen().is_empty());
    let both = "[network]\ndial_only = true\nexternal = [\"/ip4/192.0.2.1/tcp/1\"]";
    refused(both, &[], &["network.external"]);
    refused("[node]\nmember = \"Not An Id\"", &[], &["node.member"]);
    refused("[limits]\nhttp_uploads = 0", &[], &["limits.http_uploads", "above 0"]);
    let member = "[node]\nmember = \"a\"\n[evaluator]\n";
    refused(&format!("{member}timeout_ms = 0"), &[], &["evaluator.timeout_ms", "above 0"]);
    refused(&format!("{member}command = [\"\"]"), &[], &["evaluator.command", "empty"]);
    refused(&format!("{member}command = \"sh\""), &[], &["line 4", "command"]);
    let nobody = "[evaluator]\ncommand = [\"sh\"]";
    refused(nobody, &[], &["evaluator.command", "node.member"]);
}

#[test]
fn a_genesis_file_is_bounded_and_strict() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    assert!(home.genesis().unwrap_err().to_string().contains("genesis.json"));
    let write = |text: &str| std::fs::write(home.genesis_file(), text).unwrap();
    write("{\"chain_id\":\"c\",\n\"time\":1,\"members\":[],\"extra\":1}");
    let error = home.genesis().unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("extra"), "{error}");
    write(&" ".repeat(fedledger_ledger::limits::GENESIS_BYTES_MAX + 1));
    assert!(matches!(home.genesis(), Err(ConfigError::TooLong { .. })));
    write("{\"chain_id\":\"c\",\"time\":1,\"members\":[]}");
    assert_eq!(home.genesis().unwrap().chain_id.as_str(), "c");
}
