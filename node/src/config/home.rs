//! A node's home: where its settings, keys, genesis and data are.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::limits::GENESIS_BYTES_MAX;

use super::{Config, ConfigError};

/// The folder that belongs to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home at `path`. Nothing is read or made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings file.
    pub fn config_file(&self) -> PathBuf {
        self.path.join("node.toml")
    }

    /// The genesis document.
    pub fn genesis_file(&self) -> PathBuf {
        self.path.join("genesis.json")
    }

    /// The folder of the ledger and the blobs.
    pub fn data_dir(&self, config: &Config) -> PathBuf {
        self.path.join(&config.node.data_dir)
    }

    /// The bearer token that requests which change anything must carry; see
    /// `crate::api::access`.
    pub fn token_file(&self, config: &Config) -> PathBuf {
        self.data_dir(config).join("api.token")
    }

    /// Where a running node writes the address of its HTTP API, for the command line.
    pub fn address_file(&self, config: &Config) -> PathBuf {
        self.data_dir(config).join("api.address")
    }

    /// Reads the settings from the file and this process's environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        // Variables that are not text cannot be settings: every setting's name is ASCII.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(&self.config_file(), variables)
    }

    /// Reads the genesis document.
    ///
    /// # Errors
    /// See [`read_genesis`].
    pub fn genesis(&self) -> Result<Genesis, ConfigError> {
        read_genesis(&self.genesis_file())
    }
}

/// Reads a genesis document in JSON. Whether its contents can work is for the contract to say.
///
/// # Errors
/// When the file is missing, too long, or does not parse; the message has line and column.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let text = read_text(path, GENESIS_BYTES_MAX as u64)?.ok_or_else(|| ConfigError::Io {
        path: path.into(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    serde_json::from_str(&text)
        .map_err(|error| ConfigError::Malformed { path: path.into(), reason: error.to_string() })
}

/// Reads a text file of at most `bytes_max` bytes; nothing when it is not there.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, ConfigError> {
    let io = |source| ConfigError::Io { path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > bytes_max {
        return Err(ConfigError::TooLong { path: path.into(), max: bytes_max });
    }
    Ok(Some(text))
}
