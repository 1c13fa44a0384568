//! Grants: what was found to be the author's own right, kept on the object so that later reconciles
//! need no user.
//!
//! Invariant: a grant counts only for the object that it was made for. The code covers kind,
//! namespace and name, the exact needs, the time, and for objects that the operator writes itself
//! everything they say. One that was copied from another object, or kept from an earlier object of
//! the same name, is worth nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use kubestash_api::labels;
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Need;

/// How much later than its grant an object may have been made: the clocks of operator and API
/// server differ. A grant is given just before its object is stored, so one that is older belonged
/// to an earlier object of that name.
const CLOCKS_DIFFER_SECONDS: i64 = 300;
/// What the code is for, so that it is good for nothing else.
const CONTEXT: &str = "kubestash.com/granted-references v1";

/// The operator's key.
pub(crate) struct Key(hmac::Key);

impl Key {
    /// The key made of these bytes.
    #[must_use]
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

/// The object that a grant is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    group: String,
    kind: String,
    namespace: String,
    /// Its name; of one whose name the API server makes up, that with which it begins and a `*`.
    names: Vec<String>,
    created: Option<Timestamp>,
    /// Digest of everything that an object of the operator's own says, but for what is the user's.
    content: String,
    annotation: Option<String>,
}

impl Subject {
    /// The object as a subject.
    #[must_use]
    pub(crate) fn of<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        let meta = object.meta();
        let name = meta.name.clone().filter(|name| !name.is_empty());
        let beginning = meta.generate_name.as_ref().map(|name| format!("{name}*"));
        let mut spec = serde_json::to_value(object)
            .ok()
            .and_then(|mut object| object.get_mut("spec").map(Value::take))
            .unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            // Who pauses a configuration, or says what becomes of a Repository, does not change
            // what it refers to.
            spec.remove("paused");
            spec.remove("deletionPolicy");
        }
        let digest = digest::digest(&digest::SHA256, spec.to_string().as_bytes());
        Self {
            group: K::group(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            names: name.into_iter().chain(beginning).collect(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            content: hex(digest.as_ref()),
            annotation: object
                .annotations()
                .get(labels::GRANTED_REFERENCES)
                .cloned(),
        }
    }

    /// Its namespace.
    #[must_use]
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What it carries as a grant, whoever wrote it.
    #[must_use]
    pub(crate) fn annotation(&self) -> Option<&str> {
        self.annotation.as_deref()
    }
}

/// What was granted to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What it may do.
    pub needs: BTreeSet<Need>,
    /// Whether it is the operator's own, and holds only as long as the object says what the
    /// operator wrote.
    pub pinned: bool,
}

/// A grant as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    needs: BTreeSet<Need>,
    issued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    code: String,
}

impl Grant {
    /// What the grant that `subject` carries is worth; none if it carries none that is its own.
    #[must_use]
    pub(crate) fn of(subject: &Subject, key: &Key) -> Option<Self> {
        let written: Written = serde_json::from_str(subject.annotation.as_deref()?).ok()?;
        let code = STANDARD.decode(&written.code).ok()?;
        let genuine = subject.names.iter().any(|name| {
            let text = signed(subject, name, &written);
            hmac::verify(&key.0, text.as_bytes(), &code).is_ok()
        });
        let too_old = subject.created.is_some_and(|created| {
            created.as_second() - written.issued.as_second() > CLOCKS_DIFFER_SECONDS
        });
        let unchanged = written
            .content
            .as_ref()
            .is_none_or(|content| *content == subject.content);
        (genuine && !too_old && unchanged).then_some(Self {
            needs: written.needs,
            pinned: written.content.is_some(),
        })
    }

    /// What may be done by `subject`: empty if its grant is worth nothing.
    #[must_use]
    pub(crate) fn needs_of(subject: &Subject, key: &Key) -> BTreeSet<Need> {
        Self::of(subject, key)
            .map(|grant| grant.needs)
            .unwrap_or_default()
    }

    /// The grant, as the annotation of `subject`.
    #[must_use]
    pub(crate) fn sign(&self, subject: &Subject, key: &Key, now: Timestamp) -> String {
        let mut written = Written {
            needs: self.needs.clone(),
            // Whole seconds are enough, and easier on the eye.
            issued: Timestamp::from_second(now.as_second()).unwrap_or(now),
            content: self.pinned.then(|| subject.content.clone()),
            code: String::new(),
        };
        let name = subject.names.first().cloned().unwrap_or_default();
        let code = hmac::sign(&key.0, signed(subject, &name, &written).as_bytes());
        written.code = STANDARD.encode(code.as_ref());
        // Strings, a time and a flag: there is nothing that could fail.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

/// What the code is computed over. JSON keeps the parts apart, whatever is in them.
fn signed(subject: &Subject, name: &str, written: &Written) -> String {
    serde_json::json!([
        CONTEXT,
        subject.group,
        subject.kind,
        subject.namespace,
        name,
        written.issued,
        written.content,
        written.needs,
    ])
    .to_string()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use kubestash_api::core::{BackupConfiguration, RestoreSession};
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn configuration(change: Value) -> BackupConfiguration {
        let mut object = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "bc", "namespace": "demo", "creationTimestamp": "2026-01-31T12:00:01Z"},
            "spec": {"target": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": "m", "namespace": "other"}},
        });
        json_patch::merge(&mut object, &change);
        serde_json::from_value(object).unwrap()
    }

