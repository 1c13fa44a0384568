use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::private_dir::PrivateDir;

#[path = "../../tests/support/drain.rs"]
mod drain;
use drain::drain;

fn producer(script: &str) -> (Producer, tempfile::TempDir) {
    let parent = tempfile::tempdir().unwrap();
    let private = PrivateDir::create_in(parent.path()).unwrap();
    private.write("client.cnf", b"password").unwrap();
    let child = tokio::process::Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let producer = Producer {
        child,
        program: "sh".into(),
        private: Arc::new(private),
        secret: "hunter2".to_owned().into(),
        filter: Box::new(FirstLine::new(|line| line.starts_with(b"SKIP"))),
        judge: |text| Judgement {
            permanent: text.contains("for ever"),
            hint: text.contains("hint").then_some("do this"),
        },
        silence: Duration::from_secs(20),
    };
    (producer, parent)
}

async fn read(script: &str, cancel: CancellationToken) -> (Vec<u8>, Result<usize, StreamError>) {
    let (producer, _parent) = producer(script);
    drain(producer.stream(cancel)).await
}

#[tokio::test]
async fn a_whole_output_arrives_whole_and_without_the_unwanted_first_line() {
    let cases = [
        ("printf 'a\\nb'", "a\nb"),
        ("printf 'SKIP me\\na\\nb\\n'", "a\nb\n"),
        ("printf SK; sleep 0.05; printf 'IP\\nx'", "x"),
        ("printf 'SKIP only'", ""),
        ("printf 'a\\nSKIP\\n'", "a\nSKIP\n"),
        ("true", ""),
    ];
    for (script, expected) in cases {
        let (data, result) = read(script, CancellationToken::new()).await;
        result.unwrap();
        assert_eq!(String::from_utf8(data).unwrap(), expected, "{script}");
    }
    let (data, result) = read("head -c 5000000 /dev/zero", CancellationToken::new()).await;
    assert_eq!((data.len(), result.unwrap()), (5_000_000, 5_000_000));
}

#[tokio::test]
async fn a_client_that_fails_ends_the_stream_in_an_error_with_its_words_and_no_secret() {
    let script = "echo data; echo 'denied for hunter2, for ever, hint' >&2; exit 3";
    let (data, result) = read(script, CancellationToken::new()).await;
    assert_eq!(data, b"data\n");
    let error = result.unwrap_err();
    assert!(error.is_permanent());
    assert_eq!(
        error.to_string(),
        "failed to dump: sh ended with exit code 3: denied for ***, for ever, hint (do this)"
    );
    let (_, result) = read("echo data; kill -9 $$", CancellationToken::new()).await;
    let error = result.unwrap_err();
    assert!(!error.is_permanent());
    assert_eq!(error.to_string(), "failed to dump: sh ended with signal 9");
}

#[tokio::test]
async fn a_cancelled_or_silent_client_is_ended() {
    let cancel = CancellationToken::new();
    let (first, _parent) = producer("echo x; exec sleep 1000");
    let pid = first.child.id().unwrap();
    let stream = first.stream(cancel.clone());
    let reading = tokio::spawn(drain(stream));
    cancel.cancel();
    assert!(matches!(
        reading.await.unwrap().1,
        Err(StreamError::Cancelled)
    ));
    wait_until_gone(pid).await;

    let (mut silent, _parent) = producer("exec sleep 1000");
    silent.silence = Duration::from_millis(100);
    let stream = silent.stream(CancellationToken::new());
    assert!(matches!(
        drain(stream).await.1,
        Err(StreamError::Silent { .. })
    ));
}

#[tokio::test]
async fn a_dropped_stream_ends_the_client_and_files_go_with_the_first_byte() {
    let (producer, parent) = producer("echo x; exec sleep 1000");
    let pid = producer.child.id().unwrap();
    let mut stream = producer.stream(CancellationToken::new());
    let stream = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream
    })
    .await
    .unwrap();
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    drop(stream);
    wait_until_gone(pid).await;
}

async fn wait_until_gone(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    let gone = async {
        // A zombie is gone as well: tokio reaps it in its own time.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}
