//! Whether a namespace may use an object of another.

use std::collections::BTreeMap;

use kubestash_api::shared::{AllowedNamespaces, NamespacePolicy, UsagePolicy};
use kubestash_domain::usage;

/// Whether an object of `owner` with this policy may be used from `namespace`, which has `labels`.
/// Without a policy it is for its own namespace only, as the default says.
#[must_use]
pub(crate) fn allows(
    policy: Option<&UsagePolicy>,
    owner: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let same = AllowedNamespaces {
        from: NamespacePolicy::Same,
        selector: None,
    };
    let allowed = policy
        .and_then(|policy| policy.allowed_namespaces.as_ref())
        .unwrap_or(&same);
    usage::is_allowed(
        Some(allowed.from.as_str()),
        allowed.selector.as_ref(),
        owner,
        namespace,
        labels,
    )
}

/// The sentence that says that a namespace may not.
pub(super) fn refusal(kind: &str, owner: &str, name: &str, namespace: &str) -> String {
    format!(
        "{kind} {owner}/{name} does not allow its use from namespace {namespace}: \
         let its owner extend spec.usagePolicy.allowedNamespaces, or choose another {kind}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_only_the_own_namespace_is_allowed() {
        for policy in [None, Some(UsagePolicy::default())] {
            assert!(allows(policy.as_ref(), "demo", "demo", &BTreeMap::new()));
            assert!(!allows(policy.as_ref(), "demo", "other", &BTreeMap::new()));
        }
    }
}
