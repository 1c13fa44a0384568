//! The syntax of names, label keys and values, and how Kubernetes tells that one is wrong.
//!
//! Each function returns what is wrong, one text for each rule broken; nothing for a good value.

const DNS_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/// Whether a name is complete or gets a random suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Name,
    /// `generateName`: may end in a dash.
    Prefix,
}

impl Use {
    fn masked(self, name: &str) -> String {
        match (self, name.strip_suffix('-')) {
            (Use::Prefix, Some(stem)) if !stem.is_empty() => {
                let mut masked = stem.to_string();
                masked.pop();
                masked.push('a');
                masked
            }
            _ => name.to_string(),
        }
    }
}

/// RFC 1123 label: at most 63 of `a-z`, `0-9`, `-`.
pub(crate) fn dns_label(name: &str, usage: Use) -> Vec<String> {
    let name = usage.masked(name);
    let mut problems = longer_than(&name, 63);
    if !is_dns_label(&name) {
        problems.push(if is_dns_subdomain(&name) {
            "must not contain dots".into()
        } else {
            pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                DNS_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    problems
}

/// RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub(crate) fn dns_subdomain(name: &str, usage: Use) -> Vec<String> {
    let name = usage.masked(name);
    let mut problems = longer_than(&name, 253);
    if !is_dns_subdomain(&name) {
        problems.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            DNS_SUBDOMAIN,
            &["example.com"],
        ));
    }
    problems
}

/// RFC 1035 label: as an RFC 1123 label, but it starts with a letter.
pub(crate) fn dns_1035_label(name: &str, usage: Use) -> Vec<String> {
    let name = usage.masked(name);
    let mut problems = longer_than(&name, 63);
    if !(is_dns_label(&name) && name.starts_with(|c: char| c.is_ascii_lowercase())) {
        problems.push(pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            DNS_1035,
            &["my-name", "abc-123"],
        ));
    }
    problems
}

/// What may be a segment of a URL: used for names of RBAC objects.
pub(crate) fn path_segment(name: &str, usage: Use) -> Vec<String> {
    if usage == Use::Name && matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    let forbidden = ["/", "%"].into_iter().filter(|f| name.contains(f));
    forbidden
        .map(|f| format!("may not contain '{f}'"))
        .collect()
}

/// Label keys, finalizers: a name with an optional DNS prefix.
pub(crate) fn qualified_name(name: &str) -> Vec<String> {
    let told = |what: &str| pattern(what, QUALIFIED, &["MyName", "my.name", "123-abc"]);
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut problems = Vec::new();
    let base = match name.split('/').collect::<Vec<_>>().as_slice() {
        [base] => *base,
        [prefix, base] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".into());
            } else {
                problems.extend(
                    dns_subdomain(prefix, Use::Name)
                        .into_iter()
                        .map(|p| format!("prefix part {p}")),
                );
            }
            *base
        }
        _ => {
            let told = told(&format!("a qualified name {rule}"));
            return vec![format!(
                "{told} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if base.is_empty() {
        problems.push("name part must be non-empty".into());
    } else {
        problems.extend(
            longer_than(base, 63)
                .into_iter()
                .map(|p| format!("name part {p}")),
        );
    }
    if !is_qualified(base) {
        problems.push(told(&format!("name part {rule}")));
    }
    problems
}

/// Label values: empty or like the name part of a key.
pub(crate) fn label_value(value: &str) -> Vec<String> {
    let mut problems = longer_than(value, 63);
    if !value.is_empty() && !is_qualified(value) {
        problems.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            LABEL_VALUE,
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// Keys of ConfigMaps and Secrets.
pub(crate) fn config_key(key: &str) -> Vec<String> {
    let mut problems = longer_than(key, 253);
    if key.is_empty()
        || !key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        problems.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match key {
        "." => problems.push("must not be '.'".into()),
        ".." => problems.push("must not be '..'".into()),
        _ if key.starts_with("..") => problems.push("must not start with '..'".into()),
        _ => {}
    }
    problems
}

/// Names of environment variables.
pub(crate) fn environment_variable(name: &str) -> Vec<String> {
    let printable = |c: char| (' '..='~').contains(&c) && c != '=';
    if name.is_empty() {
        vec!["environment variable name must be non-empty".into()]
    } else if name.chars().all(printable) {
        Vec::new()
    } else {
        vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()]
    }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn is_dns_subdomain(name: &str) -> bool {
    name.split('.').all(is_dns_label)
}

fn is_qualified(name: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(|c| ends(c) || "-_.".contains(c))
}

fn longer_than(text: &str, max: usize) -> Vec<String> {
    if text.len() > max {
        vec![format!("must be no more than {max} characters")]
    } else {
        Vec::new()
    }
}

fn pattern(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{pattern}')",
        examples.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_told_as_kubernetes_tells_them() {
        let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        assert_eq!(dns_subdomain("My_Name", Use::Name), [subdomain]);
        assert_eq!(dns_label("-a", Use::Name), [label]);
        assert_eq!(dns_label("a.b", Use::Name), ["must not contain dots"]);
        assert_eq!(
            dns_label(&"a".repeat(64), Use::Name),
            ["must be no more than 63 characters"]
        );
        assert_eq!(path_segment("a/b", Use::Name), ["may not contain '/'"]);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
    }

    #[test]
    fn good_names_pass() {
        let none: [String; 0] = [];
        assert_eq!(dns_subdomain("a.b-c.1", Use::Name), none);
        assert_eq!(dns_subdomain("job-", Use::Prefix), none);
        assert_eq!(qualified_name("kubestash.com/Some_Name.x"), none);
        assert_eq!(label_value(""), none);
        assert_eq!(config_key("GOOGLE_APPLICATION_CREDENTIALS.json"), none);
        assert_eq!(path_segment("system:node", Use::Name), none);
    }
}
