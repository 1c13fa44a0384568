//! Acting as somebody else: the headers `Impersonate-User`, `-Group`, `-Uid` and `-Extra-<key>`
//! (`kubectl --as`).
//!
//! Invariant: every name that is taken on needs the verb `impersonate` on it, and no such header is
//! ignored.

use http::HeaderMap;
use kubestash_apimachinery::Status;
use percent_encoding::percent_decode_str;

use super::rbac::{Attributes, Rbac};
use super::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};
use crate::registry::Refused;
use crate::store::Store;

const PREFIX: &str = "impersonate-";
const EXTRA: &str = "extra-";

/// The user that a request of `user` with these headers acts as.
pub(crate) fn act_as(
    rbac: &Rbac,
    store: &Store,
    user: User,
    headers: &HeaderMap,
) -> Result<User, Refused> {
    let Some(wanted) = wanted(headers)? else {
        return Ok(user);
    };
    for demand in demands(&wanted) {
        let attributes = Attributes {
            verb: "impersonate",
            group: demand.group,
            resource: &demand.resource,
            namespace: demand.namespace,
            name: demand.name,
            path: None,
        };
        if !rbac.allows(store, &user, &attributes) {
            return Err(Box::new(Status::rbac_denied(
                &user.name,
                attributes.verb,
                demand.group,
                &demand.resource,
                demand.name,
                demand.namespace,
            )));
        }
    }
    Ok(complete(wanted))
}

/// What the headers name; `None` without any.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, Refused> {
    let mut wanted = User::default();
    let mut any = false;
    for (header, value) in headers {
        let Some(what) = header.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        any = true;
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| bad(format!("the header {header} is not UTF-8")))?
            .to_owned();
        match what {
            "user" => once(&mut wanted.name, value, what)?,
            "uid" => once(&mut wanted.uid, value, what)?,
            "group" => wanted.groups.push(value),
            _ => {
                let key = what
                    .strip_prefix(EXTRA)
                    .ok_or_else(|| bad(format!("there is no header {header}")))?;
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                match wanted.extra.iter_mut().find(|(one, _)| *one == key) {
                    Some((_, values)) => values.push(value),
                    None => wanted.extra.push((key, vec![value])),
                }
            }
        }
    }
    if any && wanted.name.is_empty() {
        return Err(bad(
            "groups, UIDs and extra fields cannot be impersonated without a user: set the header Impersonate-User (kubectl --as)".to_owned(),
        ));
    }
    Ok(any.then_some(wanted))
}

fn once(field: &mut String, value: String, what: &str) -> Result<(), Refused> {
    if !field.is_empty() {
        return Err(bad(format!(
            "the header Impersonate-{what} can be given only once"
        )));
    }
    *field = value;
    Ok(())
}

fn bad(why: String) -> Refused {
    Box::new(Status::bad_request(why))
}

/// One thing that has to be allowed.
struct Demand<'a> {
    group: &'a str,
    resource: String,
    namespace: Option<&'a str>,
    name: &'a str,
}

fn demands(wanted: &User) -> Vec<Demand<'_>> {
    let demand = |group, resource: &str, namespace, name| Demand {
        group,
        resource: resource.to_owned(),
        namespace,
        name,
    };
    let mut demands = vec![match wanted.account() {
        Some((namespace, name)) => demand("", "serviceaccounts", Some(namespace), name),
        None => demand("", "users", None, &wanted.name),
    }];
    demands.extend(
        wanted
            .groups
            .iter()
            .map(|group| demand("", "groups", None, group)),
    );
    const AUTHENTICATION: &str = "authentication.k8s.io";
    if !wanted.uid.is_empty() {
        demands.push(demand(AUTHENTICATION, "uids", None, &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        let resource = format!("userextras/{key}");
        demands.extend(
            values
                .iter()
                .map(|value| demand(AUTHENTICATION, &resource, None, value)),
        );
    }
    demands
}

/// Adds the groups that come with the name.
fn complete(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, name)) = user.account()
    {
        user.groups = User::service_account(namespace, name, "").groups;
    }
    let implied = if user.name == ANONYMOUS {
        UNAUTHENTICATED
    } else {
        AUTHENTICATED
    };
    if !user
        .groups
        .iter()
        .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED)
    {
        user.groups.push(implied.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn everything_that_is_named_is_demanded_and_the_implied_groups_are_added() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (
                &[("Impersonate-User", "jane")],
                &["users jane"],
                &["system:authenticated"],
            ),
            (
                &[
                    ("Impersonate-User", "jane"),
                    ("Impersonate-Group", "a"),
                    ("Impersonate-Group", "system:masters"),
                ],
                &["users jane", "groups a", "groups system:masters"],
                &["a", "system:masters", "system:authenticated"],
            ),
            (
                &[("Impersonate-User", "system:serviceaccount:demo:worker")],
                &["serviceaccounts demo/worker"],
                &[
                    "system:serviceaccounts",
                    "system:serviceaccounts:demo",
                    "system:authenticated",
                ],
            ),
            (
                &[("Impersonate-User", "system:anonymous")],
                &["users system:anonymous"],
                &["system:unauthenticated"],
            ),
            (
                &[
                    ("Impersonate-User", "jane"),
                    ("Impersonate-Uid", "7"),
                    ("Impersonate-Extra-Example.com%2fscope", "x"),
                    ("Impersonate-Extra-Example.com%2fscope", "y"),
                ],
                &[
                    "users jane",
                    "uids 7",
                    "userextras/example.com/scope x",
                    "userextras/example.com/scope y",
                ],
                &["system:authenticated"],
            ),
        ];
        for (given, demanded, groups) in cases {
            let user = wanted(&headers(given)).unwrap().unwrap();
            let shown: Vec<String> = demands(&user)
                .iter()
                .map(|demand| match demand.namespace {
                    Some(namespace) => format!("{} {namespace}/{}", demand.resource, demand.name),
                    None => format!("{} {}", demand.resource, demand.name),
                })
                .collect();
            assert_eq!(shown, *demanded);
            assert_eq!(complete(user).groups, *groups);
        }
        assert_eq!(wanted(&headers(&[("accept", "x")])).unwrap(), None);
    }

    #[test]
    fn headers_that_mean_nothing_are_refused() {
        for given in [
            &[("Impersonate-Group", "a")][..],
            &[("Impersonate-Uid", "7")],
            &[("Impersonate-User", "a"), ("Impersonate-User", "b")],
            &[("Impersonate-User", "a"), ("Impersonate-Role", "b")],
            &[("Impersonate-User", "")],
        ] {
            assert_eq!(wanted(&headers(given)).unwrap_err().code, 400, "{given:?}");
        }
    }
}
