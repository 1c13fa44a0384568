//! The engine alone, to be measured beside `restic`: `stream backup|dump|forget|check <directory>
//! [id]`.
//!
//! `backup` stores its standard input as `dumpfile.sql` and prints the snapshot id, `dump` writes a
//! snapshot to its standard output. The password is in `RESTIC_PASSWORD`, as for restic.

use std::io;

use kubestash_engine::storage::{Local, Provider};
use kubestash_engine::{
    BackupRequest, CancellationToken, CheckDepth, LockOwner, ObjectStore, OpenOptions, Repository,
    ResticRepository, Secret, StorageConfig,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, root, rest @ ..] = arguments.as_slice() else {
        return Err("usage: stream backup|dump|forget|check <directory> [id]".into());
    };
    let id = rest.first().map(String::as_str).unwrap_or_default();
    let store = ObjectStore::open(&StorageConfig {
        provider: Provider::Local(Local { root: root.into() }),
        prefix: String::new(),
        max_connections: None,
    })?;
    let password = Secret::new(std::env::var("RESTIC_PASSWORD")?);
    let options = OpenOptions::new(LockOwner::new("stream"));
    let repository = ResticRepository::open_or_init(&store, "", &password, options).await?;
    let cancel = CancellationToken::new();
    match command.as_str() {
        "backup" => {
            let request = BackupRequest {
                host: "host-0".to_owned(),
                file_name: "dumpfile.sql".to_owned(),
                tags: Vec::new(),
                time: jiff::Timestamp::now(),
            };
            let source = Box::new(io::stdin());
            let summary = repository.backup_stream(request, source, cancel).await?;
            eprintln!("{summary:?}");
            println!("{}", summary.snapshot_id);
        }
        "dump" => {
            let sink = Box::new(io::stdout());
            repository.dump(id, "dumpfile.sql", sink, cancel).await?;
        }
        "forget" => {
            let report = repository.forget(vec![id.to_owned()], cancel).await?;
            println!("{report:?}");
        }
        "check" => println!("{:?}", repository.check(CheckDepth::ReadData).await?),
        _ => return Err(format!("unknown command {command}").into()),
    }
    Ok(())
}
