//! Consensus: Malachite decides the ledger's blocks.
//!
//! Two boundaries: [`application`] is the ledger above, [`transport`] the network below. Between
//! them this crate has the engine's view of the ledger's types ([`context`]), what is signed
//! ([`signing`]) and what is never signed twice ([`guard`], [`rejoin`]), the bytes ([`codec`],
//! [`parts`]), and the loop that answers the engine ([`engine`]).
//!
//! No other crate names Malachite. Its version is pinned; every use of it matches its messages
//! exhaustively, so that a new version is a compile error here and not a silent change.

mod actors;
pub mod application;
pub mod chain;
pub mod codec;
pub mod context;
mod desk;
mod driver;
pub mod engine;
pub mod failure;
pub mod guard;
mod host;
mod limits;
mod network;
pub mod parts;
mod proposals;
pub mod rejoin;
pub mod signing;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
pub mod transport;
