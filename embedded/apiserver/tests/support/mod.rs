//! What the integration tests share.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubestash_apiserver::testing::TestServer;
use serde_json::{Value, json};

/// How long a condition may take to hold. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with the rights of a kubeconfig.
pub async fn client(kubeconfig: Value) -> Client {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    // A test wants to see a refusal, not its repetitions.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A server, the administrator's client, and a namespace `demo`.
pub async fn server() -> (TestServer, Client) {
    let server = TestServer::start().await.unwrap();
    let client = client(server.kubeconfig()).await;
    create(
        &client,
        "v1",
        "Namespace",
        None,
        json!({"metadata": {"name": "demo"}}),
    )
    .await;
    (server, client)
}

/// The API of a kind; the plural is guessed as Kubernetes' own kinds allow.
pub fn api(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// An object of JSON.
pub fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

/// Creates an object.
pub async fn create(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    value: Value,
) -> DynamicObject {
    api(client, api_version, kind, namespace)
        .create(&PostParams::default(), &object(value))
        .await
        .unwrap()
}

/// The Status of a refused request.
pub fn status<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> kube::core::Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("not a Status: {other}"),
    }
}

/// Waits until `check` returns something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A CustomResourceDefinition of `Widget` (`widgets.test.example.com`): status, printer columns,
/// defaults, CEL, a second version and a selectable field.
pub fn widget_definition() -> Value {
    let schema = json!({
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": {"type": "integer", "minimum": 1},
                        "color": {"type": "string", "default": "blue", "enum": ["blue", "red"]},
                        "limit": {"type": "integer"},
                        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                        "parts": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
                            },
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "!has(self.limit) || self.size <= self.limit",
                        "message": "size must not exceed limit",
                    }],
                },
                "status": {
                    "type": "object",
                    "properties": {"phase": {"type": "string"}},
                },
            },
        },
    });
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.example.com"},
        "spec": {
            "group": "test.example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1alpha1", false)],
        },
    })
}

/// Makes the definition of widgets.
pub async fn define_widgets(client: &Client) {
    create(
        client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
        widget_definition(),
    )
    .await;
}

/// The API of widgets in `demo`.
pub fn widgets(client: &Client) -> Api<DynamicObject> {
    api(client, "test.example.com/v1", "Widget", Some("demo"))
}

/// A widget.
pub fn widget(name: &str, spec: Value) -> DynamicObject {
    object(json!({
        "apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
}

/// Which kubectl the tests run: `KUBESTASH_KUBECTL`, so that other versions can be tried; else the
/// one that `make tools` installed; else the one on PATH.
fn kubectl() -> PathBuf {
    if let Some(given) = std::env::var_os("KUBESTASH_KUBECTL") {
        return given.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/venv/bin/kubectl");
    if own.exists() { own } else { "kubectl".into() }
}

/// The real kubectl on a server.
pub struct Kubectl {
    kubeconfig: std::path::PathBuf,
    home: std::path::PathBuf,
}

impl Kubectl {
    /// For the administrator; kubectl keeps its caches beside the server's data.
    pub fn new(server: &TestServer) -> Self {
        Self {
            kubeconfig: server.write_kubeconfig().unwrap(),
            home: server.directory().to_owned(),
        }
    }

    /// A kubectl command, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env_remove("KUBECTL_COMMAND_HEADERS")
            .args(arguments);
        command
    }

    /// Runs a command off the async runtime.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// The output of a command that succeeds.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {stdout}{stderr}"
        );
        stdout.into_owned()
    }

    /// The errors of a command that fails.
    pub async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success(),
            "kubectl {arguments:?} should fail: {stdout}"
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Writes a manifest beside the server's data and returns its path.
    pub fn manifest(&self, name: &str, text: &str) -> String {
        let path = Path::new(&self.home).join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// Takes any certificate: for tests of what happens below HTTP.
#[derive(Debug)]
pub struct AnyCertificate(rustls::crypto::CryptoProvider);

impl Default for AnyCertificate {
    fn default() -> Self {
        Self(rustls::crypto::ring::default_provider())
    }
}

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
