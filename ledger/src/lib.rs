//! The bytes that a consortium agrees on, and the means to check them.
//!
//! Everything in this crate is a function of its inputs: identifiers, canonical CBOR, signatures,
//! transactions, entries, the append-only log of entries, the state tree, blocks with their commit
//! certificates, and the verification of a chain of blocks from genesis. There is no clock, no
//! randomness, no float, no thread and no I/O here, with one exception: the module `store`
//! (behind the feature of that name), which keeps all of it on disk and which nothing else in this
//! crate calls.
#![cfg_attr(not(feature = "store"), deny(clippy::disallowed_types))]

pub mod block;
pub mod codec;
pub mod commitment;
pub mod decision;
pub mod entry;
pub mod genesis;
pub mod governance;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod log;
pub mod state;
#[cfg(feature = "store")]
pub mod store;
pub mod task;
pub mod transaction;
pub mod verify;
