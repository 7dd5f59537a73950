//! The program under test: exactly what `fedledger` runs.

fn main() -> std::process::ExitCode {
    fedledger_node::cli::main()
}
