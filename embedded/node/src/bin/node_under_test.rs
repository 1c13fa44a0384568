//! The stand-in for `kubestash` in this crate's tests: a supervisor, and a small `up` that can be
//! killed.

use std::process::ExitCode;
use std::time::Duration;

use kubestash_node::supervisor::{self, Child, ProcessSpec, Supervisor};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("supervise") => supervisor::main(),
        Some("up") => up(
            arguments.next().unwrap_or_default(),
            arguments.next().unwrap_or_default(),
        ),
        Some("read-config-map") => read_config_map(&arguments.next().unwrap_or_default()),
        Some("exit") => ExitCode::from(
            arguments
                .next()
                .and_then(|code| code.parse().ok())
                .unwrap_or(1),
        ),
        _ => ExitCode::from(64),
    }
}

/// Reads a ConfigMap of its own namespace, as a program in a cluster does, and prints it. The
/// client must read its token again from its file, where it is renewed.
fn read_config_map(name: &str) -> ExitCode {
    let read = async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::infer()
            .await
            .map_err(kube::Error::InferConfig)?;
        if config.auth_info.token_file.is_none() || config.auth_info.token.is_some() {
            eprintln!("the token is not read from its file");
        }
        let client = kube::Client::try_from(config)?;
        let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
            kube::Api::default_namespaced(client);
        api.get(name).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(read)) {
        Ok(Ok(map)) => {
            println!("{:?}", map.data);
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a shell script under a supervisor, says `running`, and waits to be killed.
fn up(script: String, log: String) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let spec = ProcessSpec {
            label: "up".to_owned(),
            program: "/bin/sh".to_owned(),
            args: vec!["-c".to_owned(), script],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".into())],
            working_dir: None,
            identity: None,
            root: None,
            stdin: None,
            log: log.into(),
            no_new_privileges: false,
        };
        let Ok(program) = std::env::current_exe() else {
            return ExitCode::FAILURE;
        };
        match Child::spawn(&Supervisor::new(program), spec) {
            Ok(child) => {
                if child.started().await.is_ok() {
                    println!("running");
                }
                child.wait().await;
                tokio::time::sleep(Duration::from_secs(3600)).await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    })
}
