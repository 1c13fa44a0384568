//! The grammar of `maxRetentionPeriod`: numbers with units, of fixed length.
//!
//! `1y2mo3w4d5h6m`: `y` 365 days, `mo` 30 days, `w`, `d`, `h`, `m` (minutes). Lower case, any
//! order, nothing in between; a unit given twice counts once, the last one
//! (`docs/compatibility.md`, "Retention period").

use thiserror::Error;

/// A retention period that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// Not a sequence of numbers with units.
    #[error(
        "failed to read retention period {0:?}: invalid duration provided; use numbers with the units y, mo, w, d, h, m, such as \"2mo\" or \"1y6mo\""
    )]
    Grammar(String),
    /// A number too large to count with.
    #[error("failed to read retention period {0:?}: the number {1} is too large")]
    Range(String, String),
}

impl PeriodError {
    /// Stable name of the kind of error, for metrics and reasons.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Grammar(_) => "InvalidRetentionPeriod",
            Self::Range(..) => "RetentionPeriodOutOfRange",
        }
    }
}

/// Minutes in each unit; `mo` stands before `m` because it begins with it.
const UNITS: [(&str, i64); 6] = [
    ("y", 525_600),
    ("mo", 43_200),
    ("w", 10_080),
    ("d", 1_440),
    ("h", 60),
    ("m", 1),
];

/// Reads a period and returns its minutes: 0 for an empty one, negative if written so.
///
/// # Errors
/// If the text does not follow the grammar or a number is out of range.
pub fn minutes(text: &str) -> Result<i64, PeriodError> {
    let grammar = || PeriodError::Grammar(text.to_owned());
    let mut rest = text.trim();
    let mut given = [0_i64; UNITS.len()];
    while !rest.is_empty() {
        let unsigned = rest.strip_prefix('-').unwrap_or(rest);
        let digits = unsigned
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(grammar)?;
        if digits == 0 {
            return Err(grammar());
        }
        let (number, tail) = rest.split_at(rest.len() - unsigned.len() + digits);
        let range = || PeriodError::Range(text.to_owned(), number.to_owned());
        let value: i64 = number.parse().map_err(|_| range())?;
        let (index, (unit, size)) = UNITS
            .iter()
            .enumerate()
            .find(|(_, (unit, _))| tail.starts_with(unit))
            .ok_or_else(grammar)?;
        given[index] = value.checked_mul(*size).ok_or_else(range)?;
        rest = &tail[unit.len()..];
    }
    given
        .iter()
        .try_fold(0_i64, |sum, part| sum.checked_add(*part))
        .ok_or_else(|| PeriodError::Range(text.to_owned(), text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn periods_have_fixed_lengths_and_any_order() {
        let cases = [
            ("", 0),
            ("  ", 0),
            ("2mo", 86_400),
            ("1m", 1),
            ("1mo1m", 43_201),
            ("1m1mo", 43_201),
            ("1y", 525_600),
            ("1y2mo3w4d5h6m", 525_600 + 86_400 + 30_240 + 5_760 + 300 + 6),
            ("1d2d", 2_880),
            (" 7d ", 10_080),
            ("-5d", -7_200),
            ("1d-2h", 1_320),
            ("0d", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(minutes(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_period_is_refused() {
        for bad in [
            "10", "mo", "1mm", "1.5d", "1 d", "1D", "1s", "d1", "--1d", "1d 2h", "-", "１d",
        ] {
            assert_eq!(
                minutes(bad).unwrap_err().kind(),
                "InvalidRetentionPeriod",
                "{bad:?}"
            );
        }
        for bad in ["99999999999999999999d", "9223372036854775807y"] {
            assert_eq!(
                minutes(bad).unwrap_err().kind(),
                "RetentionPeriodOutOfRange",
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = minutes(&text);
        }

        #[test]
        fn the_sum_of_the_units_is_the_period(y in 0_i64..99, mo in 0_i64..99, w in 0_i64..99, d in 0_i64..99, h in 0_i64..99, m in 0_i64..99) {
            let text = format!("{d}d{m}m{y}y{h}h{mo}mo{w}w");
            prop_assert_eq!(minutes(&text).unwrap(), y * 525_600 + mo * 43_200 + w * 10_080 + d * 1_440 + h * 60 + m);
        }
    }
}
