//! From BackupStorage and Secret to an open store: layout of the bucket, YAML beside the data.
