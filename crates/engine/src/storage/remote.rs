//! Buckets as a store: S3, GCS and Azure through opendal.
//!
//! A request is tried again while its error may be temporary, and fails after [`NO_PROGRESS`] in
//! total. Objects are uploaded in one request each, so they appear whole or not at all.

mod build;
mod guard;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::{ErrorKind, HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use tokio::sync::Semaphore;

use self::build::{build_azure, build_gcs, build_s3, http_client};
use self::guard::Guard;
pub(super) use self::guard::NO_STORE;
use super::classify::classify;
use super::{Entry, Provider, StorageConfig, StorageError, StorageRetry, retry};

/// An operation that gets nothing done for so long has failed, whatever may still be tried.
const NO_PROGRESS: Duration = Duration::from_secs(300);
/// One attempt: 16 MiB must get through, also over a slow line.
const ATTEMPT: Duration = Duration::from_secs(120);
/// Until a probe has its answer.
const PROBE: Duration = Duration::from_secs(5);
/// Requests at a time, unless configured.
const CONNECTIONS: usize = 10;

/// A bucket, opened.
#[derive(Debug)]
pub(super) struct RemoteStore {
    /// With retries.
    operator: Operator,
    /// Without, for quick answers.
    impatient: Operator,
    connections: Arc<Semaphore>,
    workers: usize,
    place: String,
    /// What in the configuration is the likely cause if nothing answers.
    hint: &'static str,
}

impl RemoteStore {
    pub(super) fn new(config: &StorageConfig, place: String) -> Result<Self, StorageError> {
        let invalid =
            |reason: String, source: Option<crate::error::Cause>| StorageError::InvalidConfig {
                place: place.clone(),
                reason,
                source,
            };
        let root = format!("/{}", config.normalised_prefix());
        let operator = match &config.provider {
            Provider::S3(s3) => Operator::new(build_s3(s3, &root).map_err(|r| invalid(r, None))?),
            Provider::Gcs(gcs) => {
                Operator::new(build_gcs(gcs, &root).map_err(|r| invalid(r, None))?)
            }
            Provider::Azure(azure) => {
                Operator::new(build_azure(azure, &root).map_err(|r| invalid(r, None))?)
            }
            Provider::Local(_) => return Err(invalid("a volume is no bucket".to_owned(), None)),
        }
        .map_err(|error| invalid(error.message().to_owned(), None))?;
        let client = http_client(config)
            .map_err(|error| invalid("its TLS settings do not work".to_owned(), Some(error)))?;
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(
            Guard::new(ReqwestTransport::new(client), &config.provider),
        ));
        let operator = operator.with_context(context);
        let impatient = operator.clone();
        let operator = operator
            .layer(
                TimeoutLayer::new()
                    .with_timeout(ATTEMPT)
                    .with_io_timeout(ATTEMPT),
            )
            .layer(
                RetryLayer::new()
                    .with_max_times(8)
                    .with_min_delay(Duration::from_millis(250))
                    .with_max_delay(Duration::from_secs(30))
                    .with_factor(2.0)
                    .with_jitter()
                    .with_notify(log_retry),
            );
        let connections = config.max_connections.unwrap_or(CONNECTIONS).max(1);
        Ok(Self {
            operator,
            impatient,
            connections: Arc::new(Semaphore::new(connections)),
            workers: connections.max(CONNECTIONS),
            place,
            hint: hint(&config.provider),
        })
    }

    /// One operation: at most as many at a time as allowed, and not for ever.
    async fn run<T>(
        &self,
        action: &str,
        path: &str,
        operation: impl Future<Output = opendal::Result<T>>,
    ) -> Result<T, StorageError> {
        let _permit = self
            .connections
            .acquire()
            .await
            .map_err(|_| self.stalled(action, path, 0))?;
        match tokio::time::timeout(NO_PROGRESS, operation).await {
            Ok(result) => result.map_err(|error| self.classified(action, path, &error)),
            Err(_) => Err(self.stalled(action, path, NO_PROGRESS.as_secs())),
        }
    }

