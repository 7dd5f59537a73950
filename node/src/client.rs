//! A client of the HTTP API: what the command line and the auditor's tools speak.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::Serialize;
use thiserror::Error;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody};

use crate::api::types::ErrorBody;
use crate::api::Token;
use crate::keys::KeyError;

/// Longest JSON answer in bytes: a page of the longest entries, in JSON.
const JSON_BYTES_MAX: u64 = 128 << 20;
/// How long a connection may take. The node is on this machine, or near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may let wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a node did not do what it was asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is no URL that this client can reach.
    #[error("`{url}` is not a node's address; expected http://HOST:PORT")]
    BadUrl {
        /// The address given.
        url: String,
    },
    /// No node answers.
    #[error("no node answers at {url}: {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The answer is not one of this API.
    #[error("what answers at {url} is no fedledger node, or of another version: {reason}")]
    Unexpected {
        /// Its address.
        url: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The node refused.
    #[error("{}", body.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Code, message and field.
        body: ErrorBody,
    },
    /// The token cannot be read.
    #[error("the node's token: {0}")]
    Token(#[from] KeyError),
    /// The wait ended first.
    #[error("nothing more came within the time allowed")]
    TimedOut,
}

/// A node's API.
#[derive(Clone)]
pub struct Client {
    url: String,
    agent: Agent,
    token_file: Option<PathBuf>,
}

impl Client {
    /// A client of the node at `url`. The token is read from `token_file` when a request needs it.
    ///
    /// # Errors
    /// When `url` is not `http://…`. TLS ends before the node: it listens on loopback.
    pub fn new(url: &str, token_file: Option<PathBuf>) -> Result<Self, ClientError> {
        let bad = || ClientError::BadUrl { url: url.into() };
        let trimmed = url.trim_end_matches('/');
        let rest = trimmed.strip_prefix("http://").ok_or_else(bad)?;
        if rest.is_empty() || rest.contains(['/', '?', '#', ' ']) {
            return Err(bad());
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        Ok(Self { url: trimmed.into(), agent, token_file })
    }

    /// A client of the node that listens on a socket address.
    pub fn of_address(address: SocketAddr, token_file: Option<PathBuf>) -> Self {
        Self::new(&format!("http://{address}"), token_file).expect("a socket address is a URL's")
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::GET, path)?.body(SendBody::none()))?;
        self.json(response)
    }

    /// Gets bytes, at most `bytes_max`; nothing when the node does not have them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get_bytes(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ClientError> {
        let response = self.send(self.request(Method::GET, path)?.body(SendBody::none()))?;
        if response.status() == 404 {
            return Ok(None);
        }
        self.bytes(self.check(response)?, bytes_max).map(Some)
    }

    /// Posts a JSON document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(body).expect("request bodies have text keys");
        self.post_bytes(path, "application/json", bytes.as_slice(), bytes.len() as u64)
    }

    /// Posts `length` bytes as they are read.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        mut bytes: impl std::io::Read,
        length: u64,
    ) -> Result<T, ClientError> {
        let mut request = self
            .request(Method::POST, path)?
            .header("content-type", content_type)
            .header("content-length", length);
        if let Some(file) = &self.token_file {
            let token = Token::load(file)?;
            request = request.header("authorization", format!("Bearer {}", token.as_str()));
        }
        let response = self.send(request.body(SendBody::from_reader(&mut bytes)))?;
        self.json(response)
    }

    /// Follows the new entries and calls `seen` with the number of each, until `seen` says that it
    /// is enough or `patience` is over.
    ///
    /// # Errors
    /// When time is over, or the node cannot be followed.
    pub fn follow_entries(
        &self,
        patience: Duration,
        mut seen: impl FnMut() -> Result<bool, ClientError>,
    ) -> Result<(), ClientError> {
        let until = std::time::Instant::now() + patience;
        let mut request = self.request(Method::GET, "/v1/events")?.body(()).map_err(|error| {
            ClientError::Unexpected { url: self.url.clone(), reason: error.to_string() }
        })?;
        request = self.agent.configure_request(request).timeout_global(Some(patience)).build();
        let response = match self.agent.run(request) {
            Err(ureq::Error::Timeout(_)) => return Err(ClientError::TimedOut),
            other => self.check(other.map_err(|error| self.unreachable(&error))?)?,
        };
        // Looked at only once the stream is open, so that nothing can come in between.
        if seen()? {
            return Ok(());
        }
        let mut reader = std::io::BufReader::new(response.into_body().into_reader());
        let mut line = String::new();
        loop {
            line.clear();
            let read = std::io::BufRead::read_line(&mut reader, &mut line);
            if std::time::Instant::now() >= until {
                return Err(ClientError::TimedOut);
            }
            match read {
                Ok(0) => {
                    let reason = "it ended the stream of events".to_owned();
                    return Err(ClientError::Unreachable { url: self.url.clone(), reason });
                }
                Ok(_) if line.starts_with("event: entry") && seen()? => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    return Err(ClientError::TimedOut)
                }
                Err(error) => {
                    let reason = error.to_string();
                    return Err(ClientError::Unreachable { url: self.url.clone(), reason });
                }
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<ureq::http::request::Builder, ClientError> {
        let bad = || ClientError::BadUrl { url: self.url.clone() };
        let uri: ureq::http::Uri = format!("{}{path}", self.url).parse().map_err(|_| bad())?;
        Ok(Request::builder().method(method).uri(uri))
    }

    fn send(
        &self,
        request: Result<Request<SendBody<'_>>, ureq::http::Error>,
    ) -> Result<Response<Body>, ClientError> {
        let request = request.map_err(|error| ClientError::Unexpected {
            url: self.url.clone(),
            reason: error.to_string(),
        })?;
        self.agent.run(request).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), reason: error.to_string() }
    }

    fn bytes(&self, response: Response<Body>, bytes_max: u64) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        let unexpected = |reason: String| ClientError::Unexpected { url: self.url.clone(), reason };
        response
            .into_body()
            .into_reader()
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unexpected(error.to_string()))?;
        if bytes.len() as u64 > bytes_max {
            return Err(unexpected(format!("its answer is longer than {bytes_max} bytes")));
        }
        Ok(bytes)
    }

    /// Turns answers that are not a success into errors.
    fn check(&self, response: Response<Body>) -> Result<Response<Body>, ClientError> {
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let bytes = self.bytes(response, JSON_BYTES_MAX)?;
        let body = serde_json::from_slice(&bytes).map_err(|_| ClientError::Unexpected {
            url: self.url.clone(),
            reason: format!("status {status} without an error that this version knows"),
        })?;
        Err(ClientError::Refused { status, body })
    }

    fn json<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ClientError> {
        let bytes = self.bytes(self.check(response)?, JSON_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Unexpected {
            url: self.url.clone(),
            reason: error.to_string(),
        })
    }
}
