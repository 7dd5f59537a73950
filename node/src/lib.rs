//! The node of one institution, and the command line that goes with it.

pub mod api;
pub mod audit;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod devnet;
pub mod evaluation;
pub mod exit;
pub mod files;
pub mod keys;
pub mod network;
pub mod network_run;
pub mod output;
pub mod runtime;
