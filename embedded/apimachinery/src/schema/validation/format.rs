//! The string formats that CRD schemas may name; others are ignored, as Kubernetes does.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

/// A known format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Any,
    Byte,
    Cidr,
    Date,
    DateTime,
    Duration,
    Email,
    HexColor,
    Hostname,
    Ipv4,
    Ipv6,
    Isbn10,
    Isbn13,
    Isbn,
    Mac,
    ObjectId,
    RgbColor,
    Ssn,
    CreditCard,
    Uri,
    Uuid(Option<char>),
}

impl Format {
    /// The format of that name; dashes do not count.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let kind = match name.replace('-', "").as_str() {
            "byte" => Kind::Byte,
            "cidr" => Kind::Cidr,
            "date" => Kind::Date,
            "datetime" => Kind::DateTime,
            "duration" => Kind::Duration,
            "email" => Kind::Email,
            "hexcolor" => Kind::HexColor,
            "hostname" => Kind::Hostname,
            "ipv4" => Kind::Ipv4,
            "ipv6" => Kind::Ipv6,
            "isbn10" => Kind::Isbn10,
            "isbn13" => Kind::Isbn13,
            "isbn" => Kind::Isbn,
            "mac" => Kind::Mac,
            "bsonobjectid" => Kind::ObjectId,
            "rgbcolor" => Kind::RgbColor,
            "ssn" => Kind::Ssn,
            "creditcard" => Kind::CreditCard,
            "uri" => Kind::Uri,
            "uuid" => Kind::Uuid(None),
            "uuid3" => Kind::Uuid(Some('3')),
            "uuid4" => Kind::Uuid(Some('4')),
            "uuid5" => Kind::Uuid(Some('5')),
            "password" => Kind::Any,
            _ => return None,
        };
        Some(Self {
            name: name.to_string(),
            kind,
        })
    }

    /// As the schema names it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which format it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the text has the format.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self.kind {
            Kind::Any => true,
            Kind::Byte => STANDARD.decode(text).is_ok(),
            Kind::Cidr => is_cidr(text),
            Kind::Date => text.len() == 10 && jiff::civil::Date::from_str(text).is_ok(),
            Kind::DateTime => is_date_time(text),
            Kind::Duration => go_duration(text).is_some(),
            Kind::Email => is_email(text),
            Kind::HexColor => matches(&HEX_COLOR, text),
            Kind::Hostname => is_hostname(text),
            Kind::Ipv4 => Ipv4Addr::from_str(text).is_ok(),
            Kind::Ipv6 => Ipv6Addr::from_str(text).is_ok(),
            Kind::Isbn10 => is_isbn10(text),
            Kind::Isbn13 => is_isbn13(text),
            Kind::Isbn => is_isbn10(text) || is_isbn13(text),
            Kind::Mac => matches(&MAC, text),
            Kind::ObjectId => text.len() == 24 && text.chars().all(|c| c.is_ascii_hexdigit()),
            Kind::RgbColor => matches(&RGB_COLOR, text),
            Kind::Ssn => matches(&SSN, text),
            Kind::CreditCard => is_credit_card(text),
            Kind::Uri => is_request_uri(text),
            Kind::Uuid(version) => is_uuid(text, version),
        }
    }
}

type Lazy = LazyLock<Option<Regex>>;
static HEX_COLOR: Lazy = Lazy::new(|| Regex::new("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static RGB_COLOR: Lazy = Lazy::new(|| {
    Regex::new(r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$").ok()
});
static SSN: Lazy = Lazy::new(|| Regex::new(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$").ok());
static MAC: Lazy = Lazy::new(|| {
    Regex::new("^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}(([:-][0-9a-fA-F]{2}){2})?|[0-9a-fA-F]{4}(\\.[0-9a-fA-F]{4}){2,3})$").ok()
});

fn matches(regex: &Lazy, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let Ok(bits) = bits.parse::<u8>() else {
        return false;
    };
    (Ipv4Addr::from_str(address).is_ok() && bits <= 32)
        || (Ipv6Addr::from_str(address).is_ok() && bits <= 128)
}

/// RFC 3339, with `T` or a blank between date and time, and `Z` or an offset at the end.
pub(crate) fn is_date_time(text: &str) -> bool {
    let zoned =
        text.ends_with(['Z', 'z']) || text.get(19..).is_some_and(|tail| tail.contains(['+', '-']));
    zoned && jiff::Timestamp::from_str(text).is_ok()
}

/// Nanoseconds of a Go duration such as `1h30m`, `-1.5s`, `22 ms`; also the words Scala uses.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let trimmed = text.trim();
    let (negative, mut rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == ' ' || c == '.')
            .unwrap_or(rest.len());
        total += amount * unit(&rest[..letters])?;
        rest = rest[letters..].trim_start();
    }
    let nanoseconds = if negative { -total } else { total };
    (nanoseconds.abs() < i64::MAX as f64).then_some(nanoseconds as i64)
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1.0,
        "us" | "µs" | "μs" | "micro" | "micros" | "microsecond" | "microseconds" => 1e3,
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1e6,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e9,
        "m" | "min" | "mins" | "minute" | "minutes" => 60e9,
        "h" | "hr" | "hour" | "hours" => 3600e9,
        "d" | "day" | "days" => 86_400e9,
        "w" | "week" | "weeks" => 604_800e9,
        _ => return None,
    })
}

