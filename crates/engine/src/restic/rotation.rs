//! Which packs a backup reads back: pure.
//!
//! ```text
//!   id of a pack ─► a point on a circle        0 ────•──•───•──────•─── 1 = 0
//!   time         ─► a hand that goes round           ╰──────╯
//!                   once in a period            last backup   this one
//! ```
//! Each backup reads the packs that the hand has passed since the backup before. So every pack is
//! read once in a period, however often backups are made, and nobody has to keep a list. How far
//! the hand came is written into the snapshot ([`Progress`]), in the repository itself: what a
//! restart or a user of the cluster could lose is not needed.
//!
//! Besides, at least [`LEAST`] or one hundredth of all is read each time: first what the newest
//! snapshot needs, which the next one will most likely rely on.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::Id;
use super::index::KnownPack;
use crate::{ReadBack, ReadDepth};

/// Bytes that are read at least, if there are so many.
pub(super) const LEAST: u64 = 64 << 20;
/// This part of all bytes is read at least.
const LEAST_PART: u64 = 100;
/// Packs that the newest snapshot does not need and that are read only to reach the least: small
/// ones would cost many requests.
const MOST_OTHERS: usize = 32;

/// How far reading back has come, as a snapshot file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    /// When the backup was made: the hand stands here.
    pub(super) until: Timestamp,
    /// Since when the hand has gone without a gap, with this period.
    pub(super) begun: Timestamp,
    /// The period.
    pub(super) period_seconds: u64,
    /// All data was read at or after this time, or written and found complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_since: Option<Timestamp>,
}

/// What to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) packs: Vec<KnownPack>,
    /// Whether that is all there is.
    pub(super) everything: bool,
}

/// Chooses the packs to read. `needed` are the packs of the newest snapshot.
pub(super) fn plan(
    packs: &[KnownPack],
    needed: &HashSet<Id>,
    before: Option<&Progress>,
    now: Timestamp,
    wish: &ReadBack,
) -> Plan {
    let everything = || Plan {
        packs: packs.to_vec(),
        everything: true,
    };
    let period = wish.period.max(Duration::from_secs(1));
    let passed = match (wish.depth, before) {
        (ReadDepth::All, _) => return everything(),
        (ReadDepth::Sample, Some(before)) if elapsed(before.until, now) >= period => {
            return everything();
        }
        (ReadDepth::Sample, before) => {
            before.map(|before| (hand(before.until, period), hand(now, period)))
        }
    };
    let is_passed = |pack: &KnownPack| {
        let point = point(&pack.id);
        passed.is_some_and(|(from, to)| match from <= to {
            true => from < point && point <= to,
            false => point > from || point <= to,
        })
    };
    let (mut chosen, rest): (Vec<KnownPack>, Vec<KnownPack>) =
        packs.iter().partition(|pack| is_passed(pack));
    let (mut first, mut others): (Vec<KnownPack>, Vec<KnownPack>) =
        rest.into_iter().partition(|pack| needed.contains(&pack.id));
    // Others each time, so that what is damaged is found sooner than the hand comes by.
    let salt = now.as_nanosecond() as u64 | 1;
    first.sort_by_key(|pack| point(&pack.id).wrapping_mul(salt));
    others.sort_by_key(|pack| std::cmp::Reverse(pack.size));
    let total: u64 = packs.iter().map(|pack| pack.size).sum();
    let least = LEAST.max(total / LEAST_PART);
    let mut bytes: u64 = chosen.iter().map(|pack| pack.size).sum();
    for pack in first
        .into_iter()
        .chain(others.into_iter().take(MOST_OTHERS))
    {
        if bytes >= least {
            break;
        }
        bytes += pack.size;
        chosen.push(pack);
    }
    Plan {
        everything: chosen.len() == packs.len(),
        packs: chosen,
    }
}

/// What to write down when the chosen packs were read.
pub(super) fn progress(
    before: Option<&Progress>,
    now: Timestamp,
    wish: &ReadBack,
    everything: bool,
) -> Progress {
    let period_seconds = wish.period.as_secs().max(1);
    let begun = match before {
        _ if everything => now,
        None => now,
        Some(before) if before.period_seconds == period_seconds => before.begun,
        // Another period is another circle.
        Some(before) => before.until,
    };
    let once_round = now
        .checked_sub(SignedDuration::from_secs(
            period_seconds.try_into().unwrap_or(i64::MAX),
        ))
        .ok()
        .filter(|start| *start >= begun);
    let read_since = match everything {
        true => Some(now),
        false => once_round.max(before.and_then(|before| before.read_since)),
    };
    Progress {
        until: now,
        begun,
        period_seconds,
        read_since,
    }
}

/// The newest of several that is not of the future: a clock may have been ahead.
pub(super) fn newest(all: impl Iterator<Item = Progress>, now: Timestamp) -> Option<Progress> {
    all.filter(|progress| progress.until <= now)
        .max_by_key(|progress| progress.until)
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// The point of a pack.
fn point(id: &Id) -> u64 {
    id.as_bytes()
        .iter()
        .take(8)
        .fold(0, |point, byte| point << 8 | u64::from(*byte))
}

/// Where the hand is.
fn hand(time: Timestamp, period: Duration) -> u64 {
    let period = period.as_nanos();
    let gone = u128::try_from(time.as_nanosecond()).unwrap_or_default() % period;
    // Below one of a period, so it fits.
    u64::try_from((gone << 64) / period).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