    fn classified(&self, action: &str, path: &str, error: &opendal::Error) -> StorageError {
        match classify(action, path, &self.place, error) {
            StorageError::EndpointUnreachable {
                place,
                hint: "",
                source,
            } => StorageError::EndpointUnreachable {
                place,
                hint: self.hint,
                source,
            },
            other => other,
        }
    }

    fn stalled(&self, action: &str, path: &str, seconds: u64) -> StorageError {
        StorageError::NoProgress {
            action: format!("{action} {path}"),
            place: self.place.clone(),
            seconds,
        }
    }

    fn repeats(&self, directory: &str) -> StorageError {
        StorageError::Failed {
            action: format!("list {directory}").trim_end().to_owned(),
            place: self.place.clone(),
            source: Some(Box::new(super::error::Reply(
                "the server lists the same names again and again".to_owned(),
            ))),
        }
    }

    pub(super) async fn probe(&self) -> Result<(), StorageError> {
        let look = async {
            let mut lister = self.impatient.lister_with("").limit(1).await?;
            lister.try_next().await.map(|_| ())
        };
        match tokio::time::timeout(PROBE, look).await {
            Ok(result) => result.map_err(|error| match self.classified("list", "", &error) {
                StorageError::NotFound { place, .. } => StorageError::BucketMissing {
                    place,
                    source: None,
                },
                other => other,
            }),
            Err(_) => Err(StorageError::EndpointUnreachable {
                place: self.place.clone(),
                hint: self.hint,
                source: Some(Box::new(super::error::Reply(format!(
                    "no answer within {} s",
                    PROBE.as_secs()
                )))),
            }),
        }
    }

