//! How sizes and durations are written in status fields, and read back.
//!
//! Sizes use binary units with three decimals and a strict threshold, durations are Go's duration
//! text, progress uses decimal units: the forms that scripts written for KubeStash expect
//! (`docs/compatibility.md`, "Formats").

use std::time::Duration;

use thiserror::Error;

/// A size or duration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Not `<number> <unit>` with one of the units B, KiB, MiB, GiB, TiB.
    #[error(
        "failed to read size {0:?}: it must be a number, a space and one of B, KiB, MiB, GiB, TiB"
    )]
    Size(String),
    /// Not a Go duration.
    #[error(
        "failed to read duration {0:?}: it must be numbers with units, such as \"30s\", \"5m\" or \"1h30m\""
    )]
    Duration(String),
}

impl FormatError {
    /// Stable name of the kind of error, for metrics and reasons.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Size(_) => "InvalidSize",
            Self::Duration(_) => "InvalidDuration",
        }
    }
}

const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Writes a number of bytes: `674.017 KiB`, `3.750 MiB`, `806 B`. A unit is used only above its own
/// size, so 1024 bytes are `1024 B`.
pub fn bytes(count: u64) -> String {
    for (unit, size) in UNITS {
        if count > size {
            // Sizes are shown with three decimals: the precision lost above 2^53 is far below that.
            #[allow(clippy::cast_precision_loss)]
            let value = count as f64 / size as f64;
            return format!("{value:.3} {unit}");
        }
    }
    format!("{count} B")
}

/// Reads what [`bytes`] wrote, truncated to whole bytes.
///
/// # Errors
/// If the text is not a number, one space and a unit, or is negative.
pub fn parse_bytes(text: &str) -> Result<u64, FormatError> {
    let error = || FormatError::Size(text.to_owned());
    let (number, unit) = text.split_once(' ').ok_or_else(error)?;
    let value: f64 = number.parse().map_err(|_| error())?;
    if !value.is_finite() || value < 0.0 {
        return Err(error());
    }
    let size = match unit {
        "B" => 1,
        unit => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, size)| *size)
            .ok_or_else(error)?,
    };
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    Ok((value * size as f64) as u64)
}

/// Writes a number of bytes the way progress is shown: four significant digits, decimal units and
/// no space, such as `393.9MB` or `5.268GB`.
pub fn decimal_bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let mut value = count as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let decimals = match value {
        value if value >= 1000.0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    let number = format!("{value:.decimals$}");
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{unit}")
}

/// Writes a duration as Go does, in full precision: `9.614587405s`, `1m2.5s`, `1h0m0s`, `250ms`,
/// `0s`.
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, size) = match nanos {
            nanos if nanos >= 1_000_000 => ("ms", 1_000_000),
            nanos if nanos >= 1_000 => ("µs", 1_000),
            _ => ("ns", 1),
        };
        return format!("{}{unit}", fraction(nanos, size));
    }
    let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
    let minutes = nanos / 60_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Writes a duration rounded to whole seconds, as sessions show it: `28s`, `2m5s`.
pub fn go_duration_seconds(duration: Duration) -> String {
    let rounded = (duration.as_millis() + 500) / 1000;
    go_duration(Duration::from_secs(
        u64::try_from(rounded).unwrap_or(u64::MAX),
    ))
}

/// Writes `value / size` without trailing zeros.
fn fraction(value: u128, size: u128) -> String {
    let whole = value / size;
    let rest = value % size;
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    let rest = format!("{rest:0width$}");
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

/// Reads a Go duration such as `1h30m`, `1.5s` or `300ms`; `0` needs no unit.
///
/// # Errors
/// If the text is empty, has an unknown unit or is negative (nothing here waits a negative time).
pub fn parse_go_duration(text: &str) -> Result<Duration, FormatError> {
    let error = || FormatError::Duration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(error)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let size: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(error()),
        };
        nanos = scaled(number, size)
            .and_then(|part| nanos.checked_add(part))
            .ok_or_else(error)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(error());
    }
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| error())
}

