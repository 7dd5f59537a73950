//! Whole engines over a network in memory.

mod consortium;
mod faults;
mod progress;
