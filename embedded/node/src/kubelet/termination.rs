//! The last words of a container, for `terminationMessagePolicy: FallbackToLogsOnError`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Container;

use crate::supervisor::Exit;

/// As much as Kubernetes takes from a log.
const MAX_BYTES: usize = 2048;
const MAX_LINES: usize = 80;

/// The message of a container that has failed, if its spec asks for one.
pub(crate) fn message(container: &Container, exit: &Exit, log: &Path) -> Option<String> {
    let wanted = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if !wanted || exit.code() == 0 {
        return None;
    }
    tail(log).ok().filter(|text| !text.is_empty())
}

/// The end of a log, without the timestamps.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    // Enough for that many bytes of text in lines of one character, each with its timestamp.
    let window = u64::try_from(MAX_BYTES + MAX_LINES * 32).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole_lines = text.lines().skip(usize::from(length > window));
    let lines: Vec<&str> = whole_lines
        .map(|line| line.split_once(' ').map_or(line, |(_, text)| text))
        .collect();
    let mut kept = lines[lines.len().saturating_sub(MAX_LINES)..].join("\n");
    if kept.len() > MAX_BYTES {
        let from = (kept.len() - MAX_BYTES..kept.len())
            .find(|at| kept.is_char_boundary(*at))
            .unwrap_or(kept.len());
        kept.drain(..from);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(lines: usize, text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log: String = (0..lines)
            .map(|n| format!("2024-09-19T10:30:46.500000000Z {text}{n}\n"))
            .collect();
        std::fs::write(file.path(), log).unwrap();
        tail(file.path()).unwrap()
    }

    #[test]
    fn the_last_lines_are_told_without_their_times() {
        assert_eq!(tail_of(2, "line "), "line 0\nline 1");
        assert_eq!(tail_of(0, ""), "");
        let many = tail_of(500, "x");
        assert_eq!(many.lines().count(), MAX_LINES);
        assert!(many.ends_with("x499"));
        assert!((MAX_BYTES - 1..=MAX_BYTES).contains(&tail_of(50, &"ü".repeat(200)).len()));
    }
}
