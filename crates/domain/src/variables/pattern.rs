//! The operations on a value that `${v…}` may name: case, trimming, parts and replacement.

/// Applies `operation` (what follows the variable's name) to `value`; none if there is no such one.
pub(super) fn apply(value: &str, operation: &str) -> Option<String> {
    match operation {
        "^^" => return Some(value.to_uppercase()),
        ",," => return Some(value.to_lowercase()),
        "^" => return Some(first(value, |c| c.to_uppercase().collect())),
        "," => return Some(first(value, |c| c.to_lowercase().collect())),
        _ => {}
    }
    if let Some(glob) = operation.strip_prefix("##") {
        return Some(without_prefix(value, glob, true));
    }
    if let Some(glob) = operation.strip_prefix('#') {
        return Some(without_prefix(value, glob, false));
    }
    if let Some(glob) = operation.strip_prefix("%%") {
        return Some(without_suffix(value, glob, true));
    }
    if let Some(glob) = operation.strip_prefix('%') {
        return Some(without_suffix(value, glob, false));
    }
    if let Some(rule) = operation.strip_prefix("//") {
        let (from, to) = rule.split_once('/').unwrap_or((rule, ""));
        return (!from.is_empty()).then(|| value.replace(from, to));
    }
    if let Some(rule) = operation.strip_prefix('/') {
        let (from, to) = rule.split_once('/').unwrap_or((rule, ""));
        return (!from.is_empty()).then(|| value.replacen(from, to, 1));
    }
    operation
        .strip_prefix(':')
        .and_then(|range| part(value, range))
}

fn first(value: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = value.chars();
    match chars.next() {
        Some(c) => change(c) + chars.as_str(),
        None => String::new(),
    }
}

fn part(value: &str, range: &str) -> Option<String> {
    let (offset, length) = match range.split_once(':') {
        Some((offset, length)) => (offset, Some(length.trim().parse::<usize>().ok()?)),
        None => (range, None),
    };
    let offset: usize = offset.trim().parse().ok()?;
    let chars = value.chars().skip(offset);
    Some(match length {
        Some(length) => chars.take(length).collect(),
        None => chars.collect(),
    })
}

fn cuts(value: &str) -> Vec<usize> {
    value
        .char_indices()
        .map(|(at, _)| at)
        .chain([value.len()])
        .collect()
}

fn without_prefix(value: &str, glob: &str, longest: bool) -> String {
    let mut cuts = cuts(value);
    if longest {
        cuts.reverse();
    }
    let cut = cuts
        .into_iter()
        .find(|cut| glob_matches(glob, &value[..*cut]));
    value[cut.unwrap_or(0)..].to_owned()
}

fn without_suffix(value: &str, glob: &str, longest: bool) -> String {
    let mut cuts = cuts(value);
    if !longest {
        cuts.reverse();
    }
    let cut = cuts
        .into_iter()
        .find(|cut| glob_matches(glob, &value[*cut..]));
    value[..cut.unwrap_or(value.len())].to_owned()
}

/// Whether the whole text matches a pattern in which `*` stands for any text and `?` for one
/// character. Linear in the text for each star, so no pattern makes it slow.
fn glob_matches(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == '*' {
            retry = Some((g, t));
            g += 1;
        } else if g < glob.len() && (glob[g] == '?' || glob[g] == text[t]) {
            g += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            g = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}
