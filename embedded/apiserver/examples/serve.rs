//! Runs a server on a data directory until it is interrupted: `cargo run -p kubestash-apiserver
//! --example serve -- DIR [PORT]`. Writes `DIR/kubeconfig` and prints one line when it is ready.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("usage: serve DIR [PORT]")?);
    let port: u16 = arguments.next().as_deref().unwrap_or("0").parse()?;
    let started = std::time::Instant::now();
    let server = kubestash_apiserver::start(kubestash_apiserver::Config {
        data_dir: directory.join("data"),
        bind: ([127, 0, 0, 1], port).into(),
    })
    .await?;
    let path = directory.join("kubeconfig");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(server.kubeconfig().to_string().as_bytes())?;
    println!(
        "ready after {:?}: export KUBECONFIG={}",
        started.elapsed(),
        path.display()
    );
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
