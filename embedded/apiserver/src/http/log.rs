//! `pods/log`: what containers wrote (see [`crate::logs`] for where it lies).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use kubestash_apimachinery::Status;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::Call;
use super::respond::{self, Response};
use crate::app::App;
use crate::logs;
use crate::registry::Refused;
use crate::store::Key;

/// How often a followed file is looked at. Only while somebody follows.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 64 * 1024;

/// The options of a request.
struct Options {
    follow: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<u64>,
}

/// Answers with the log of a container.
pub(super) async fn serve(call: Call) -> Result<Response, Refused> {
    let options = options(&call)?;
    let key = call.target.key();
    let pod = call
        .app
        .store
        .get(&key)
        .ok_or_else(|| Box::new(Status::not_found(call.target.info(), &call.target.name)))?;
    let value = pod.value();
    let container = container(&call, &value)?;
    let dir = call.app.pods_dir.join(&*pod.uid).join(&container);
    let runs = runs(&dir).await;
    let wanted = if call.query.flag("previous") {
        runs.len().checked_sub(2).and_then(|index| runs.get(index))
    } else {
        runs.last()
    };
    let Some(run) = wanted else {
        return Err(Box::new(missing(&call, &value, &container)));
    };
    let path = logs::path(&call.app.pods_dir, &pod.uid, &container, *run);
    let start = start_offset(path.clone(), options.tail, options.since).await?;
    let reader = Reader::open(call.app.clone(), key, container, path, start, options).await?;
    let chunks = stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), reader))
    });
    let mut response = respond::text(Bytes::new());
    *response.body_mut() = Body::from_stream(chunks);
    Ok(response)
}

fn options(call: &Call) -> Result<Options, Refused> {
    let query = &call.query;
    let negative = |field: &str| {
        Box::new(Status::bad_request(format!(
            "{field} must be greater than or equal to 0"
        )))
    };
    let since_seconds = query.number("sinceSeconds")?;
    let since = match (since_seconds, query.given("sinceTime")) {
        (Some(_), Some(_)) => {
            return Err(Box::new(Status::bad_request(
                "at most one of sinceTime or sinceSeconds may be specified",
            )));
        }
        (Some(seconds), None) if seconds < 1 => return Err(negative("sinceSeconds")),
        (Some(seconds), None) => Some(Timestamp::now() - jiff::SignedDuration::from_secs(seconds)),
        (None, Some(time)) => Some(time.parse().map_err(|_| {
            Box::new(Status::bad_request(format!(
                "sinceTime: {time} is not an RFC 3339 time"
            )))
        })?),
        (None, None) => None,
    };
    let tail = match query.number("tailLines")? {
        None => None,
        Some(lines) => Some(usize::try_from(lines).map_err(|_| negative("tailLines"))?),
    };
    let limit = match query.number("limitBytes")? {
        None => None,
        Some(bytes) => Some(u64::try_from(bytes).map_err(|_| negative("limitBytes"))?),
    };
    Ok(Options {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        since,
        tail,
        limit,
    })
}

/// The container asked for, or the only one.
fn container(call: &Call, pod: &Value) -> Result<String, Refused> {
    let names = |field: &str| -> Vec<String> {
        pod["spec"][field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let pod_name = &call.target.name;
    match call.query.given("container") {
        Some(name) if main.iter().chain(&init).any(|one| one == name) => Ok(name.to_owned()),
        Some(name) => Err(Box::new(Status::bad_request(format!(
            "container {name} is not valid for pod {pod_name}"
        )))),
        None if main.len() == 1 && init.is_empty() => Ok(main.concat()),
        None => {
            let init = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            Err(Box::new(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]{init}",
                main.join(" ")
            ))))
        }
    }
}

/// The runs of a container that have a log, oldest first.
async fn runs(dir: &Path) -> Vec<u32> {
    let mut runs = Vec::new();
    if let Ok(mut entries) = tokio::fs::read_dir(dir).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name();
            runs.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok()),
            );
        }
    }
    runs.sort_unstable();
    runs
}

/// Why there is no log.
fn missing(call: &Call, pod: &Value, container: &str) -> Status {
    let name = &call.target.name;
    if call.query.flag("previous") {
        return Status::bad_request(format!(
            "previous terminated container \"{container}\" in pod \"{name}\" not found"
        ));
    }
    let reason = container_status(pod, container)
        .and_then(|status| status["state"]["waiting"]["reason"].as_str())
        .unwrap_or("ContainerCreating");
    Status::bad_request(format!(
        "container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"
    ))
}

