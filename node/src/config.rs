//! What an operator sets: `node.toml` in the node's home, each setting overridable by an
//! environment variable `FEDLEDGER_<SECTION>_<FIELD>`.
//!
//! A setting that is not known is refused with its line: a misspelt limit is no limit. Secrets are
//! never settings; they are files of mode 0600.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fedledger_ledger::ids::{IdError, MemberId};
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod environment;
mod home;
#[cfg(test)]
mod tests;

pub(crate) use home::read_text;
pub use home::{read_genesis, Home};

/// Longest `node.toml` in bytes.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// The settings of a node. Every one has a default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this node is and where it keeps things.
    pub node: NodeSection,
    /// How it reaches other members.
    pub network: NetworkSection,
    /// How its own institution reaches it.
    pub http: HttpSection,
    /// What it logs.
    pub log: LogSection,
    /// How much it takes on.
    pub limits: LimitsSection,
    /// How long it waits.
    pub timeouts: TimeoutsSection,
    /// The program that scores candidates for its member.
    pub evaluator: EvaluatorSection,
}

/// Who this node is and where it keeps things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// The member whose keys are in the home; empty for a node that only follows.
    pub member: String,
    /// Folder of the ledger and the blobs; relative to the home.
    pub data_dir: PathBuf,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self { member: String::new(), data_dir: "data".into() }
    }
}

/// How the node reaches other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSection {
    /// Multiaddrs to listen on. Port 0 takes a free one.
    pub listen: Vec<String>,
    /// Multiaddrs at which others can dial this node, when they differ from those listened on.
    pub external: Vec<String>,
    /// Dial out only and listen on nothing: for a node behind a firewall.
    pub dial_only: bool,
}

impl Default for NetworkSection {
    fn default() -> Self {
        let listen = ["/ip4/0.0.0.0/udp/8470/quic-v1", "/ip4/0.0.0.0/tcp/8470"];
        Self { listen: listen.map(Into::into).into(), external: Vec::new(), dial_only: false }
    }
}

/// How the node's own institution reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// Address and port of the HTTP API. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Names that requests may use for this node in their `Host` header, beside loopback ones and
    /// the address itself. Anything else is refused, so that a web page cannot reach the node
    /// through a name that it controls (DNS rebinding).
    pub allowed_hosts: Vec<String>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 8480)), allowed_hosts: Vec::new() }
    }
}

/// What the node logs, to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// The form of a line.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or filter directives such as
    /// `info,fedledger_node::network=debug`.
    pub level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much the node takes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Longest update accepted over HTTP, in bytes.
    pub http_upload_bytes: u64,
    /// Uploads over HTTP at once: each is held in memory whole.
    pub http_uploads: usize,
    /// Event streams over HTTP at once.
    pub http_event_streams: usize,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self { http_upload_bytes: 512 << 20, http_uploads: 2, http_event_streams: 64 }
    }
}

/// How long the node waits, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsSection {
    /// For a request body to arrive over HTTP.
    pub http_upload_ms: u64,
    /// For work in progress when the node is stopped.
    pub shutdown_ms: u64,
}

impl Default for TimeoutsSection {
    fn default() -> Self {
        Self { http_upload_ms: 600_000, shutdown_ms: 10_000 }
    }
}

/// The program that the node runs to score a round's candidates on its member's held-out rows; see
/// `docs/evaluation.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluatorSection {
    /// Program and arguments, run in the home; empty when nothing is run.
    pub command: Vec<String>,
    /// The form of the models that it is given.
    pub format: ModelFormat,
    /// Longest run in milliseconds; then it is killed.
    pub timeout_ms: u64,
    /// How long after a run that came to nothing it is run again for the same round, in milliseconds.
    pub retry_ms: u64,
}

impl Default for EvaluatorSection {
    fn default() -> Self {
        let command = Vec::new();
        Self { command, format: ModelFormat::Npz, timeout_ms: 600_000, retry_ms: 60_000 }
    }
}

/// The form of a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ModelFormat {
    /// For NumPy.
    Npz,
    /// For everything else.
    Safetensors,
}

impl ModelFormat {
    /// Its name, which is also the ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
        }
    }
}

