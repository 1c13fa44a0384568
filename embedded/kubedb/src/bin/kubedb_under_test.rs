//! The stand-in for `kubestash` in this crate's tests: nothing but a supervisor.

fn main() -> std::process::ExitCode {
    kubestash_node::supervisor::main()
}
