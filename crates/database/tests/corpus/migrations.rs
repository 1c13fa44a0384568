//! The files of the corpus, and what two states differ in.

/// What happens to a schema after its backup.
#[derive(Debug, Default)]
pub(crate) struct Migration<'a> {
    /// What it is.
    pub(crate) name: &'a str,
    /// Words with which a restore over it is refused; none if it succeeds.
    pub(crate) refused: Vec<&'a str>,
    /// The statements.
    pub(crate) statements: String,
    /// Statements that remove what came after the backup and a restore leaves alone.
    pub(crate) afterwards: String,
}

/// The migrations of a file.
///
/// ```text
/// -- migration: what it is
/// -- refused: words        (a restore over it is refused)
/// statements
/// -- afterwards
/// statements that remove what stays
/// ```
pub(crate) fn migrations(text: &str) -> Vec<Migration<'_>> {
    let mut found: Vec<Migration<'_>> = Vec::new();
    let mut is_afterwards = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- migration: ") {
            is_afterwards = false;
            found.push(Migration {
                name,
                ..Migration::default()
            });
            continue;
        }
        let Some(last) = found.last_mut() else {
            panic!("a file of migrations begins with one: {line}");
        };
        if let Some(words) = line.strip_prefix("-- refused: ") {
            last.refused.push(words);
        } else if line == "-- afterwards" {
            is_afterwards = true;
        } else {
            let part = match is_afterwards {
                true => &mut last.afterwards,
                false => &mut last.statements,
            };
            part.push_str(line);
            part.push('\n');
        }
    }
    found
}

/// The statements of a text, which blank lines stand between.
pub(crate) fn statements(text: &str) -> Vec<&str> {
    let parts = text.split("\n\n").map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// The first line that two states differ in is an error.
pub(crate) fn same(before: &[String], after: &[String]) -> Result<(), String> {
    let lines = before.len().max(after.len());
    match (0..lines).find(|at| before.get(*at) != after.get(*at)) {
        None => Ok(()),
        Some(at) => Err(format!(
            "line {} differs\nbefore: {:?}\nafter:  {:?}",
            at + 1,
            before.get(at),
            after.get(at)
        )),
    }
}

/// A migration that changes nothing proves nothing.
pub(crate) fn changes(before: &[String], changed: &[String], name: &str) -> Result<(), String> {
    match before == changed && name != "nothing at all" {
        true => Err("the migration changes nothing".to_owned()),
        false => Ok(()),
    }
}

/// Compares what was told with what a migration says that is told.
pub(crate) fn judge(told: Result<(), String>, refused: &[&str]) -> Result<(), String> {
    match told {
        Ok(()) if !refused.is_empty() => Err("it was not refused".to_owned()),
        Err(told) if refused.is_empty() => Err(told),
        Err(told) if refused.iter().any(|words| !told.contains(words)) => {
            Err(format!("not {refused:?} but: {told}"))
        }
        _ => Ok(()),
    }
}
