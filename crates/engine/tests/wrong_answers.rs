//! A storage that answers wrongly once: nothing is called damaged or a wrong password for that, and
//! nothing fails.
#![cfg(test)]

mod support;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use kubestash_engine::storage::{Gcs, GcsCredentials, Provider};
use kubestash_engine::{ObjectStore, ResticRepository, StorageConfig};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the first answer about each object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    FlippedBit,
    NotFound,
    Empty,
    WebPage,
}

/// Stands before the emulator and spoils the first download of each object.
struct Proxy {
    endpoint: String,
    spoilt: Arc<Mutex<HashSet<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn proxy(upstream: &str, fault: Fault) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let spoilt = Arc::new(Mutex::new(HashSet::new()));
    let (upstream, seen) = (upstream.to_owned(), Arc::clone(&spoilt));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, upstream.clone(), fault, Arc::clone(&seen)));
        }
    });
    Proxy {
        endpoint,
        spoilt,
        task,
    }
}

/// One connection, one request after the other.
async fn serve(
    mut stream: TcpStream,
    upstream: String,
    fault: Fault,
    seen: Arc<Mutex<HashSet<String>>>,
) {
    let client = reqwest::Client::new();
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(buffer[..head].to_vec()).unwrap();
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let (method, path) = (
            first.next().unwrap().to_owned(),
            first.next().unwrap().to_owned(),
        );
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[head..head + length].to_vec();
        buffer.drain(..head + length);
        let mut request = client
            .request(method.parse().unwrap(), format!("{upstream}{path}"))
            .body(body);
        for (name, value) in &headers {
            if !["host", "content-length", "connection"].contains(&name.as_str()) {
                request = request.header(name, value);
            }
        }
        let Ok(response) = request.send().await else {
            return;
        };
        let mut status = response.status().as_u16();
        let kind = response.headers().get("content-type").cloned();
        let range = response.headers().get("content-range").cloned();
        let mut content = response.bytes().await.unwrap().to_vec();
        let is_download = method == "GET" && path.contains("alt=media");
        if is_download && status < 300 && seen.lock().unwrap().insert(path.clone()) {
            match fault {
                Fault::FlippedBit => {
                    let middle = content.len() / 2;
                    content[middle] ^= 4;
                }
                Fault::NotFound => (status, content) = (404, b"Not Found".to_vec()),
                Fault::Empty => content.clear(),
                Fault::WebPage => content = b"<html><body>Please log in</body></html>".to_vec(),
            }
        }
        let mut answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n",
            content.len()
        );
        for (name, value) in [("content-type", kind), ("content-range", range)] {
            if let Some(value) = value {
                answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
        }
        answer.push_str("\r\n");
        let answer = [answer.into_bytes(), content].concat();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn store(endpoint: &str) -> ObjectStore {
    ObjectStore::open(&StorageConfig {
        provider: Provider::Gcs(Gcs {
            bucket: "demo".to_owned(),
            credentials: GcsCredentials::Emulator {
                endpoint: endpoint.to_owned(),
            },
        }),
        prefix: "blueprint".to_owned(),
        max_connections: None,
    })
    .unwrap()
}

#[tokio::test]
async fn one_wrong_answer_about_each_file_changes_nothing() {
    let emulator = GcsEmulator::start().await;
    let contents = [dump_text(1, 1_500_000), noise(2, 1_500_000)];
    let direct = repository(&emulator.store()).await;
    let mut ids = Vec::new();
    for content in &contents {
        ids.push(back_up(&direct, content).await.unwrap().snapshot_id);
    }
    for fault in [
        Fault::FlippedBit,
        Fault::NotFound,
        Fault::Empty,
        Fault::WebPage,
    ] {
        let proxy = proxy(&emulator.endpoint, fault).await;
        let store = store(&proxy.endpoint);
        let opened = ResticRepository::open(&store, DIRECTORY, &password(), options("us")).await;
        let repository = opened.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        for (id, content) in ids.iter().zip(&contents) {
            let bytes = restored(&repository, id)
                .await
                .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(bytes == *content, "{fault:?}");
        }
        let summary = back_up(&repository, &contents.concat()).await;
        let summary = summary.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(summary.examined.damage, Vec::<String>::new(), "{fault:?}");
        assert_eq!(summary.examined.damaged_snapshots, [], "{fault:?}");
        let spoilt = proxy.spoilt.lock().unwrap().clone();
        for kind in ["config", "keys", "index", "snapshots", "data"] {
            assert!(
                spoilt.iter().any(|path| path.contains(kind)),
                "{kind} was never spoilt: {spoilt:?}"
            );
        }
    }
    let mirrored = tempfile::tempdir().unwrap();
    mirror(&emulator.store(), mirrored.path()).await;
    assert_sound(&on_disk(mirrored.path()));
}
