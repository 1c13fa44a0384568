//! `matchConditions`: CEL expressions that say whether a webhook is to be called.

use kube_cel::{
    AdmissionRequest, GroupVersionKind, GroupVersionResource, VapEvaluator, VapExpression,
};
use serde_json::Value;

use super::Review;
use super::configuration::MatchCondition;
use crate::registry::catalogue::Served;

/// Whether all conditions hold; the error of the first that cannot be evaluated, unless another one
/// is false.
pub(super) fn hold(
    conditions: &[MatchCondition],
    review: &Review<'_>,
    matched: &Served,
    object: Option<&Value>,
) -> Result<bool, String> {
    if conditions.is_empty() {
        return Ok(true);
    }
    // A false result carries the expression's own message, here empty; anything else there is an
    // error.
    let expressions: Vec<VapExpression> = conditions
        .iter()
        .map(|condition| VapExpression {
            expression: condition.expression.clone(),
            message: Some(String::new()),
            message_expression: None,
        })
        .collect();
    let mut evaluator = VapEvaluator::builder()
        .object(object.cloned().unwrap_or_default())
        .request(request(review, matched, object));
    if let Some(old) = review.old {
        evaluator = evaluator.old_object(old.clone());
    }
    let mut failed = None;
    for (condition, result) in conditions
        .iter()
        .zip(evaluator.build().evaluate(&expressions))
    {
        match (result.passed, result.message) {
            (true, _) => {}
            (false, Some(error)) if !error.is_empty() => {
                failed = failed.or(Some(format!(
                    "matchConditions {:?}: {error}",
                    condition.name
                )));
            }
            (false, _) => return Ok(false),
        }
    }
    failed.map_or(Ok(true), Err)
}

fn request(review: &Review<'_>, matched: &Served, object: Option<&Value>) -> AdmissionRequest {
    let (info, user) = (&matched.info, &review.caller.user);
    AdmissionRequest {
        operation: review.operation.name().to_owned(),
        username: user.name.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        name: review.name(object).to_owned(),
        namespace: review.target.namespace.clone().unwrap_or_default(),
        dry_run: review.caller.dry_run,
        kind: GroupVersionKind {
            group: info.group.clone(),
            version: info.version.clone(),
            kind: info.kind.clone(),
        },
        resource: GroupVersionResource {
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.plural.clone(),
        },
    }
}
