//! Where a ledger is read from: a node's data directory, or a node that answers over HTTP.

use std::path::Path;

use fedledger_ledger::block::{Block, BlockBody, BlockHeader, CommitCertificate};
use fedledger_ledger::codec::from_canonical;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::limits::{BLOB_BYTES_MAX, BLOCK_BYTES_MAX};
use fedledger_ledger::store::{BlobStore, LedgerStore, StoreError};

use super::{LedgerSource, SourceError};
use crate::api::types::{BlockView, NodeStatus};
use crate::client::{Client, ClientError};

/// The data directory of a node that does not run.
pub struct DataDir {
    store: LedgerStore,
    blobs: BlobStore,
}

impl DataDir {
    /// Opens the folder. The ledger must be of `genesis`.
    ///
    /// # Errors
    /// When a node runs on it, or it does not hold a ledger of this genesis.
    pub fn open(data_dir: &Path, genesis: &Genesis) -> Result<Self, SourceError> {
        let ledger = data_dir.join("ledger");
        if !ledger.is_dir() {
            return Err(SourceError::Unavailable {
                reason: format!("{} holds no ledger", data_dir.display()),
            });
        }
        let store = LedgerStore::open(&ledger, &genesis.chain_id, genesis.digest())
            .map_err(|error| of_store(format!("the ledger in {}", ledger.display()), &error))?;
        let blobs = BlobStore::open(&data_dir.join("blobs"), BLOB_BYTES_MAX)
            .map_err(|error| SourceError::Unavailable { reason: error.to_string() })?;
        Ok(Self { store, blobs })
    }
}

fn of_store(what: String, error: &StoreError) -> SourceError {
    match error {
        StoreError::Locked { .. } | StoreError::Disk { .. } | StoreError::Empty { .. } => {
            SourceError::Unavailable { reason: error.to_string() }
        }
        _ => SourceError::Damaged { what, reason: error.to_string() },
    }
}

impl LedgerSource for DataDir {
    fn genesis(&self) -> Result<Genesis, SourceError> {
        self.store.genesis().map_err(|error| of_store("genesis".into(), &error))
    }

    fn height(&self) -> Result<Height, SourceError> {
        let tip = self.store.tip().map_err(|error| of_store("the tip".into(), &error))?;
        Ok(tip.height)
    }

    fn block(&self, height: Height) -> Result<(Block, CommitCertificate), SourceError> {
        let read = || Ok((self.store.block(height)?, self.store.certificate(height)?));
        read().map_err(|error: StoreError| of_store(format!("block {height}"), &error))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, SourceError> {
        self.blobs
            .get_unverified(digest)
            .map_err(|error| SourceError::Unavailable { reason: error.to_string() })
    }
}

/// A node that answers over HTTP.
pub struct NodeSource {
    client: Client,
}

impl NodeSource {
    /// The node behind a client. Its genesis document has to come from elsewhere or be compared with
    /// a digest that the auditor knows: everything rests on it.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

fn of_client(error: ClientError) -> SourceError {
    SourceError::Unavailable { reason: error.to_string() }
}

/// Longest header or certificate in bytes, as read from a stranger.
const PART_BYTES_MAX: usize = 1 << 20;

fn unhex(what: &str, text: &str) -> Result<Vec<u8>, SourceError> {
    hex::decode(text).map_err(|error| damaged(what, error))
}

fn damaged(what: &str, error: impl ToString) -> SourceError {
    SourceError::Damaged { what: what.into(), reason: error.to_string() }
}

impl LedgerSource for NodeSource {
    fn genesis(&self) -> Result<Genesis, SourceError> {
        self.client.get("/v1/genesis").map_err(of_client)
    }

    fn height(&self) -> Result<Height, SourceError> {
        let status: NodeStatus = self.client.get("/v1/status").map_err(of_client)?;
        Ok(status.height)
    }

    fn block(&self, height: Height) -> Result<(Block, CommitCertificate), SourceError> {
        let view: BlockView =
            self.client.get(&format!("/v1/blocks/{height}")).map_err(of_client)?;
        let header: BlockHeader =
            from_canonical("header", &unhex("header", &view.header)?, PART_BYTES_MAX)
                .map_err(|error| damaged("header", error))?;
        let body: BlockBody = from_canonical("body", &unhex("body", &view.body)?, BLOCK_BYTES_MAX)
            .map_err(|error| damaged("body", error))?;
        let certificate = CommitCertificate::from_bytes(&unhex("certificate", &view.certificate)?)
            .map_err(|error| damaged("certificate", error))?;
        Ok((Block { header, body }, certificate))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, SourceError> {
        self.client.get_bytes(&format!("/v1/blobs/{digest}"), BLOB_BYTES_MAX).map_err(of_client)
    }
}
