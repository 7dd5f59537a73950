//! The three private keys of a member's node, in files that only their owner can read.
//!
//! A key file is two lines: a header that says what it is, and the seed (RFC 8032 private key) in
//! hexadecimal. It is created exclusively and never overwritten: a key that is gone is gone, and
//! the consortium rotates it by vote.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use fedledger_ledger::governance::{KeyRole, MemberKeys};
use fedledger_ledger::keys::PublicKey;
use rand::RngCore as _;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest key file in bytes: the header and the seed, with room for a line end.
const KEY_FILE_BYTES_MAX: u64 = 160;

/// Why a key was not made or read.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A key is there already.
    #[error("key file {} exists already; keys are never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error(
        "key file {} has mode {mode:04o}, so that others can read it; run: chmod 600 '{}'",
        path.display(), path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a plain file.
    #[error("key file {} is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Not a key file, or one for another role.
    #[error("key file {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {reason}")]
    NoRandomness {
        /// What it said.
        reason: String,
    },
}

/// The private keys of a node. Dropping it wipes them from memory.
pub struct NodeKeys {
    /// Signs transactions.
    pub member: SigningKey,
    /// Signs consensus votes and proposals.
    pub validator: SigningKey,
    /// Proves the node's identity on the network.
    pub network: SigningKey,
}

/// The folder of a node's keys inside its home.
pub fn keys_dir(home: &Path) -> PathBuf {
    home.join("keys")
}

fn file_name(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Member => "member.key",
        KeyRole::Validator => "validator.key",
        KeyRole::Network => "network.key",
    }
}

fn header(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Member => "# fedledger private key v1: member (ed25519 seed)",
        KeyRole::Validator => "# fedledger private key v1: validator (ed25519 seed)",
        KeyRole::Network => "# fedledger private key v1: network (ed25519 seed)",
    }
}

impl NodeKeys {
    /// Makes three new keys from the operating system's randomness and writes them to
    /// `home/keys/`, which is made with mode 0700.
    ///
    /// # Errors
    /// When any of the files exists, or cannot be written.
    pub fn create(home: &Path) -> Result<Self, KeyError> {
        let folder = keys_dir(home);
        make_private_folder(&folder)?;
        for role in [KeyRole::Member, KeyRole::Validator, KeyRole::Network] {
            let path = folder.join(file_name(role));
            if path.symlink_metadata().is_ok() {
                return Err(KeyError::Exists { path });
            }
        }
        let create = |role| create_key(&folder.join(file_name(role)), role);
        let keys = Self {
            member: create(KeyRole::Member)?,
            validator: create(KeyRole::Validator)?,
            network: create(KeyRole::Network)?,
        };
        sync_folder(&folder)?;
        Ok(keys)
    }

    /// Reads the keys of the node whose home this is.
    ///
    /// # Errors
    /// When a file is missing, malformed, or readable by others.
    pub fn load(home: &Path) -> Result<Self, KeyError> {
        let folder = keys_dir(home);
        let load = |role| load_key(&folder.join(file_name(role)), role);
        Ok(Self {
            member: load(KeyRole::Member)?,
            validator: load(KeyRole::Validator)?,
            network: load(KeyRole::Network)?,
        })
    }

    /// The public halves.
    pub fn public(&self) -> MemberKeys {
        MemberKeys {
            member: PublicKey::of(&self.member),
            validator: PublicKey::of(&self.validator),
            network: PublicKey::of(&self.network),
        }
    }
}

