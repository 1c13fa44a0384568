//! `allOf`, `anyOf`, `oneOf`, `not`.

use serde_json::Value;

use super::{Outcome, walk};
use crate::field::{FieldError, Path};
use crate::schema::node::{NodeId, NodeRef, Rules};

/// Checks all combinators of a node.
pub(super) fn check(
    value: &Value,
    rules: &Rules,
    node: NodeRef<'_>,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    if !rules.any_of.is_empty() {
        let (valid, best) = attempt(value, &rules.any_of, node, path);
        if valid == 0 {
            refuse(
                outcome,
                format!("\"{path}\" must validate at least one schema (anyOf)"),
            );
        }
        outcome.absorb(best);
    }
    if !rules.one_of.is_empty() {
        let (valid, best) = attempt(value, &rules.one_of, node, path);
        match valid {
            1 => {}
            0 => refuse(
                outcome,
                format!(
                    "\"{path}\" must validate one and only one schema (oneOf). Found none valid"
                ),
            ),
            n => refuse(
                outcome,
                format!(
                    "\"{path}\" must validate one and only one schema (oneOf). Found {n} valid alternatives"
                ),
            ),
        }
        outcome.absorb(best);
    }
    if !rules.all_of.is_empty() {
        let mut valid = 0;
        for branch in &rules.all_of {
            let result = run(value, *branch, node, path);
            valid += usize::from(result.errors.is_empty());
            outcome.absorb(result);
        }
        if valid != rules.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            refuse(
                outcome,
                format!("\"{path}\" must validate all the schemas (allOf){none}"),
            );
        }
    }
    if let Some(branch) = rules.not
        && run(value, branch, node, path).errors.is_empty()
    {
        refuse(
            outcome,
            format!("\"{path}\" must not validate the schema (not)"),
        );
    }
}

/// How many branches are valid, and what to report: nothing if any is, else the findings of the one
/// that got furthest.
fn attempt(
    value: &Value,
    branches: &[NodeId],
    node: NodeRef<'_>,
    path: &Path<'_>,
) -> (usize, Outcome) {
    let mut valid = 0;
    let mut best: Option<Outcome> = None;
    for branch in branches {
        let result = run(value, *branch, node, path);
        if result.errors.is_empty() {
            valid += 1;
        } else if best.as_ref().is_none_or(|best| result.met > best.met) {
            best = Some(result);
        }
    }
    (
        valid,
        if valid > 0 {
            Outcome::default()
        } else {
            best.unwrap_or_default()
        },
    )
}

fn run(value: &Value, branch: NodeId, node: NodeRef<'_>, path: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    walk(value, None, node.at(branch), path, &mut outcome);
    outcome
}

/// Kubernetes gives these findings no path of their own.
fn refuse(outcome: &mut Outcome, detail: String) {
    outcome.errors.push(FieldError::invalid("", "", detail));
}
