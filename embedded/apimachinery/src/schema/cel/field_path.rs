//! `fieldPath` of a rule: a relative JSON path, normalised to how paths are shown.

/// `.a.b['c.d']` as `a.b[c.d]`; `None` when it is not such a path.
pub(super) fn normalise(path: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']")?;
            out.push('[');
            out.push_str(&after[..end].replace("\\'", "'"));
            out.push(']');
            rest = &after[end + 2..];
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&after[..end]);
            rest = &after[end..];
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn paths_are_normalised_or_refused() {
        let cases = [
            (".a", Some("a")),
            (".a.b", Some("a.b")),
            (".a['b.c']", Some("a[b.c]")),
            ("['x']", Some("[x]")),
            ("a", None),
            ("", None),
            (".", None),
            (".a[0]", None),
        ];
        for (path, want) in cases {
            assert_eq!(normalise(path).as_deref(), want, "{path:?}");
        }
    }
}
