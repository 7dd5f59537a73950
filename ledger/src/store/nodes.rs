//! The database as storage of the two trees.

use jmt::storage::{HasPreimage, LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue};

use super::db::{Changes, Db};
use super::error::StoreError;
use super::layout;
use crate::ids::Digest;
use crate::log::LogNodes;
use crate::state::StateBatch;

impl TreeReader for Db {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let Some(bytes) = self.get(&layout::state_node(key))? else { return Ok(None) };
        Ok(Some(borsh::from_slice(&bytes)?))
    }

    fn get_value_option(&self, version: u64, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        let latest =
            self.last_in(&layout::state_value(key, 0), &layout::state_value(key, version))?;
        Ok(match latest {
            Some((_, value)) if value.first() == Some(&1) => Some(value[1..].to_vec()),
            _ => None,
        })
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("only a tree that is being restored is asked for its rightmost leaf")
    }
}

impl HasPreimage for Db {
    fn preimage(&self, key: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.get(&layout::preimage(key))?)
    }
}

/// A failed read looks like a missing node; whoever asks for one that must exist reports that.
impl LogNodes for Db {
    fn node(&self, level: u32, index: u64) -> Option<Digest> {
        let bytes = self.get(&layout::log_node(level, index)).ok()??;
        bytes.try_into().ok().map(Digest)
    }
}

/// Adds what one version brings to the state tree. Nodes that it makes stale are kept: they are the
/// history that proofs at older heights need.
pub(super) fn put_state_batch(
    db: &Db,
    changes: &mut Changes,
    version: u64,
    batch: StateBatch,
) -> Result<(), StoreError> {
    for (key, node) in batch.nodes {
        let bytes = borsh::to_vec(&node).expect("encoding into a vector is infallible");
        changes.insert(layout::state_node(&key), bytes);
    }
    for (key, value) in batch.values {
        let record = value.map_or_else(|| vec![0], |value| [&[1][..], &value].concat());
        changes.insert(layout::state_value(key, version), record);
    }
    for (hash, key) in batch.preimages {
        let place = layout::preimage(hash);
        if db.get(&place)?.is_none() {
            changes.insert(place, key);
        }
    }
    Ok(())
}
