//! What restic says about one backed-up path.
//!
//! Two spellings of it exist: beside each other in the entry, and below `summary`. Invariant:
//! entries made by [`ResticStats::from_summary`] have both, with the same values; the accessors
//! read either.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BackupProgress;

/// What restic reports about one backed-up path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResticStats {
    /// The backed-up path; the same as in `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Id of the restic snapshot; the same as in `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How far the backup has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<BackupProgress>,
    /// Size of the backed-up data; the same as in `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ResticSummary>,
    /// Size of the data that was new; the same as in `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<String>,
}

/// The result of a restic backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResticSummary {
    /// When the backup ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// The backed-up path, or the file name of a stream such as `dumpfile.sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Id of the restic snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Size of the backed-up data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// When the backup started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Size of the data that was new and had to be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<String>,
}

impl ResticStats {
    /// An entry that says the result in both spellings.
    #[must_use]
    pub fn from_summary(summary: ResticSummary) -> Self {
        Self {
            host_path: summary.host_path.clone(),
            id: summary.id.clone(),
            progress: None,
            size: summary.size.clone(),
            uploaded: summary.uploaded.clone(),
            summary: Some(summary),
        }
    }

    /// The backed-up path, from either spelling.
    #[must_use]
    pub fn host_path(&self) -> Option<&str> {
        self.either(|summary| &summary.host_path, &self.host_path)
    }

    /// Id of the restic snapshot, from either spelling.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.either(|summary| &summary.id, &self.id)
    }

    /// Size of the backed-up data, from either spelling.
    #[must_use]
    pub fn size(&self) -> Option<&str> {
        self.either(|summary| &summary.size, &self.size)
    }

    /// Size of the data that was new, from either spelling.
    #[must_use]
    pub fn uploaded(&self) -> Option<&str> {
        self.either(|summary| &summary.uploaded, &self.uploaded)
    }

    fn either<'a>(
        &'a self,
        nested: impl Fn(&'a ResticSummary) -> &'a Option<String>,
        flat: &'a Option<String>,
    ) -> Option<&'a str> {
        let nested = self
            .summary
            .as_ref()
            .and_then(|summary| nested(summary).as_deref());
        nested.or(flat.as_deref()).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_both_are_written() {
        let flat: ResticStats = serde_json::from_value(serde_json::json!({
            "hostPath": "dumpfile.sql", "id": "8f2b", "size": "3.750 MiB", "uploaded": "3.751 MiB"
        }))
        .unwrap();
        let nested: ResticStats = serde_json::from_value(serde_json::json!({
            "summary": {"hostPath": "dumpfile.sql", "id": "8f2b", "size": "3.750 MiB", "uploaded": "3.751 MiB"}
        }))
        .unwrap();
        for stats in [&flat, &nested] {
            assert_eq!(stats.host_path(), Some("dumpfile.sql"));
            assert_eq!(stats.id(), Some("8f2b"));
            assert_eq!(stats.size(), Some("3.750 MiB"));
            assert_eq!(stats.uploaded(), Some("3.751 MiB"));
        }
        let written =
            serde_json::to_value(ResticStats::from_summary(nested.summary.clone().unwrap()))
                .unwrap();
        assert_eq!(written["id"], "8f2b");
        assert_eq!(written["summary"]["id"], "8f2b");
        assert_eq!(ResticStats::default().size(), None);
    }
}
