//! The program under test: exactly what `fedledger` runs.
fn main() {}
