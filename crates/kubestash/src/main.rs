//! kubestash: backup and restore of databases on Kubernetes, one binary.
//!
//! `kubestash operator` is the operator of a cluster, `kubestash execute` what runs in its Jobs,
//! and `kubestash up` the whole system on one machine: API server, node, database provider and
//! operator in one process.

#[cfg(feature = "embedded")]
mod embedded;
mod logging;
mod memory;
mod operator;
mod print;
mod signals;

use std::num::NonZero;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Backs up and restores databases on Kubernetes, without a licence key.
#[derive(Parser)]
#[command(name = "kubestash", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system on this machine, without a cluster, until Ctrl-C
    #[cfg(feature = "embedded")]
    Up(embedded::up::Args),
    /// Run the operator in a cluster
    Operator(operator::Args),
    /// Print the custom resource definitions as YAML
    Crds(print::CrdArgs),
    /// Print the catalog of Addons and Functions as YAML
    Catalog(print::CatalogArgs),
    /// Print the version
    Version,
    /// Print a script that completes commands and flags, for `source <(kubestash completion bash)`
    Completion {
        /// The shell it is for
        shell: clap_complete::Shell,
    },
    /// Run one step of a session, inside its Job
    #[command(hide = true, disable_help_flag = true)]
    Execute {
        /// The Function's name and its flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Watch over one child process (used by `up`)
    #[cfg(feature = "embedded")]
    #[command(hide = true, disable_help_flag = true)]
    Supervise {
        /// What is being run, for people who read `ps`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        #[cfg(feature = "embedded")]
        // Entering namespaces needs a process without threads, so no runtime here.
        Command::Supervise { args: _ } => kubestash_node::supervisor::main(),
        Command::Execute { args } => {
            let workers = processors();
            blocking(workers, async move {
                ExitCode::from(kubestash_executor::main(args).await)
            })
        }
        // These wait most of the time, on the largest machine too.
        #[cfg(feature = "embedded")]
        Command::Up(args) => blocking(processors().min(FEW), async move {
            report(embedded::up::run(args).await)
        }),
        Command::Operator(args) => blocking(processors().min(FEW), async move {
            report(operator::run(args).await)
        }),
        Command::Crds(args) => report(print::crds(&args)),
        Command::Catalog(args) => report(print::catalog(&args)),
        Command::Version => report(print::line(&Cli::command().render_version())),
        Command::Completion { shell } => report(print::completion(shell, &mut Cli::command())),
    }
}

/// As many threads as are enough for what mostly waits.
const FEW: usize = 4;

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs a future to its end on a runtime of this process, with so many threads.
fn blocking(workers: usize, future: impl Future<Output = ExitCode>) -> ExitCode {
    memory::return_unused();
    // Every TLS connection of the process uses this provider; a second installation changes
    // nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => report(Err(anyhow::Error::new(error).context("failed to start"))),
    }
}

/// Says what went wrong, each cause once, and turns it into an exit code.
fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = String::new();
            for cause in error.chain().map(ToString::to_string) {
                // Some errors already repeat their cause.
                if !text.contains(&cause) {
                    if !text.is_empty() {
                        text.push_str(": ");
                    }
                    text.push_str(&cause);
                }
            }
            eprintln!("kubestash: {text}");
            ExitCode::FAILURE
        }
    }
}
