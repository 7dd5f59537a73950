//! The HTTP API of a node, under `/v1`, on loopback unless the operator says otherwise.

pub mod types;
