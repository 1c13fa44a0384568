use proptest::prelude::*;

use super::*;

const DAY: u64 = 86_400;

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap()
}

fn week() -> ReadBack {
    ReadBack::default()
}

fn pack(number: u32, size: u64) -> KnownPack {
    KnownPack::new(Id::of(&number.to_le_bytes()), size)
}

fn ids(plan: &Plan) -> HashSet<Id> {
    plan.packs.iter().map(|pack| pack.id).collect()
}

#[test]
fn a_small_repository_is_read_as_a_whole_each_time() {
    let packs: Vec<_> = (0..20).map(|number| pack(number, 3 << 20)).collect();
    let needed = packs.iter().take(2).map(|pack| pack.id).collect();
    let plan = plan(&packs, &needed, None, at(0), &week());
    assert!(plan.everything);
    assert_eq!(progress(None, at(0), &week(), true).read_since, Some(at(0)));
}

#[test]
fn never_less_than_64_mib_or_a_hundredth_is_read_and_what_the_newest_snapshot_needs_comes_first() {
    for (count, size, least) in [
        (100, 16 << 20, LEAST),
        (10_000, 16 << 20, 10_000 * (16 << 20) / 100),
    ] {
        let packs: Vec<_> = (0..count).map(|number| pack(number, size)).collect();
        let needed: HashSet<Id> = packs.iter().take(3).map(|pack| pack.id).collect();
        let before = progress(None, at(0), &week(), true);
        let plan = plan(&packs, &needed, Some(&before), at(1), &week());
        let bytes: u64 = plan.packs.iter().map(|pack| pack.size).sum();
        let others = MOST_OTHERS as u64 * size;
        assert!(bytes >= least.min(others), "{count}: {bytes}");
        assert!(bytes <= least + size * 2, "{count}: {bytes}");
        assert!(needed.is_subset(&ids(&plan)));
        assert!(!plan.everything);
    }
}

#[test]
fn everything_is_read_on_request_and_after_a_pause_of_a_period() {
    let packs: Vec<_> = (0..1000).map(|number| pack(number, 16 << 20)).collect();
    let none = HashSet::new();
    let all = ReadBack {
        depth: ReadDepth::All,
        ..week()
    };
    assert!(plan(&packs, &none, None, at(0), &all).everything);
    let before = progress(None, at(0), &week(), false);
    assert!(!plan(&packs, &none, Some(&before), at(6 * DAY), &week()).everything);
    assert!(plan(&packs, &none, Some(&before), at(7 * DAY), &week()).everything);
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_the_hand() {
    let ahead = progress(None, at(400 * DAY), &week(), true);
    let real = progress(None, at(DAY), &week(), true);
    assert_eq!(newest([ahead, real].into_iter(), at(2 * DAY)), Some(real));
    assert_eq!(newest([ahead].into_iter(), at(2 * DAY)), None);
}

#[test]
fn the_time_of_the_last_full_read_is_never_promised_too_early() {
    let none = progress(None, at(0), &week(), false);
    assert_eq!(none.read_since, None, "nobody has been round yet");
    let soon = progress(Some(&none), at(6 * DAY), &week(), false);
    assert_eq!(soon.read_since, None);
    let round = progress(Some(&soon), at(8 * DAY), &week(), false);
    assert_eq!(round.read_since, Some(at(DAY)));
    // Another period is another circle: what is known stays, nothing is added before it went round.
    let daily = ReadBack {
        period: Duration::from_secs(DAY),
        ..week()
    };
    let other = progress(Some(&round), at(9 * DAY), &daily, false);
    assert_eq!(other.read_since, Some(at(8 * DAY)));
    let longer = ReadBack {
        period: Duration::from_secs(30 * DAY),
        ..week()
    };
    assert_eq!(
        progress(Some(&round), at(9 * DAY), &longer, false).read_since,
        Some(at(DAY))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the gaps between backups: what is promised to have been read was read.
    #[test]
    fn every_pack_is_read_within_the_period_however_backups_are_spaced(
        gaps in prop::collection::vec(1_u64..3 * DAY, 4..60),
        count in 1_u32..400,
    ) {
        let packs: Vec<_> = (0..count).map(|number| pack(number, 1 << 30)).collect();
        let none = HashSet::new();
        let mut read_at = std::collections::HashMap::new();
        let mut state: Option<Progress> = None;
        let mut now = 0;
        for gap in gaps {
            now += gap;
            let plan = plan(&packs, &none, state.as_ref(), at(now), &week());
            for pack in &plan.packs {
                read_at.insert(pack.id, at(now));
            }
            let next = progress(state.as_ref(), at(now), &week(), plan.everything);
            if let Some(since) = next.read_since {
                for pack in &packs {
                    let read = read_at.get(&pack.id);
                    prop_assert!(read.is_some_and(|read| *read >= since), "{pack:?} {read:?} {since}");
                }
                prop_assert!(elapsed(since, at(now)) <= week().period + Duration::from_secs(3 * DAY));
            }
            state = Some(next);
        }
    }
}
