//! The node of one institution, and the command line that goes with it.

pub mod api;
pub mod config;
pub mod devnet;
pub mod exit;
pub mod files;
pub mod keys;
pub mod output;
pub mod runtime;
