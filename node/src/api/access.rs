//! Who may ask what.
//!
//! - Every request must name this node in its `Host` header by a loopback name, by the address it
//!   listens on, or by a name of the setting `http.allowed_hosts`. So a page in somebody's browser
//!   cannot reach the node through a name that it controls (DNS rebinding). No CORS header is ever
//!   sent.
//! - A request that is not `GET` or `HEAD` must carry `Authorization: Bearer <token>`. The token is
//!   in a file of mode 0600 in the data directory, made at the first start: who can read the node's
//!   files may make it sign.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fedledger_ledger::ids::Digest;
use rand::RngCore as _;
use zeroize::Zeroizing;

use super::updates::discard;
use super::ApiError;
use crate::keys::{read_secret, write_secret, KeyError};

/// Longest token file in bytes.
const TOKEN_BYTES_MAX: u64 = 128;

/// The bearer token of a node: 32 random bytes in hexadecimal.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Reads the token, or makes one when the file is not there.
    ///
    /// # Errors
    /// When the file cannot be read or written, or others can read it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        rand::rngs::OsRng
            .try_fill_bytes(&mut *bytes)
            .map_err(|error| KeyError::NoRandomness { reason: error.to_string() })?;
        let text = Zeroizing::new(hex::encode(*bytes));
        match write_secret(path, &text) {
            Ok(()) => Ok(Self(text)),
            Err(KeyError::Exists { .. }) => Self::load(path),
            Err(error) => Err(error),
        }
    }

    /// Reads the token.
    ///
    /// # Errors
    /// When the file cannot be read, or others can read it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_secret(path, TOKEN_BYTES_MAX)?;
        if text.trim().len() < 32 {
            let reason = "is shorter than 32 characters; remove it and restart the node";
            return Err(KeyError::Malformed { path: path.into(), reason });
        }
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }

    /// The token as it goes into the `Authorization` header, after `Bearer `.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares digests, so that the time taken says nothing about the token.
    fn is(&self, given: &str) -> bool {
        Digest::of(self.0.as_bytes()) == Digest::of(given.as_bytes())
    }
}

/// The names and the token that requests are checked against.
pub struct Access {
    token: Token,
    hosts: Vec<String>,
}

impl Access {
    /// Loopback names, the address listened on, and `allowed` names, without ports.
    pub fn new(token: Token, address: SocketAddr, allowed: &[String]) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(Into::into).into();
        hosts.push(match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        hosts.extend(allowed.iter().map(|name| name.to_ascii_lowercase()));
        Self { token, hosts }
    }

    fn names_this_node(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let from_header = hosts.next().and_then(|host| host.to_str().ok());
        if hosts.next().is_some() {
            return false;
        }
        let Some(host) =
            from_header.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
        else {
            return false;
        };
        let name = without_port(host).to_ascii_lowercase();
        self.hosts.contains(&name)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|it| self.token.is(it))
    }
}

/// `[::1]:80` → `[::1]`, `localhost:80` → `localhost`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The middleware in front of every route.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    if !access.names_this_node(request.headers(), request.uri()) {
        discard(request.into_body()).await;
        return ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host_not_allowed",
            "the Host header does not name this node; add the name to `http.allowed_hosts`",
        )
        .into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !access.has_token(request.headers()) {
        discard(request.into_body()).await;
        return ApiError::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            "this request needs `Authorization: Bearer <token>`; the token is in the file \
             api.token in the node's data directory",
        )
        .into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_off_names_only() {
        for (host, name) in [
            ("localhost:80", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("a:b", "a:b"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn a_token_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.token");
        let token = Token::load_or_create(&path).unwrap();
        assert_eq!(token.as_str().len(), 64);
        assert_eq!(Token::load_or_create(&path).unwrap().as_str(), token.as_str());
        assert!(token.is(token.as_str()) && !token.is("") && !token.is(&token.as_str()[1..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(Token::load(&path), Err(KeyError::TooOpen { .. })));
        }
    }
}
