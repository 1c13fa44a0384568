//! Phase of BackupVerificationSession.

use kubestash_api::conditions::verification_session::{
    BACKUP_VERIFICATION_SKIPPED, BACKUP_VERIFIED, RESTORE_SUCCEEDED,
    VERIFICATION_SESSION_HISTORY_CLEANED,
};
use kubestash_api::core::BackupVerificationSessionPhase;
use kubestash_api::shared::Condition;

use crate::condition::{is_false, is_true};

/// Phase of a BackupVerificationSession. It becomes final when the last condition,
/// `VerificationSessionHistoryCleaned`, is there.
#[must_use]
pub fn backup_verification_session(conditions: &[Condition]) -> BackupVerificationSessionPhase {
    let over = VERIFICATION_SESSION_HISTORY_CLEANED.type_;
    if is_false(conditions, over) {
        BackupVerificationSessionPhase::Failed
    } else if is_true(conditions, BACKUP_VERIFICATION_SKIPPED.type_) {
        BackupVerificationSessionPhase::Skipped
    } else if !is_true(conditions, over) {
        BackupVerificationSessionPhase::Running
    } else if is_false(conditions, RESTORE_SUCCEEDED.type_)
        || is_false(conditions, BACKUP_VERIFIED.type_)
    {
        BackupVerificationSessionPhase::Failed
    } else {
        BackupVerificationSessionPhase::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use kubestash_api::conditions::verification_session::VERIFICATION_EXECUTOR_ENSURED;

    use super::super::cases::{False, True, Unknown, conditions};
    use super::*;

    #[test]
    fn a_verification_follows_the_table() {
        use BackupVerificationSessionPhase::{Failed, Running, Skipped, Succeeded};
        let over = VERIFICATION_SESSION_HISTORY_CLEANED;
        for (entries, expected) in [
            (vec![(over, False)], Failed),
            (
                vec![(over, False), (BACKUP_VERIFICATION_SKIPPED, True)],
                Failed,
            ),
            (vec![(BACKUP_VERIFICATION_SKIPPED, True)], Skipped),
            (
                vec![(BACKUP_VERIFICATION_SKIPPED, True), (over, True)],
                Skipped,
            ),
            (vec![(RESTORE_SUCCEEDED, False), (over, True)], Failed),
            (
                vec![
                    (RESTORE_SUCCEEDED, True),
                    (BACKUP_VERIFIED, False),
                    (over, True),
                ],
                Failed,
            ),
            (
                vec![
                    (RESTORE_SUCCEEDED, True),
                    (BACKUP_VERIFIED, True),
                    (over, True),
                ],
                Succeeded,
            ),
            (vec![(over, True)], Succeeded),
            (
                vec![(VERIFICATION_EXECUTOR_ENSURED, False), (over, True)],
                Succeeded,
            ),
            (vec![], Running),
            (vec![(BACKUP_VERIFICATION_SKIPPED, False)], Running),
            (vec![(RESTORE_SUCCEEDED, False)], Running),
            (vec![(BACKUP_VERIFIED, True)], Running),
            (vec![(over, Unknown)], Running),
        ] {
            assert_eq!(
                backup_verification_session(&conditions(&entries)),
                expected,
                "{entries:?}"
            );
        }
    }
}
