//! Under construction.

pub mod aggregate;
pub mod canonical;
pub mod integer;
