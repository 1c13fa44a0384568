//! A gate in front of one write: an admission webhook that holds it back until the test has done
//! what it wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine;
use rcgen::CertifiedKey;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::System;

/// Whether the gate holds a request back.
type Test = fn(&Value) -> bool;

/// A webhook that lets everything through but the requests of its test, while it is shut.
pub struct Gate {
    shut: Arc<AtomicBool>,
    held: Receiver<Sender<()>>,
}

impl Gate {
    /// Puts a gate in front of updates of `resources` of a group.
    pub fn before(system: &System, group: &str, resources: &str, test: Test) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config =
            ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shut = Arc::new(AtomicBool::new(false));
        let (sender, held) = channel();
        let (config, closed) = (Arc::new(config), Arc::clone(&shut));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, closed) = (Arc::clone(&config), Arc::clone(&closed));
                let sender = sender.clone();
                std::thread::spawn(move || {
                    // Who hangs up in between is no concern of the gate.
                    let _ = serve(stream, config, |request| {
                        if !closed.load(Ordering::SeqCst) || !test(request) {
                            return true;
                        }
                        let (open, opened) = channel();
                        // A test that has ended wants nothing any more.
                        let _ = sender.send(open);
                        let _ = opened.recv_timeout(Duration::from_secs(25));
                        false
                    });
                });
            }
        });
        let bundle = base64::engine::general_purpose::STANDARD.encode(cert.pem());
        system.apply(
            &json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "gate"},
                "webhooks": [{
                    "name": "gate.kubestash.test",
                    "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": bundle},
                    "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": [resources]}],
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 30,
                }],
            })
            .to_string(),
        );
        Self { shut, held }
    }

    /// Holds back what comes from now on.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Waits until a request is held back. It is refused when the answer is dropped.
    pub fn reached(&self) -> Sender<()> {
        self.held
            .recv_timeout(Duration::from_secs(60))
            .expect("nothing came to the gate")
    }

    /// Lets everything through again.
    pub fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }
}

/// Answers one AdmissionReview.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    allows: impl Fn(&Value) -> bool,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let review: Value = serde_json::from_slice(&body)?;
    let request = &review["request"];
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": request["uid"], "allowed": allows(request), "status": {"message": "held back"}},
    })
    .to_string();
    let length = answer.len();
    let mut stream = stream.into_inner();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}