    fn secret() -> Need {
        Need::ReadSecret {
            namespace: "vault".to_owned(),
            name: "s".to_owned(),
        }
    }

    fn grant(pinned: bool) -> Grant {
        Grant {
            needs: [secret()].into(),
            pinned,
        }
    }

    fn with(object: &BackupConfiguration, annotation: &str) -> Subject {
        let mut object = object.clone();
        let annotations = object.annotations_mut();
        annotations.insert(labels::GRANTED_REFERENCES.to_owned(), annotation.to_owned());
        Subject::of(&object)
    }

    #[test]
    fn a_grant_is_read_back_from_the_object_that_it_was_made_for() {
        let key = Key::new(b"key");
        for pinned in [false, true] {
            let object = configuration(json!({}));
            let text = grant(pinned).sign(&Subject::of(&object), &key, now());
            assert_eq!(Grant::of(&with(&object, &text), &key), Some(grant(pinned)));
        }
    }

    #[test]
    fn a_grant_that_is_forged_copied_or_kept_is_worth_nothing() {
        let key = Key::new(b"key");
        let object = configuration(json!({}));
        let text = grant(false).sign(&Subject::of(&object), &key, now());
        let own: Value = serde_json::from_str(&text).unwrap();
        let altered = |patch: Value| {
            let mut altered = own.clone();
            json_patch::merge(&mut altered, &patch);
            with(&object, &altered.to_string())
        };
        let other = json!([{"use": "readSecret", "namespace": "kube-system", "name": "x"}]);
        let worthless = [
            (
                "another key",
                with(
                    &object,
                    &grant(false).sign(&Subject::of(&object), &Key::new(b"mine"), now()),
                ),
            ),
            ("other needs", altered(json!({"needs": other}))),
            ("no needs", altered(json!({"needs": []}))),
            ("no code", altered(json!({"code": ""}))),
            (
                "another time",
                altered(json!({"issued": "2026-01-31T13:00:00Z"})),
            ),
            (
                "made pinned",
                altered(json!({"content": Subject::of(&object).content})),
            ),
            ("no JSON", with(&object, "check")),
            (
                "another name",
                with(&configuration(json!({"metadata": {"name": "mine"}})), &text),
            ),
            (
                "another namespace",
                with(
                    &configuration(json!({"metadata": {"namespace": "mine"}})),
                    &text,
                ),
            ),
            (
                "an earlier object of that name",
                with(
                    &configuration(
                        json!({"metadata": {"creationTimestamp": "2026-01-31T12:06:00Z"}}),
                    ),
                    &text,
                ),
            ),
        ];
        for (what, subject) in worthless {
            assert_eq!(Grant::of(&subject, &key), None, "{what}");
        }
        let mut restore: RestoreSession = serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "bc", "namespace": "demo"}, "spec": {},
        }))
        .unwrap();
        restore
            .annotations_mut()
            .insert(labels::GRANTED_REFERENCES.to_owned(), text);
        assert_eq!(
            Grant::of(&Subject::of(&restore), &key),
            None,
            "another kind"
        );
    }

    #[test]
    fn a_pinned_grant_ends_when_the_object_says_something_else() {
        let key = Key::new(b"key");
        let object = configuration(json!({}));
        let text = grant(true).sign(&Subject::of(&object), &key, now());
        let paused = configuration(json!({"spec": {"paused": true}}));
        assert_eq!(Grant::of(&with(&paused, &text), &key), Some(grant(true)));
        let storage = json!([{"name": "mine", "storageRef": {"name": "mine"}}]);
        let moved = configuration(json!({"spec": {"backends": storage}}));
        assert_eq!(Grant::of(&with(&moved, &text), &key), None);
        // A user's may go on: the references are looked at one by one.
        let text = grant(false).sign(&Subject::of(&object), &key, now());
        assert_eq!(Grant::of(&with(&moved, &text), &key), Some(grant(false)));
    }

    #[test]
    fn a_name_that_the_api_server_makes_up_is_known_by_its_beginning() {
        let key = Key::new(b"key");
        let made_up = json!({"metadata": {"name": null, "generateName": "bc-"}});
        let asked = configuration(made_up);
        let text = grant(false).sign(&Subject::of(&asked), &key, now());
        let stored = json!({"metadata": {"name": "bc-x7k2p", "generateName": "bc-"}});
        assert_eq!(
            Grant::of(&with(&configuration(stored), &text), &key),
            Some(grant(false))
        );
    }
}