fn container_status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .filter_map(|field| pod["status"][field].as_array())
        .flatten()
        .find(|status| status["name"] == *container)
}

/// Where the lines asked for begin.
async fn start_offset(
    path: PathBuf,
    tail: Option<usize>,
    since: Option<Timestamp>,
) -> Result<u64, Refused> {
    if tail.is_none() && since.is_none() {
        return Ok(0);
    }
    let scan = move || -> std::io::Result<u64> {
        let mut file = BufReader::new(std::fs::File::open(&path)?);
        let mut last: VecDeque<u64> = VecDeque::new();
        let (mut offset, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = file.by_ref().read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let wanted = since.is_none_or(|since| time_of(&line).is_none_or(|time| time >= since));
            if wanted {
                last.push_back(offset);
                if last.len() > tail.unwrap_or(usize::MAX) {
                    last.pop_front();
                }
                if tail.is_none() {
                    return Ok(offset);
                }
            }
            offset += read as u64;
        }
        Ok(last.front().copied().unwrap_or(offset))
    };
    match tokio::task::spawn_blocking(scan).await {
        Ok(Ok(offset)) => Ok(offset),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &dyn std::error::Error) -> Refused {
    Box::new(Status::internal(format!("failed to read the log: {error}")))
}

fn time_of(line: &[u8]) -> Option<Timestamp> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

/// Reads whole lines from a file, and goes on as it grows while it is followed.
struct Reader {
    app: Arc<App>,
    pod: Key,
    container: String,
    file: tokio::fs::File,
    partial: Vec<u8>,
    options: Options,
    finished: bool,
}

impl Reader {
    async fn open(
        app: Arc<App>,
        pod: Key,
        container: String,
        path: PathBuf,
        start: u64,
        options: Options,
    ) -> Result<Self, Refused> {
        let open = async {
            let mut file = tokio::fs::File::open(&path).await?;
            file.seek(SeekFrom::Start(start)).await?;
            Ok::<_, std::io::Error>(file)
        };
        Ok(Self {
            app,
            pod,
            container,
            file: open.await.map_err(|error| unreadable(&error))?,
            partial: Vec::new(),
            options,
            finished: false,
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while !self.finished && self.options.limit != Some(0) {
            // Whether the container has ended is asked before reading: what it wrote before is then
            // read below.
            let ended = self.has_ended();
            match self.file.read(&mut buffer).await {
                Ok(0) if !self.options.follow || ended || self.app.stop.is_cancelled() => {
                    return None;
                }
                Ok(0) => tokio::time::sleep(FOLLOW_EVERY).await,
                Ok(read) => {
                    let lines = self.lines(&buffer[..read]);
                    if !lines.is_empty() {
                        return Some(self.limited(lines));
                    }
                }
                Err(error) => {
                    self.finished = true;
                    return Some(Bytes::from(format!("failed to read the log: {error}\n")));
                }
            }
        }
        None
    }

    /// The whole lines so far, without times unless they are asked for.
    fn lines(&mut self, read: &[u8]) -> Vec<u8> {
        self.partial.extend_from_slice(read);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        if self.options.timestamps {
            return whole;
        }
        let mut lines = Vec::with_capacity(whole.len());
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let text = line
                .iter()
                .position(|byte| *byte == b' ')
                .map_or(0, |space| space + 1);
            lines.extend_from_slice(&line[text..]);
        }
        lines
    }

    fn limited(&mut self, mut lines: Vec<u8>) -> Bytes {
        if let Some(limit) = &mut self.options.limit {
            let taken = usize::try_from(*limit)
                .unwrap_or(usize::MAX)
                .min(lines.len());
            lines.truncate(taken);
            *limit -= taken as u64;
        }
        lines.into()
    }

    /// Whether the container writes no more.
    fn has_ended(&self) -> bool {
        let Some(pod) = self.app.store.get(&self.pod) else {
            return true;
        };
        let value = pod.value();
        matches!(
            value["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        ) || container_status(&value, &self.container)
            .is_some_and(|status| status["state"]["terminated"].is_object())
    }
}
