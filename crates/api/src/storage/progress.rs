//! How far a backup or a restore has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a backup has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupProgress {
    /// Amount of data read so far, as in `393.9MB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_done: Option<String>,
    /// Files read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_done: Option<i64>,
    /// Part done, as in `7.48%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_done: Option<String>,
    /// Seconds since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_elapsed: Option<i64>,
    /// Amount of data read each second, as in `34.2MB/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// Amount of data to read, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Files to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_files: Option<i64>,
}

/// How far a restore has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreProgress {
    /// Files written so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_done: Option<i64>,
    /// Part done, as in `7.48%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_done: Option<String>,
    /// Amount of data written so far, as in `393.9MB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_done: Option<String>,
    /// Seconds since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_elapsed: Option<i64>,
    /// Amount of data written each second, as in `34.2MB/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// Amount of data to write, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Files to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_files: Option<i64>,
}
