//! `podFailurePolicy`: what a failed pod means for its Job.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::pods::containers;

/// What the first matching rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts as usual.
    Count,
    /// It does not count.
    Ignore,
    /// The Job has failed, for this reason.
    FailJob(String),
}

/// Judges a failed pod.
pub(crate) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    for (index, rule) in policy
        .into_iter()
        .flat_map(|policy| policy.rules.iter().enumerate())
    {
        if let Some(what) = matches(rule, pod) {
            return match rule.action.as_str() {
                "FailJob" => {
                    Verdict::FailJob(format!("{what} matching FailJob rule at index {index}"))
                }
                "Ignore" => Verdict::Ignore,
                _ => Verdict::Count,
            };
        }
    }
    Verdict::Count
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    if let Some(requirement) = &rule.on_exit_codes {
        return exit_code(requirement, pod);
    }
    rule.on_pod_conditions
        .iter()
        .flatten()
        .find_map(|pattern| condition(pattern, pod))
}

fn exit_code(requirement: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<String> {
    let place = || format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    containers(pod).find_map(|container| {
        if requirement
            .container_name
            .as_ref()
            .is_some_and(|name| *name != container.name)
        {
            return None;
        }
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let listed = requirement.values.contains(&code);
        let hit = code != 0
            && if requirement.operator == "In" {
                listed
            } else {
                !listed
            };
        hit.then(|| {
            format!(
                "Container {} for pod {} failed with exit code {code}",
                container.name,
                place()
            )
        })
    })
}

fn condition(pattern: &PodFailurePolicyOnPodConditionsPattern, pod: &Pod) -> Option<String> {
    let conditions = pod
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    let status = pattern.status.as_deref().unwrap_or("True");
    let mut fitting = conditions.filter(|one| one.type_ == pattern.type_ && one.status == status);
    fitting.next().map(|found| {
        let place = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        format!("Pod {place} has condition {}", found.type_)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_matching_rule_decides() {
        let policy = serde_json::from_value(json!({"rules": [
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [64, 7]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1, 64]}},
        ]}))
        .unwrap();
        let verdict = |container: &str, code: i32, disrupted: bool| {
            let conditions = if disrupted {
                json!([{"type": "DisruptionTarget", "status": "True"}])
            } else {
                json!([])
            };
            let pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "status": {
                "conditions": conditions,
                "containerStatuses": [{"name": container, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}}}]}}))
            .unwrap();
            judge(Some(&policy), &pod)
        };
        let failed = |text: &str| Verdict::FailJob(text.to_owned());
        for (container, code, disrupted, expected) in [
            ("main", 1, false, Verdict::Count),
            ("main", 7, false, Verdict::Ignore),
            (
                "main",
                64,
                false,
                failed(
                    "Container main for pod ns/p failed with exit code 64 matching FailJob rule at index 1",
                ),
            ),
            ("side", 64, false, Verdict::Count),
            ("side", 1, true, Verdict::Ignore),
            (
                "side",
                2,
                false,
                failed(
                    "Container side for pod ns/p failed with exit code 2 matching FailJob rule at index 3",
                ),
            ),
            ("main", 0, false, Verdict::Count),
        ] {
            assert_eq!(
                verdict(container, code, disrupted),
                expected,
                "{container} {code}"
            );
        }
    }
}
