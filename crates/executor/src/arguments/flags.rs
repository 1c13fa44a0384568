//! Words that are flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kubestash_engine::{ReadBack, ReadDepth};

use super::ArgumentsError;

/// The flags behind the word that a Function's arguments begin with, which may be missing.
pub(super) fn without_verb<'a>(
    function: &str,
    words: &'a [String],
    expected: &'static str,
) -> Result<&'a [String], ArgumentsError> {
    match words.split_first() {
        Some((verb, rest)) if verb == expected => Ok(rest),
        Some((verb, _)) if !verb.starts_with("--") => Err(ArgumentsError::Verb {
            function: function.to_owned(),
            verb: verb.clone(),
            expected,
        }),
        _ => Ok(words),
    }
}

/// Flags by name, each taken out once it is understood.
pub(super) struct Flags(BTreeMap<String, Option<String>>);

impl Flags {
    pub(super) fn read(words: &[String]) -> Result<Self, ArgumentsError> {
        let mut flags = BTreeMap::new();
        for word in words {
            let flag = word.strip_prefix("--").filter(|flag| !flag.is_empty());
            let flag = flag.ok_or_else(|| ArgumentsError::NoFlag(word.clone()))?;
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).flatten()
    }

    pub(super) fn needed(&mut self, name: &'static str) -> Result<String, ArgumentsError> {
        self.take(name)
            .filter(|value| !value.is_empty())
            .ok_or(ArgumentsError::Missing(name))
    }

    pub(super) fn switch(&mut self, name: &'static str) -> Result<bool, ArgumentsError> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            // A variable that nobody gave a value.
            Some(Some(value)) if value.is_empty() => Ok(false),
            Some(Some(value)) => value.parse().map_err(|_| ArgumentsError::Value {
                flag: name,
                value,
                must: "true or false",
            }),
        }
    }

    /// A number of seconds; a Go duration is understood as well.
    pub(super) fn seconds(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Duration>, ArgumentsError> {
        let Some(value) = self.take(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let seconds = value.parse().map(Duration::from_secs).ok();
        seconds
            .or_else(|| kubestash_domain::format::parse_go_duration(&value).ok())
            .map(Some)
            .ok_or(ArgumentsError::Value {
                flag: name,
                value,
                must: "a number of seconds",
            })
    }

    /// How much of the stored data a backup reads back: the task parameters `verify` and
    /// `verifyPeriod`.
    pub(super) fn read_back(&mut self) -> Result<ReadBack, ArgumentsError> {
        let depth = match self.take("verify").as_deref() {
            None | Some("" | "sample") => ReadDepth::Sample,
            Some("all") => ReadDepth::All,
            Some(other) => {
                return Err(ArgumentsError::Value {
                    flag: "verify",
                    value: other.to_owned(),
                    must: "sample or all",
                });
            }
        };
        let value = self.take("verify-period").filter(|value| !value.is_empty());
        let period = match value {
            None => ReadBack::default().period,
            Some(value) => kubestash_domain::period::minutes(&value)
                .ok()
                .and_then(|minutes| u64::try_from(minutes).ok()?.checked_mul(60))
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs)
                .ok_or(ArgumentsError::Value {
                    flag: "verify-period",
                    value,
                    must: "a time such as 7d or 12h",
                })?,
        };
        Ok(ReadBack { depth, period })
    }

    pub(super) fn scratch_dir(&mut self) -> PathBuf {
        let given = self.take("scratch-dir").filter(|dir| !dir.is_empty());
        given.map_or_else(|| PathBuf::from("/kubestash-tmp"), PathBuf::from)
    }

    /// Who connects if no Secret names a user.
    pub(super) fn user(&mut self) -> String {
        let given = self.take("user").filter(|user| !user.is_empty());
        given.unwrap_or_else(|| "postgres".to_owned())
    }

    pub(super) fn rest(self) -> Vec<String> {
        self.0.into_keys().collect()
    }
}