/// Writes a secret to a new file that only its owner can read, synced to disk.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), KeyError> {
    let io = |source: std::io::Error| KeyError::Io { path: path.into(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
        _ => io(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

/// Reads a secret of at most `bytes_max` bytes from a file that only its owner can read.
///
/// # Errors
/// When the file is missing, too long, not text, or readable by others.
pub fn read_secret(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, KeyError> {
    let io = |source| KeyError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    // Permissions are those of the file that is open, not of whatever has its name by now.
    check_private(path, &file.metadata().map_err(io)?)?;
    let mut text = Zeroizing::new(String::with_capacity(bytes_max as usize + 1));
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > bytes_max {
        return Err(KeyError::Malformed { path: path.into(), reason: "is too long" });
    }
    Ok(text)
}

fn create_key(path: &Path, role: KeyRole) -> Result<SigningKey, KeyError> {
    let mut seed = Zeroizing::new([0u8; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| KeyError::NoRandomness { reason: error.to_string() })?;
    let hex = Zeroizing::new(hex::encode(*seed));
    let text = Zeroizing::new(format!("{}\n{}\n", header(role), *hex));
    write_secret(path, &text)?;
    Ok(SigningKey::from_bytes(&seed))
}

fn load_key(path: &Path, role: KeyRole) -> Result<SigningKey, KeyError> {
    let malformed = |reason| KeyError::Malformed { path: path.into(), reason };
    let text = read_secret(path, KEY_FILE_BYTES_MAX)?;
    let (first, rest) = text.split_once('\n').ok_or_else(|| malformed("has only one line"))?;
    if first.trim_end() != header(role) {
        return Err(malformed("its first line is not the header of a key for this role"));
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(rest.trim_end(), &mut *seed)
        .map_err(|_| malformed("its second line is not 64 hexadecimal digits"))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Makes a folder that only its owner can enter, unless it is there.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(path: &Path) -> Result<(), KeyError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|source| KeyError::Io { path: path.into(), source })
}

/// Makes the names of new files in a folder durable.
fn sync_folder(path: &Path) -> Result<(), KeyError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| KeyError::Io { path: path.into(), source })
}

fn check_private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    if !metadata.is_file() {
        return Err(KeyError::NotAFile { path: path.into() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen { path: path.into(), mode });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let made = NodeKeys::create(home.path()).unwrap().public();
        assert_eq!(NodeKeys::load(home.path()).unwrap().public(), made);
        assert!(made.member != made.validator && made.validator != made.network);
        assert!(matches!(NodeKeys::create(home.path()), Err(KeyError::Exists { .. })));
        assert_eq!(NodeKeys::load(home.path()).unwrap().public(), made, "a key was overwritten");
    }

    #[test]
    fn nothing_is_made_when_one_key_is_there() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(keys_dir(home.path())).unwrap();
        std::fs::write(keys_dir(home.path()).join("network.key"), "mine").unwrap();
        assert!(matches!(NodeKeys::create(home.path()), Err(KeyError::Exists { .. })));
        assert!(!keys_dir(home.path()).join("member.key").exists());
    }

    #[cfg(unix)]
    #[test]
    fn files_that_others_can_read_are_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        NodeKeys::create(home.path()).unwrap();
        let path = keys_dir(home.path()).join("member.key");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&keys_dir(home.path())), 0o700);
        for wide in [0o640, 0o604, 0o610, 0o622] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wide)).unwrap();
            let error = NodeKeys::load(home.path()).err().expect("refused").to_string();
            assert!(error.contains(&format!("mode {wide:04o}")), "{error}");
            assert!(error.contains(&format!("chmod 600 '{}'", path.display())), "{error}");
        }
    }

    #[test]
    fn a_key_of_another_role_or_with_bent_text_is_refused() {
        let home = tempfile::tempdir().unwrap();
        NodeKeys::create(home.path()).unwrap();
        let folder = keys_dir(home.path());
        let member = std::fs::read_to_string(folder.join("member.key")).unwrap();
        for (name, text) in [
            ("wrong role", std::fs::read_to_string(folder.join("network.key")).unwrap()),
            ("short", member[..member.len() - 3].to_owned()),
            ("not hexadecimal", member.trim_end()[..member.len() - 2].to_owned() + "g\n"),
            ("one line", "ab".repeat(32)),
            ("long", member.clone() + &" ".repeat(200)),
            ("second seed", member.clone() + "00\n"),
        ] {
            std::fs::remove_file(folder.join("member.key")).unwrap();
            write_secret(&folder.join("member.key"), &text).unwrap();
            assert!(NodeKeys::load(home.path()).is_err(), "{name} was accepted");
        }
    }
}
