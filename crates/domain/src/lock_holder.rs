//! Who holds a repository's lock: the text in the hostname field of restic's lock files.
//!
//! `<job>.<uid of the Repository object>`. The uid makes it certain whose Job that is: two clusters
//! may write into one bucket with equal names, and a lock must never be taken from a writer that
//! lives in the other one. A hostname of any other form belongs to somebody we know nothing about.

use std::fmt;

/// In front of namespace and name of the RestoreSession whose Job holds a lock. Other Jobs run in
/// the Repository's own namespace and are called by their name; no name has a slash.
const RESTORE: &str = "restoresession/";

/// A Job that holds a lock, and the Repository object it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Name of the Job (for a session's Job the name of the BackupSession); of a restore's with
    /// its namespace ([`LockHolder::restore_job`]).
    pub job: String,
    /// `metadata.uid` of the Repository.
    pub repository_uid: String,
}

impl LockHolder {
    /// A holder.
    pub fn new(job: impl Into<String>, repository_uid: impl Into<String>) -> Self {
        Self {
            job: job.into(),
            repository_uid: repository_uid.into(),
        }
    }

    /// What the Job of a RestoreSession is called, which may run in another namespace than that of
    /// the Repository.
    pub fn restore_job(namespace: &str, session: &str) -> String {
        format!("{RESTORE}{namespace}/{session}")
    }

    /// Namespace and name of the RestoreSession whose Job is called so; none if it is another
    /// one's.
    pub fn restore_of(job: &str) -> Option<(&str, &str)> {
        job.strip_prefix(RESTORE)?.split_once('/')
    }

    /// Reads the hostname field of a lock file; none if it was not written by one of our Jobs.
    pub fn parse(hostname: &str) -> Option<Self> {
        // A uid has no dot, a Job's name may have some.
        let (job, uid) = hostname.rsplit_once('.')?;
        let is_uid = uid.len() == 36
            && uid.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        (is_uid && !job.is_empty()).then(|| Self::new(job, uid))
    }

    /// Whether the holder named in a lock file is provably gone, asked by `self`, which wants a
    /// lock: it works for the same Repository object, and is an earlier pod of the same Job (a
    /// Job runs one pod at a time) or a Job that `has_ended`.
    pub fn sees_gone(&self, hostname: &str, has_ended: impl FnOnce(&str) -> bool) -> bool {
        Self::parse(hostname).is_some_and(|other| {
            other.repository_uid == self.repository_uid
                && (other.job == self.job || has_ended(&other.job))
        })
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.repository_uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7ced6866-349b-48c0-821d-d1ecfee1c80e";
    const OTHER: &str = "8ced6866-349b-48c0-821d-d1ecfee1c80e";

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        for job in ["sample-frequent-1726741846", "a.b"] {
            let holder = LockHolder::new(job, UID);
            assert_eq!(LockHolder::parse(&holder.to_string()), Some(holder));
        }
        let long = format!("x.{UID}0");
        for foreign in [
            "",
            "my-laptop",
            "host.example.org",
            UID,
            &format!(".{UID}"),
            &long,
        ] {
            assert_eq!(LockHolder::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_job_of_a_restore_is_told_from_those_of_backups() {
        let job = LockHolder::restore_job("dev", "restore.sample");
        let holder = LockHolder::new(job, UID);
        let read = LockHolder::parse(&holder.to_string()).unwrap();
        assert_eq!(read, holder);
        assert_eq!(
            LockHolder::restore_of(&read.job),
            Some(("dev", "restore.sample"))
        );
        assert_eq!(LockHolder::restore_of("restoresession"), None);
    }

    #[test]
    fn only_a_job_of_the_same_repository_object_can_be_seen_gone() {
        let own = LockHolder::new("second", UID);
        let ended = |job: &str| job == "first";
        let cases = [
            (format!("first.{UID}"), true),
            (format!("second.{UID}"), true),
            (format!("third.{UID}"), false),
            (format!("first.{OTHER}"), false),
            (format!("second.{OTHER}"), false),
            ("first".to_owned(), false),
            ("my-laptop".to_owned(), false),
        ];
        for (hostname, gone) in cases {
            assert_eq!(own.sees_gone(&hostname, ended), gone, "{hostname}");
        }
    }
}