fn is_email(text: &str) -> bool {
    let address = match (text.find('<'), text.strip_suffix('>')) {
        (Some(start), Some(body)) => &body[start + 1..],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let is_atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let plain = |s: &str| {
        !s.is_empty()
            && s.chars().all(is_atom)
            && !s.starts_with('.')
            && !s.ends_with('.')
            && !s.contains("..")
    };
    (quoted || plain(local)) && plain(domain)
}

fn is_hostname(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    text.len() <= 255
        && labels.iter().all(|l| label(l))
        && (labels.len() == 1 || (top.chars().count() >= 2 && top.chars().all(char::is_alphabetic)))
}

/// An absolute URI or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    named && !rest.is_empty()
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let grouped = !text.contains('-') || text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let right_version = version.is_none_or(|v| hex.chars().nth(12) == Some(v));
    let right_variant = matches!(version, None | Some('3'))
        || hex.chars().nth(16).is_some_and(|c| "89abAB".contains(c));
    hex.len() == 32
        && hex.chars().all(|c| c.is_ascii_hexdigit())
        && grouped
        && right_version
        && right_variant
}

fn is_isbn10(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let value = |(i, c): (usize, &char)| match c {
        'X' | 'x' if i == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.iter().enumerate().map(value).collect();
    values.is_some_and(|v| {
        v.len() == 10 && v.iter().zip(1..).map(|(d, weight)| d * weight).sum::<u32>() % 11 == 0
    })
}

fn is_isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| c.to_digit(10))
        .collect();
    digits.is_some_and(|v| {
        v.len() == 13
            && v.iter()
                .enumerate()
                .map(|(i, d)| if i % 2 == 0 { *d } else { d * 3 })
                .sum::<u32>()
                % 10
                == 0
    })
}

/// Thirteen to sixteen digits that pass Luhn's check, whatever stands between them.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 0 {
                *d
            } else if *d > 4 {
                d * 2 - 9
            } else {
                d * 2
            }
        })
        .sum();
    (13..=16).contains(&digits.len()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse_what_kubernetes_does() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+01:00"],
                &["2026-01-02", "x", "2026-01-02T03:04:05"],
            ),
            ("date", &["2026-01-02"], &["2026-1-2", "2026-13-01"]),
            (
                "duration",
                &["1h30m", "-1.5s", "22 ms", "0"],
                &["", "1", "h", "1x"],
            ),
            ("ipv4", &["10.0.0.1"], &["::1", "10.0.0"]),
            ("ipv6", &["::1"], &["10.0.0.1"]),
            (
                "cidr",
                &["10.0.0.0/8", "::/0"],
                &["10.0.0.0", "10.0.0.0/33"],
            ),
            (
                "uri",
                &["https://a/b", "/a", "mailto:x@y"],
                &["a", "", "http://a b"],
            ),
            (
                "uuid",
                &["550e8400-e29b-41d4-a716-446655440000"],
                &["550e8400"],
            ),
            (
                "uuid4",
                &["550e8400-e29b-41d4-a716-446655440000"],
                &["550e8400-e29b-31d4-a716-446655440000"],
            ),
            ("hostname", &["a", "a.example.com"], &["-a", "a_b", "a.1"]),
            ("email", &["a@b.c", "A <a@b>"], &["a", "@b", "a..b@c"]),
            ("byte", &["YQ=="], &["YQ=", "?"]),
            ("mac", &["01:23:45:67:89:ab"], &["01:23"]),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751044"]),
            ("password", &["anything"], &[]),
        ];
        for (name, good, bad) in cases {
            let format = Format::parse(name).unwrap();
            for text in *good {
                assert!(format.accepts(text), "{name} should accept {text:?}");
            }
            for text in *bad {
                assert!(!format.accepts(text), "{name} should refuse {text:?}");
            }
        }
        assert_eq!(Format::parse("int32"), None);
    }
}