/// `number * size`, where `number` is decimal digits with at most one point.
fn scaled(number: &str, size: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(size)?;
    let mut place = size;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(u128::from(digit - b'0') * place)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_use_a_unit_only_above_its_own_size() {
        let cases: [(u64, &str); 11] = [
            (0, "0 B"),
            (806, "806 B"),
            (1023, "1023 B"),
            (1024, "1024 B"),
            (1025, "1.001 KiB"),
            (690_193, "674.017 KiB"),
            (1_048_576, "1024.000 KiB"),
            (1_048_577, "1.000 MiB"),
            (3_932_160, "3.750 MiB"),
            (1_099_511_627_776, "1024.000 GiB"),
            (u64::MAX, "16777216.000 TiB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn sizes_are_read_back_truncated_and_anything_else_is_refused() {
        assert_eq!(parse_bytes("652.853 KiB").unwrap(), 668_521);
        assert_eq!(parse_bytes("809 B").unwrap(), 809);
        for bad in [
            "", "12", "12KiB", "x KiB", "1 KB", "1  KiB", "-1 B", "NaN B", "inf B",
        ] {
            let error = parse_bytes(bad).unwrap_err();
            assert_eq!(error.kind(), "InvalidSize", "{bad}");
        }
    }

    #[test]
    fn sums_of_sizes_are_those_of_the_published_examples() {
        let sum = |parts: &[&str]| bytes(parts.iter().map(|part| parse_bytes(part).unwrap()).sum());
        assert_eq!(sum(&["652.853 KiB", "12.127 KiB"]), "664.979 KiB");
        assert_eq!(sum(&["10.242 MiB", "1.979 MiB", "809 B"]), "12.222 MiB");
        assert_eq!(sum(&["772.958 KiB"]), "772.957 KiB");
    }

    #[test]
    fn progress_sizes_have_four_significant_digits() {
        let cases: [(u64, &str); 7] = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (32_000_000, "32MB"),
            (393_900_000, "393.9MB"),
            (5_268_000_000, "5.268GB"),
            (3_073_400_000, "3.073GB"),
        ];
        for (count, expected) in cases {
            assert_eq!(decimal_bytes(count), expected);
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (9_614_587_405, "9.614587405s"),
            (62_500_000_000, "1m2.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_000, "25h1m1s"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn session_durations_are_rounded_to_seconds() {
        assert_eq!(go_duration_seconds(Duration::from_millis(27_500)), "28s");
        assert_eq!(go_duration_seconds(Duration::from_millis(27_499)), "27s");
        assert_eq!(go_duration_seconds(Duration::from_secs(125)), "2m5s");
        assert_eq!(go_duration_seconds(Duration::from_millis(300)), "0s");
    }

    #[test]
    fn durations_are_read_and_bad_ones_refused() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("1m", 60_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("300ms", 300_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(
                parse_go_duration(text).unwrap(),
                Duration::from_nanos(nanos),
                "{text}"
            );
        }
        for bad in [
            "",
            "10",
            "s",
            "1x",
            "-5m",
            "1m 2s",
            "1d",
            ".s",
            "1..5s",
            "99999999999h",
        ] {
            assert_eq!(
                parse_go_duration(bad).unwrap_err().kind(),
                "InvalidDuration",
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_duration_survives_a_round_trip(nanos in 0_u64..u64::MAX) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_go_duration(&go_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn every_size_survives_a_round_trip_to_three_decimals(count in 0_u64..(1 << 50)) {
            let read = parse_bytes(&bytes(count)).unwrap();
            let unit = UNITS.iter().find(|(_, size)| count > *size).map_or(1, |(_, size)| *size);
            prop_assert!(read.abs_diff(count) <= unit / 1000 + 1);
        }
    }
}