    pub(super) async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        let buffer = self.run("read", path, self.operator.read(path)).await?;
        Ok(buffer.to_bytes())
    }

    pub(super) async fn read_range(
        &self,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StorageError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let range = offset..offset.saturating_add(length);
        let operation = async { self.operator.read_with(path).range(range).await };
        Ok(self.run("read", path, operation).await?.to_bytes())
    }

    pub(super) async fn write(
        &self,
        path: &str,
        parts: Vec<Bytes>,
        content_type: Option<&str>,
    ) -> Result<(), StorageError> {
        let content = opendal::Buffer::from(parts);
        let operation = async {
            match content_type {
                Some(kind) => {
                    self.operator
                        .write_with(path, content)
                        .content_type(kind)
                        .await
                }
                None => self.operator.write(path, content).await,
            }
        };
        match self.run("write", path, operation).await {
            Ok(_) => Ok(()),
            // Nothing but the bucket can be missing when writing.
            Err(StorageError::NotFound { place, .. }) => Err(StorageError::BucketMissing {
                place,
                source: None,
            }),
            Err(error) => Err(error),
        }
    }

    /// Writes an object unless there is one; tells which of the two. A server that cannot do this
    /// in one step is asked in two.
    pub(super) async fn create(&self, path: &str, content: Bytes) -> Result<bool, StorageError> {
        let operation = async {
            let write = self.operator.write_with(path, content.clone());
            match write.if_not_exists(true).await {
                Ok(_) => Ok(Some(true)),
                Err(error) => match error.kind() {
                    ErrorKind::ConditionNotMatch => Ok(Some(false)),
                    ErrorKind::Unsupported => Ok(None),
                    _ if error.to_string().contains("status: 501") => Ok(None),
                    _ => Err(error),
                },
            }
        };
        match self.run("create", path, operation).await {
            Ok(Some(created)) => Ok(created),
            Ok(None) if self.exists(path).await? => Ok(false),
            Ok(None) => self.write(path, vec![content], None).await.map(|()| true),
            // Nothing but the bucket can be missing when writing.
            Err(StorageError::NotFound { place, .. }) => Err(StorageError::BucketMissing {
                place,
                source: None,
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), StorageError> {
        match self.run("delete", path, self.operator.delete(path)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    pub(super) async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        self.run("look for", path, self.operator.exists(path)).await
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match self.run("look for", path, self.operator.stat(path)).await {
            Ok(metadata) => Ok(metadata.is_file().then(|| metadata.content_length())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete_all(&self, paths: Vec<String>) -> Result<u64, StorageError> {
        let removals = stream::iter(
            paths
                .into_iter()
                .map(|path| async move { self.delete(&path).await }),
        )
        .buffer_unordered(self.workers);
        removals
            .try_fold(0, |removed, ()| async move { Ok(removed + 1) })
            .await
    }

    /// All keys under a directory, markers of directories included.
    async fn keys(
        &self,
        directory: &str,
        recursive: bool,
    ) -> Result<Vec<opendal::Entry>, StorageError> {
        let directory = as_directory(directory);
        let open = async {
            self.operator
                .lister_with(&directory)
                .recursive(recursive)
                .await
        };
        let mut lister = match self.run("list", &directory, open).await {
            Err(StorageError::NotFound { place, .. }) => {
                return Err(StorageError::BucketMissing {
                    place,
                    source: None,
                });
            }
            other => other?,
        };
        let mut entries = Vec::new();
        let (mut seen, mut repeated) = (HashSet::new(), 0_usize);
        loop {
            match self.run("list", &directory, lister.try_next()).await {
                Ok(Some(entry)) if seen.insert(entry.path().to_owned()) => entries.push(entry),
                // Some servers repeat an entry where a page ends. One that repeats all of them
                // never comes to an end.
                Ok(Some(_)) if repeated < seen.len() => repeated += 1,
                Ok(Some(_)) => return Err(self.repeats(&directory)),
                Ok(None) => return Ok(entries),
                Err(StorageError::NotFound { place, .. }) => {
                    return Err(StorageError::BucketMissing {
                        place,
                        source: None,
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn list(&self, directory: &str) -> Result<Vec<Entry>, StorageError> {
        let keys = self.keys(directory, true).await?;
        Ok(keys
            .into_iter()
            .filter(|entry| !entry.path().ends_with('/'))
            .map(|entry| Entry {
                path: entry.path().trim_start_matches('/').to_owned(),
                size: entry.metadata().content_length(),
                modified: entry
                    .metadata()
                    .last_modified()
                    .and_then(|time| Timestamp::try_from(std::time::SystemTime::from(time)).ok()),
            })
            .collect())
    }

    pub(super) async fn list_names(&self, directory: &str) -> Result<Vec<String>, StorageError> {
        let keys = self.keys(directory, false).await?;
        let directory = as_directory(directory);
        Ok(keys
            .into_iter()
            .filter_map(|entry| {
                let path = entry.path().trim_start_matches('/');
                let name = path.strip_prefix(directory.as_str()).unwrap_or(path);
                (!name.is_empty()).then(|| name.to_owned())
            })
            .collect())
    }

    pub(super) async fn remove_all(&self, directory: &str) -> Result<u64, StorageError> {
        let keys = self.keys(directory, true).await?;
        let mut removals = stream::iter(keys.into_iter().map(|entry| async move {
            self.delete(entry.path()).await?;
            Ok::<u64, StorageError>(u64::from(!entry.path().ends_with('/')))
        }))
        .buffer_unordered(self.workers);
        let mut removed = 0;
        while let Some(count) = removals.try_next().await? {
            removed += count;
        }
        Ok(removed)
    }
}

/// What is likely to be wrong if nothing answers.
fn hint(provider: &Provider) -> &'static str {
    let endpoint = match provider {
        Provider::S3(s3) => s3.endpoint.as_deref(),
        _ => None,
    };
    match endpoint {
        Some(endpoint) if !endpoint.contains("://") => {
            "; the endpoint has no scheme, so https:// was assumed: write http:// or https:// in front of it"
        }
        _ => "",
    }
}

fn as_directory(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    }
}

fn log_retry(event: opendal::layers::RetryEvent<'_>) {
    // Only what went wrong: the error's context may hold addresses and headers.
    tracing::warn!(
        operation = %event.op,
        attempt = event.attempt,
        retry_after_seconds = event.retry_after.as_secs_f64(),
        error = event.err.message(),
        "storage request failed, it will be retried"
    );
    retry::tell(&StorageRetry {
        operation: event.op.to_string(),
        error: event.err.message().to_owned(),
        after: event.retry_after,
    });
}
