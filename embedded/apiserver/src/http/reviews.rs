//! Questions about users and rights: they are answered, not stored.

use axum::body::Body;
use http::StatusCode;
use kubestash_apimachinery::{ResourceInfo, Status};
use serde_json::{Value, json};

use super::respond::{self, Response};
use super::{Call, body, negotiate};
use crate::auth::rbac::Attributes;
use crate::auth::token::ISSUER;
use crate::auth::user::{AUTHENTICATED, User};
use crate::registry::{Refused, now};

/// Whether a resource is such a question.
pub(super) fn is_review(info: &ResourceInfo) -> bool {
    matches!(
        info.group.as_str(),
        "authentication.k8s.io" | "authorization.k8s.io"
    )
}

/// Answers a review.
pub(super) async fn create(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, false)?;
    let sent = body::read(sent).await?;
    let mut review = body::decode(&call.parts.headers, &sent)?.value;
    let target = &call.target;
    body::identify(target.info(), target.namespace.as_deref(), "", &mut review)?;
    let status = match target.info().kind.as_str() {
        "TokenReview" => token_review(&call, &review["spec"]),
        "SelfSubjectReview" => json!({"userInfo": call.user.to_value()}),
        "SelfSubjectAccessReview" => access(&call, &call.user, &review["spec"]),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access(&call, &subject(&review["spec"]), &review["spec"])
        }
        "SelfSubjectRulesReview" => rules(&call, &review["spec"]),
        _ => return Err(Box::new(Status::no_such_path())),
    };
    // The answer repeats the question, with its token: who asks has it, and clients compare the
    // two.
    review["status"] = status;
    respond::document(format, StatusCode::CREATED, &review)
}

fn token_review(call: &Call, spec: &Value) -> Value {
    let audiences: Vec<String> = spec["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|audience| Some(audience.as_str()?.to_owned()))
        .collect();
    let token = spec["token"].as_str().unwrap_or_default();
    match call
        .app
        .tokens
        .authenticate(&call.app.store, token, &audiences, now())
    {
        Some(user) => json!({
            "authenticated": true,
            "user": user.to_value(),
            "audiences": if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences },
        }),
        None => json!({"user": {}, "error": "the token is not valid, or has expired"}),
    }
}

/// The user that a SubjectAccessReview asks about.
fn subject(spec: &Value) -> User {
    let groups: Vec<String> = spec["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| Some(group.as_str()?.to_owned()))
        .collect();
    let mut user = User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups,
        extra: Vec::new(),
    };
    // A ServiceAccount is in the groups of ServiceAccounts, whether the question says so or not.
    if let Some((namespace, name)) = user.account() {
        let implied = User::service_account(namespace, name, "").groups;
        user.groups.extend(implied);
    }
    if user.groups.is_empty() {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

fn access(call: &Call, user: &User, spec: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = &spec["nonResourceAttributes"];
    let wanted = &spec["resourceAttributes"];
    let allowed = if path.is_object() {
        let (verb, path) = (text(&path["verb"]), text(&path["path"]));
        let attributes = Attributes {
            verb: &verb,
            path: Some(&path),
            ..Attributes::default()
        };
        call.app.rbac.allows(&call.app.store, user, &attributes)
    } else {
        let resource = match text(&wanted["subresource"]).as_str() {
            "" => text(&wanted["resource"]),
            subresource => format!("{}/{subresource}", text(&wanted["resource"])),
        };
        let (verb, group) = (text(&wanted["verb"]), text(&wanted["group"]));
        let (namespace, name) = (text(&wanted["namespace"]), text(&wanted["name"]));
        let attributes = Attributes {
            verb: &verb,
            group: &group,
            resource: &resource,
            namespace: Some(namespace.as_str()).filter(|namespace| !namespace.is_empty()),
            name: &name,
            path: None,
        };
        call.app.rbac.allows(&call.app.store, user, &attributes)
    };
    // A refusal has no reason: `kubectl auth can-i` then says `no` and nothing more, which is what
    // scripts look for.
    json!({"allowed": allowed})
}

fn rules(call: &Call, spec: &Value) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let (resource_rules, other_rules) =
        call.app.rbac.review(&call.app.store, &call.user, namespace);
    json!({
        "resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": false,
    })
}
