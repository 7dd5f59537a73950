//! The program `fedledger`.

fn main() -> std::process::ExitCode {
    fedledger_node::cli::main()
}
