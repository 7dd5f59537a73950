//! What every verb starts from: the form of the output, the home, the node to talk to.

use std::path::PathBuf;

use crate::client::{Client, ClientError};
use crate::config::{Config, ConfigError, Home};
use crate::exit::{Exit, Failure};
use crate::files::FileError;
use crate::keys::KeyError;
use crate::output::OutputFormat;

/// The global options.
pub(super) struct Context {
    /// The form of the output.
    pub output: OutputFormat,
    home: Option<PathBuf>,
    node: Option<String>,
}

impl Context {
    pub fn new(output: OutputFormat, home: Option<PathBuf>, node: Option<String>) -> Self {
        Self { output, home, node }
    }

    /// The home of `--home`, or `~/.fedledger`.
    pub fn home(&self) -> Result<Home, Failure> {
        let path = self.home.clone().or_else(|| {
            std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".fedledger"))
        });
        path.map(Home::new).ok_or_else(|| {
            Failure::usage("no home is known").hint("give one with --home DIR or FEDLEDGER_HOME")
        })
    }

    /// Whether a node was named by its address.
    pub fn names_node(&self) -> bool {
        self.node.is_some()
    }

    /// A client of the node of `--node`, or of the one that runs in the home. The token is that of
    /// the home in either case.
    pub fn client(&self) -> Result<Client, Failure> {
        let home = self.home()?;
        let config = match home.config() {
            // A node that is named by its address can be read without any home.
            Err(error) if !self.names_node() => return Err(error.into()),
            config => config.unwrap_or_default(),
        };
        let token = home.token_file(&config);
        let token = token.exists().then_some(token);
        if let Some(url) = &self.node {
            return Ok(Client::new(url, token)?);
        }
        let address = running_address(&home, &config).ok_or_else(|| {
            let message = format!("no node runs in {}", home.path().display());
            Failure::new(Exit::Unreachable, message).hint(START_HINT)
        })?;
        Ok(Client::of_address(address, token))
    }
}

/// Where the running node wrote that it listens, or what the settings say, when they say a port.
fn running_address(home: &Home, config: &Config) -> Option<std::net::SocketAddr> {
    let written = std::fs::read_to_string(home.address_file(config)).ok();
    let written = written.and_then(|text| text.trim().parse().ok());
    written.or_else(|| Some(config.http.address).filter(|address| address.port() != 0))
}

/// What to do when no node answers.
const START_HINT: &str =
    "start the node with `fedledger run`, or name it with --home DIR or --node URL";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::BadUrl { .. } => Self::usage(message),
            ClientError::Unreachable { .. } => {
                Self::new(Exit::Unreachable, message).hint(START_HINT)
            }
            ClientError::Unexpected { .. } => Self::new(Exit::Unreachable, message),
            ClientError::Token(error) => error.into(),
            ClientError::TimedOut => Self::new(Exit::TimedOut, message),
            ClientError::Refused { status, body } => {
                let exit = match (status, body.code.as_str()) {
                    (404, "unknown_blob") => Exit::Incomplete,
                    (400 | 413 | 415 | 422, _) => Exit::Usage,
                    (500..=502, _) => Exit::Internal,
                    _ => Exit::Refused,
                };
                let failure = Self::new(exit, message).field(body.field);
                if body.code == "token_required" {
                    failure.hint("run this as the node's user, with --home DIR of that node")
                } else {
                    failure
                }
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::usage(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let tensor = error.tensor().map(str::to_owned);
        Self::usage(error).field(tensor)
    }
}
