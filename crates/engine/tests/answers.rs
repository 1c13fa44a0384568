//! What a store answers when it is broken, no store at all, or refuses for a reason that the user
//! can mend: a scripted server of the S3 protocol.
#![cfg(test)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubestash_engine::storage::{Provider, S3, S3Credentials};
use kubestash_engine::{ObjectStore, Secret, StorageConfig, StorageError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Longer than any of these answers takes on a busy machine, and far shorter than "for ever".
const PATIENCE: Duration = Duration::from_secs(60);

struct Answer {
    status: u16,
    headers: &'static str,
    body: String,
}

fn ok(body: impl Into<String>) -> Answer {
    Answer {
        status: 200,
        headers: "content-type: application/xml\r\n",
        body: body.into(),
    }
}

/// A server that answers each request as the script says, given its number and its first line. Ends
/// with the value.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(script: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let (script, counted) = (Arc::new(script), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (script, counted) = (Arc::clone(&script), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(connection);
                    let mut first = String::new();
                    stream.read_line(&mut first).await.unwrap();
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).await.unwrap() == 0 || line.trim().is_empty()
                        {
                            break;
                        }
                        if let Some(value) =
                            line.to_ascii_lowercase().strip_prefix("content-length:")
                        {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.unwrap();
                    let answer = script(counted.fetch_add(1, Ordering::SeqCst), first.trim());
                    let text = format!(
                        "HTTP/1.1 {} x\r\n{}content-length: {}\r\nconnection: close\r\n\r\n{}",
                        answer.status,
                        answer.headers,
                        answer.body.len(),
                        answer.body
                    );
                    // Who asked may have gone.
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    fn store(&self, scheme: &str) -> ObjectStore {
        let address = &self.address;
        store(&format!("{scheme}{address}"))
    }

    fn asked(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn store(endpoint: &str) -> ObjectStore {
    let config = StorageConfig {
        provider: Provider::S3(S3 {
            endpoint: Some(endpoint.to_owned()),
            bucket: "demo".to_owned(),
            region: Some("us-east-1".to_owned()),
            credentials: S3Credentials::Keys {
                access_key_id: Secret::new("id"),
                secret_access_key: Secret::new("canary-key"),
            },
            ca_pem: None,
            insecure_tls: false,
        }),
        prefix: "blueprint".to_owned(),
        max_connections: None,
    };
    ObjectStore::open(&config).unwrap()
}

fn list(names: &[&str], rest: &str) -> String {
    let contents: String = names
        .iter()
        .map(|name| {
            format!(
                "<Contents><Key>blueprint/{name}</Key><LastModified>2024-09-19T10:30:46.000Z</LastModified>\
                 <ETag>\"x\"</ETag><Size>1</Size></Contents>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>demo</Name>{rest}{contents}</ListBucketResult>"
    )
}

fn error(code: &str, message: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

/// An error and its causes in one line.
fn said(error: &StorageError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it goes on for ever")
}

#[tokio::test]
async fn a_list_that_says_that_it_goes_on_and_never_ends_is_refused() {
    const GOES_ON: &str = "<IsTruncated>true</IsTruncated>";
    let token =
        |token: &str| format!("{GOES_ON}<NextContinuationToken>{token}</NextContinuationToken>");
    // No token; the token that was just used; one of two tokens in turn.
    let no_token = Server::start(|_, _| ok(list(&["a", "b"], GOES_ON))).await;
    let again = token("same+token");
    let same_token = Server::start(move |_, _| ok(list(&["a"], &again))).await;
    let in_turn =
        Server::start(move |number, _| ok(list(&["a", "b"], &token(&format!("t{}", number % 2)))))
            .await;
    for (server, word) in [
        (no_token, "continues, but not where"),
        (same_token, "where it has just begun"),
        (in_turn, "again and again"),
    ] {
        let store = server.store("http://");
        for refused in [
            within(store.list("")).await.unwrap_err(),
            within(store.list_names("x")).await.unwrap_err(),
            within(store.remove_all("")).await.unwrap_err(),
        ] {
            assert!(said(&refused).contains(word), "{}", said(&refused));
        }
        assert!(
            server.asked() < 20,
            "{word}: asked {} times",
            server.asked()
        );
    }
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end_once() {
    let server = Server::start(|_, request| {
        if request.contains("continuation-token=two") {
            ok(list(&["b", "c"], "<IsTruncated>false</IsTruncated>"))
        } else {
            // "b" is on both pages, as some servers do where a page ends.
            let rest = "<IsTruncated>true</IsTruncated><NextContinuationToken>two/=</NextContinuationToken>";
            ok(list(&["a", "b"], rest))
        }
    })
    .await;
    let found = within(server.store("http://").list("")).await.unwrap();
    let paths: Vec<_> = found.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "b", "c"]);
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_store_that_answers_everything_with_200_is_not_taken_at_its_word() {
    let cases = [
        (error("AccessDenied", "no"), "AccessDenied", "no"),
        (
            error("NoSuchBucket", "gone"),
            "BucketMissing",
            "does not exist",
        ),
        (
            error("ExpiredToken", "old"),
            "CredentialsExpired",
            "have expired",
        ),
        (
            error("Whatever", "no such thing"),
            "StorageFailed",
            "no such thing",
        ),
        (
            "<!DOCTYPE html><html>It works!</html>".to_owned(),
            "EndpointUnreachable",
            "is the endpoint right",
        ),
        (
            "{\"message\": \"hello\"}".to_owned(),
            "EndpointUnreachable",
            "is the endpoint right",
        ),
        (String::new(), "EndpointUnreachable", "an empty answer"),
    ];
    for (body, kind, word) in cases {
        let shown = body.clone();
        let server = Server::start(move |_, _| ok(body.clone())).await;
        let store = server.store("http://");
        for refused in [
            within(store.probe()).await.unwrap_err(),
            within(store.list("")).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), kind, "{shown}: {}", said(&refused));
            assert!(said(&refused).contains(word), "{shown}: {}", said(&refused));
        }
        // An object that is read or written is no object either, if the answer says that it is an
        // error.
        if shown.contains("<Error>") {
            for refused in [
                within(store.read("metadata.yaml")).await.unwrap_err(),
                within(store.write("metadata.yaml", "x".into(), None))
                    .await
                    .unwrap_err(),
                within(store.delete("metadata.yaml")).await.unwrap_err(),
            ] {
                assert_eq!(refused.kind(), kind, "{shown}: {}", said(&refused));
            }
        }
    }
}

#[tokio::test]
async fn an_error_that_may_pass_is_tried_again_also_with_status_200() {
    let server = Server::start(|number, _| match number {
        0 => ok(error("InternalError", "try again")),
        1 => ok(error("SlowDown", "please")),
        _ => ok("content"),
    })
    .await;
    let content = within(server.store("http://").read("file")).await.unwrap();
    assert_eq!(content, "content");
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn what_the_user_can_mend_is_said_with_its_remedy() {
    let answer = |status: u16, headers: &'static str, body: String| {
        move |_: usize, _: &str| Answer {
            status,
            headers,
            body: body.clone(),
        }
    };
    let wrong_region = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'";
    let cases = [
        (
            400,
            "",
            error("ExpiredToken", "The provided token has expired."),
            "CredentialsExpired",
            "renew them",
        ),
        (
            403,
            "",
            error("ExpiredToken", "The provided token has expired."),
            "CredentialsExpired",
            "renew them",
        ),
        (
            400,
            "",
            error("AuthorizationHeaderMalformed", wrong_region),
            "WrongRegion",
            "set the region to eu-central-1",
        ),
        (
            301,
            "x-amz-bucket-region: ap-south-1\r\n",
            error(
                "PermanentRedirect",
                "must be addressed using the specified endpoint",
            ),
            "WrongRegion",
            "set the region to ap-south-1",
        ),
        (
            400,
            "",
            error("IllegalLocationConstraintException", "x"),
            "WrongRegion",
            "the bucket's own",
        ),
        (
            403,
            "",
            error("RequestTimeTooSkewed", "The difference is too large."),
            "ClocksDiffer",
            "clock",
        ),
        (
            403,
            "",
            error("InvalidAccessKeyId", "The key does not exist."),
            "AccessDenied",
            "check the credentials",
        ),
        (
            400,
            "",
            "Client sent an HTTP request to an HTTPS server.\n".to_owned(),
            "EndpointUnreachable",
            "https://",
        ),
    ];
    for (status, headers, body, kind, remedy) in cases {
        let shown = body.clone();
        let server = Server::start(answer(status, headers, body)).await;
        let refused = within(server.store("http://").probe()).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{shown}: {}", said(&refused));
        assert!(refused.to_string().contains(remedy), "{shown}: {refused}");
        assert!(!said(&refused).contains("canary"), "{}", said(&refused));
    }
}

#[tokio::test]
async fn an_endpoint_without_a_scheme_is_https_and_if_that_fails_it_is_said() {
    // It speaks plain HTTP.
    let server = Server::start(|_, _| ok(list(&[], ""))).await;
    within(server.store("http://").probe()).await.unwrap();
    within(server.store("HTTP://").probe()).await.unwrap();
    let refused = within(server.store("").probe()).await.unwrap_err();
    assert_eq!(refused.kind(), "EndpointUnreachable");
    assert!(
        refused
            .to_string()
            .contains("has no scheme, so https:// was assumed"),
        "{refused}"
    );
    // With one, there is nothing to guess.
    let refused = within(server.store("https://").probe()).await.unwrap_err();
    assert!(!refused.to_string().contains("scheme"), "{refused}");
}
