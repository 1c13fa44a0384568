//! What an operation of CEL costs, by the sizes of what it works on. One table for the estimate of
//! a rule and for its metering, so that neither knows of a function that the other forgets.
//!
//! The unit is Kubernetes': about one step of the interpreter, or ten characters that are looked
//! at.

use kube_cel::cel::common::ast::operators;

/// How large a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    /// Characters of a text, elements of a list, entries of a map; 1 of anything else.
    pub(super) len: u64,
    /// What it costs to look at all of it.
    pub(super) whole: u64,
    /// Whether it is a list.
    pub(super) list: bool,
    /// Whether it is a map: keys are found without looking at all of them.
    pub(super) map: bool,
}

impl Size {
    /// Of a number, boolean and the like.
    pub(super) const SCALAR: Self = Self {
        len: 1,
        whole: 1,
        list: false,
        map: false,
    };

    /// Of a text.
    pub(super) fn text(len: u64) -> Self {
        Self {
            len,
            whole: traversal(len),
            ..Self::SCALAR
        }
    }
}

/// What it costs to look at so many characters.
pub(super) fn traversal(len: u64) -> u64 {
    len.div_ceil(10)
}

/// What a call costs beyond its arguments, and how large its result can be; `sizes` are those of
/// the target, if it has one, and of the arguments.
pub(super) fn of_call(name: &str, sizes: &[Size]) -> (u64, Size) {
    let size = |index: usize| sizes.get(index).copied().unwrap_or_default();
    let (first, second, third) = (size(0), size(1), size(2));
    let all = sizes
        .iter()
        .fold(0u64, |sum, size| sum.saturating_add(size.whole));
    let scalar = |cost: u64| (cost, Size::SCALAR);
    match name {
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
        | "compareTo"
        | "isGreaterThan"
        | "isLessThan" => scalar(first.whole.min(second.whole)),
        operators::IN if second.map => scalar(first.whole),
        operators::IN => scalar(second.len),
        operators::ADD if first.list => {
            let len = first.len.saturating_add(second.len);
            let size = Size {
                len,
                whole: first.whole.saturating_add(second.whole),
                ..first
            };
            (len, size)
        }
        operators::ADD => {
            let len = first.len.saturating_add(second.len);
            (all, Size::text(len))
        }
        "contains" | "indexOf" | "lastIndexOf" => {
            scalar(first.whole.saturating_mul(second.whole.max(1)))
        }
        "matches" => scalar(pattern(first, second)),
        "find" => (pattern(first, second), Size::text(first.len)),
        "findAll" | "split" => {
            let cost = if name == "split" {
                first.whole
            } else {
                pattern(first, second)
            };
            let size = Size {
                list: true,
                ..Size::text(first.len)
            };
            (cost, size)
        }
        "startsWith" | "endsWith" => scalar(second.whole),
        "replace" => {
            let places = first.len / second.len.max(1) + 1;
            let len = first.len.saturating_add(places.saturating_mul(third.len));
            (first.whole.saturating_add(traversal(len)), Size::text(len))
        }
        "join" => {
            let texts = first.whole.saturating_mul(10);
            let len = texts.saturating_add(first.len.saturating_mul(second.len));
            (traversal(len), Size::text(len))
        }
        "format" => (all, Size::text(all.saturating_mul(10))),
        "sets.contains" | "sets.intersects" | "sets.equivalent" => {
            scalar(first.len.saturating_mul(second.len))
        }
        "distinct" => (first.len.saturating_mul(first.len), first),
        "sort" => (first.whole.saturating_mul(10), first),
        "reverse" | "slice" | "flatten" | "trim" | "lowerAscii" | "upperAscii" | "substring" => {
            (first.whole, first)
        }
        "string" | "bytes" | "base64.encode" | "base64.decode" | "strings.quote" => {
            (all, Size::text(first.len.saturating_mul(2).max(32)))
        }
        "size" | "hasValue" | "optional.none" => scalar(0),
        "first" | "last" | "value" | "optional.of" | "optional.ofNonZeroValue" => (0, first),
        "or" | "orValue" => (
            0,
            if second.whole > first.whole {
                second
            } else {
                first
            },
        ),
        _ => scalar(all),
    }
}

/// A regular expression on a text, as Kubernetes counts it.
fn pattern(text: Size, pattern: Size) -> u64 {
    traversal(text.len.saturating_add(1)).saturating_mul(pattern.len.div_ceil(4).max(1))
}
