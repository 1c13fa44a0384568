//! The end of what a client wrote to its standard error: the reason of a failure, fit for a status
//! field.

/// Bytes of a client's error output that are kept.
pub(crate) const LIMIT: usize = 256;
/// Bytes of an error of a server, which may name several objects.
const REASON: usize = 4 * LIMIT;

/// Collects output and keeps its end.
#[derive(Debug, Default)]
pub(crate) struct StderrTail {
    kept: Vec<u8>,
    cut: bool,
}

impl StderrTail {
    /// Takes more output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // Room for the secrets that are cut out later, so that one is never seen only in part.
        let room = LIMIT * 16;
        if self.kept.len() > room {
            self.cut = true;
            self.kept.drain(..self.kept.len() - room);
        }
    }

    /// The reason of a failure: from the first line on that names an error of a server (`ERROR:`),
    /// if there is one; otherwise the end. At most [`REASON`] bytes, no control characters, no
    /// `secrets`.
    pub(crate) fn reason(&self, secrets: &[&str]) -> String {
        let kept = String::from_utf8_lossy(&self.kept).into_owned();
        let start = kept
            .find("ERROR:  ")
            .map(|at| kept[..at].rfind('\n').map_or(0, |line| line + 1));
        let Some(start) = start else {
            return self.text(secrets);
        };
        Self::beginning(&kept[start..], secrets)
    }

    /// The last line that begins with `word` and what follows it, if there is one; otherwise the
    /// end. At most [`REASON`] bytes, no control characters, no `secrets`.
    pub(crate) fn last(&self, word: &str, secrets: &[&str]) -> String {
        let kept = String::from_utf8_lossy(&self.kept).into_owned();
        let begun = kept.rfind(&format!("\n{word}")).map(|at| at + 1);
        match begun.or_else(|| kept.starts_with(word).then_some(0)) {
            Some(start) => Self::beginning(&kept[start..], secrets),
            None => self.text(secrets),
        }
    }

    fn beginning(text: &str, secrets: &[&str]) -> String {
        let whole = Self {
            kept: text.as_bytes().to_vec(),
            cut: false,
        };
        let mut text = whole.cleaned(secrets);
        if text.len() > REASON {
            let mut end = REASON;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        text
    }

    /// At most [`LIMIT`] bytes of the last whole lines: no control characters, no `secrets`.
    pub(crate) fn text(&self, secrets: &[&str]) -> String {
        let text = self.cleaned(secrets);
        if text.len() <= LIMIT && !self.cut {
            return text.to_owned();
        }
        let mut start = text.len().saturating_sub(LIMIT);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let tail = &text[start..];
        match tail.split_once('\n') {
            Some((_, whole_lines)) if start > 0 && !whole_lines.trim().is_empty() => {
                whole_lines.trim().to_owned()
            }
            _ => tail.to_owned(),
        }
    }

    fn cleaned(&self, secrets: &[&str]) -> String {
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        let text: String = text
            .chars()
            .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
            .collect();
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str, secrets: &[&str]) -> String {
        let mut tail = StderrTail::default();
        for part in text.as_bytes().chunks(7) {
            tail.push(part);
        }
        tail.text(secrets)
    }

    #[test]
    fn the_last_whole_lines_remain() {
        assert_eq!(tail("", &[]), "");
        assert_eq!(tail("one\ntwo\n", &[]), "one\ntwo");
        let long = format!("{}\nlast line", "x".repeat(10_000));
        assert_eq!(tail(&long, &[]), "last line");
        let one_line = "y".repeat(10_000);
        assert_eq!(tail(&one_line, &[]), "y".repeat(LIMIT));
        let many: String = (0..200).map(|n| format!("line {n}\n")).collect();
        let kept = tail(&many, &[]);
        assert!(kept.len() <= LIMIT);
        assert!(
            kept.starts_with("line ") && kept.ends_with("line 199"),
            "{kept}"
        );
    }

    #[test]
    fn secrets_and_control_characters_do_not_remain() {
        assert_eq!(
            tail("bad \u{1b}[31mred hunter2 x", &["hunter2", ""]),
            "bad  [31mred *** x"
        );
        let umlauts = "ä".repeat(1000);
        assert!(tail(&umlauts, &[]).len() <= LIMIT);
    }

    #[test]
    fn a_servers_error_is_kept_from_its_first_line_on() {
        let mut tail = StderrTail::default();
        let said = format!(
            "psql:<stdin>:3: NOTICE:  x\npsql:<stdin>:7: ERROR:  no hunter2\nCONTEXT:  {}",
            "y".repeat(1000)
        );
        tail.push(said.as_bytes());
        let reason = tail.reason(&["hunter2"]);
        assert!(
            reason.starts_with("psql:<stdin>:7: ERROR:  no ***\nCONTEXT:  yyy"),
            "{reason}"
        );
        assert!(reason.len() <= REASON + 3);
    }
}
