//! Compiling regular expressions that come from outside: a few characters such as `(\w{100}){9}`
//! compile to megabytes, and a schema can have as many patterns as fit into a request.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// Sizes that a compiled pattern may have, tried in turn: the first that is enough is what it
/// counts for.
const SIZES: [usize; 4] = [16 * 1024, 128 * 1024, 1024 * 1024, 10 * 1024 * 1024];
/// What all patterns of one schema may take.
const ALL_BYTES: usize = 64 * 1024 * 1024;

/// The patterns of one schema. Each is compiled once, however often it occurs.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    compiled: HashMap<String, Regex>,
    bytes: usize,
}

impl Patterns {
    /// Compiles a pattern within what is left.
    pub(super) fn compile(&mut self, source: &str) -> Result<Regex, String> {
        if let Some(regex) = self.compiled.get(source) {
            return Ok(regex.clone());
        }
        let (regex, bytes) = sized(source)?;
        self.bytes += bytes;
        if self.bytes > ALL_BYTES {
            return Err(format!(
                "the patterns of the schema take more than {ALL_BYTES} bytes together"
            ));
        }
        self.compiled.insert(source.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// A compiled pattern and what it counts for.
pub(super) fn sized(source: &str) -> Result<(Regex, usize), String> {
    let mut outcome = Err(String::new());
    for size in SIZES {
        match RegexBuilder::new(source).size_limit(size).build() {
            Ok(regex) => return Ok((regex, size)),
            Err(error @ regex::Error::CompiledTooBig(_)) => outcome = Err(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_one_schema_are_bounded_together_and_the_same_one_counts_once() {
        let mut patterns = Patterns::default();
        for _ in 0..1000 {
            patterns.compile("^[a-z]+$").unwrap();
        }
        assert_eq!(patterns.bytes, SIZES[0]);
        let refused = (0..1000)
            .map(|n| patterns.compile(&format!(r"^\w{{60}}x{n}$")))
            .find_map(Result::err)
            .unwrap();
        assert!(refused.contains("together"), "{refused}");
        assert!(patterns.bytes <= ALL_BYTES + SIZES[3]);
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        assert!(sized(r"((\w{100}){100}){100}").is_err());
    }
}