/// Why the settings were refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The file is too long.
    #[error("{}: longer than {max} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Longest length allowed in bytes.
        max: u64,
    },
    /// The file does not parse; the message has the line.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// An environment variable does not name a setting.
    #[error("environment variable {variable} names no setting; [{section}] has {known}")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The section that its name starts with.
        section: String,
        /// The settings there are.
        known: String,
    },
    /// An environment variable has a value that its setting cannot have.
    #[error("environment variable {variable}: {reason}")]
    BadVariable {
        /// The variable.
        variable: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A setting has a value that cannot work.
    #[error("setting `{setting}`: {reason}")]
    BadSetting {
        /// Section and field.
        setting: &'static str,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// The member id is not one.
    #[error("setting `node.member`: {0}")]
    BadMember(#[from] IdError),
}

impl Config {
    /// Reads settings from a file and the environment. A file that is not there means defaults.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = home::read_text(path, CONFIG_BYTES_MAX)?.unwrap_or_default();
        Self::parse(path, &text, variables)
    }

    /// Reads settings from text and variables. `path` is where the text came from, for messages.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        path: &Path,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.into(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let config = environment::override_with(config, variables)?;
        config.check()?;
        Ok(config)
    }

    /// The member whose keys this node has, if any.
    pub fn member_id(&self) -> Option<MemberId> {
        let member = self.node.member.as_str();
        (!member.is_empty()).then(|| MemberId::new(member).expect("checked when it was read"))
    }

    /// The addresses to listen on; none for a node that only dials.
    pub fn listen(&self) -> Vec<Multiaddr> {
        let listen: &[String] = if self.network.dial_only { &[] } else { &self.network.listen };
        listen.iter().map(|text| text.parse().expect("checked when it was read")).collect()
    }

    /// The addresses at which others can dial this node.
    pub fn external(&self) -> Vec<Multiaddr> {
        let external = self.network.external.iter();
        external.map(|text| text.parse().expect("checked when it was read")).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.node.member.is_empty() {
            MemberId::new(self.node.member.as_str())?;
        }
        check_addresses("network.listen", &self.network.listen)?;
        check_addresses("network.external", &self.network.external)?;
        if !self.network.dial_only && self.network.listen.is_empty() {
            return Err(ConfigError::BadSetting {
                setting: "network.listen",
                reason: "is empty; a node without a listening address needs `dial_only = true`"
                    .into(),
            });
        }
        if self.network.dial_only && !self.network.external.is_empty() {
            return Err(ConfigError::BadSetting {
                setting: "network.external",
                reason: "must be empty when `dial_only = true`".into(),
            });
        }
        if self.evaluator.command.first().is_some_and(String::is_empty) {
            let reason = "its first word, the program, is empty".into();
            return Err(ConfigError::BadSetting { setting: "evaluator.command", reason });
        }
        if !self.evaluator.command.is_empty() && self.node.member.is_empty() {
            let reason = "a node without `node.member` has nobody to score candidates for".into();
            return Err(ConfigError::BadSetting { setting: "evaluator.command", reason });
        }
        for (setting, value) in [
            ("limits.http_upload_bytes", self.limits.http_upload_bytes),
            ("limits.http_uploads", self.limits.http_uploads as u64),
            ("timeouts.http_upload_ms", self.timeouts.http_upload_ms),
            ("timeouts.shutdown_ms", self.timeouts.shutdown_ms),
            ("evaluator.timeout_ms", self.evaluator.timeout_ms),
            ("evaluator.retry_ms", self.evaluator.retry_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::BadSetting { setting, reason: "must be above 0".into() });
            }
        }
        Ok(())
    }

    /// The text of a new `node.toml`: these settings, each section with what it is for.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Settings of a fedledger node. Every one can be overridden by an environment\n\
             # variable FEDLEDGER_<SECTION>_<FIELD>; lists are separated by commas there.\n",
        );
        let table = environment::to_table(self);
        for (section, about) in SECTIONS {
            text += &format!("\n# {about}\n[{section}]\n");
            text += &toml::to_string(&table[section]).expect("settings are plain values");
        }
        text
    }
}

/// The sections with what each is for, in the order in which they are written.
const SECTIONS: [(&str, &str); 7] = [
    ("node", "Who this node is, and the folder of its ledger and blobs (relative to the home)."),
    ("network", "How it reaches other members. dial_only: for nodes behind a firewall."),
    ("http", "Its HTTP API, for the institution's own people and programs. Keep it on loopback."),
    ("log", "format: text or json. level: error, warn, info, debug, trace."),
    ("limits", "How much it takes on."),
    ("timeouts", "How long it waits, in milliseconds."),
    ("evaluator", "Program that scores candidates on held-out rows; see docs/evaluation.md."),
];

fn check_addresses(setting: &'static str, addresses: &[String]) -> Result<(), ConfigError> {
    for text in addresses {
        text.parse::<Multiaddr>().map_err(|error| ConfigError::BadSetting {
            setting,
            reason: format!("`{text}` is not a multiaddr such as /ip4/192.0.2.1/tcp/8470: {error}"),
        })?;
    }
    Ok(())
}
