//! Learning on hospital data and attacks on it, for the demonstration on real nodes and for the
//! laboratory in process. Both use the contract of `fedledger_contract`, unchanged.
//!
//! Floating point is allowed here and only here: what a member computes at home needs no agreement.
//! What crosses into the contract is rounded to the task's integers first.

// Tests compare values that must be equal to the last bit.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod attack;
pub mod comparison;
pub mod data;
pub mod defaults;
pub mod federation;
pub mod lab;
pub mod metrics;
pub mod model;
pub mod privacy;
pub mod scenario;
pub mod seed;
pub mod trainer;
