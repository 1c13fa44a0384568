//! The changes that an AppBinding makes to its Secret before anybody reads it
//! (`spec.secretTransforms`): pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kubestash_api::appcatalog::{AppBinding, SecretTransform};
use kubestash_domain::target::Secrets;

use crate::locate::{Key, LocateError, key_of};

/// The Secrets whose keys the transforms add, in the AppBinding's namespace.
pub fn sources(binding: &AppBinding) -> Vec<Key> {
    Secrets::of(binding).added
}

/// The Secret with all transforms applied, one after the other. `others` are the [`sources`] by
/// name.
///
/// # Errors
/// If a transform says too little, or names a key or Secret that is not there.
pub fn apply(
    binding: &AppBinding,
    secret: Secret,
    others: &BTreeMap<String, Secret>,
) -> Result<Secret, LocateError> {
    if binding.spec.secret_transforms.is_empty() {
        return Ok(secret);
    }
    let Secret {
        data,
        string_data,
        metadata,
        ..
    } = secret;
    let mut values = data.unwrap_or_default();
    let text = string_data.unwrap_or_default();
    values.extend(
        text.into_iter()
            .map(|(key, text)| (key, ByteString(text.into_bytes()))),
    );
    for (index, transform) in binding.spec.secret_transforms.iter().enumerate() {
        change(&mut values, transform, others).map_err(|what| LocateError::Transform {
            binding: key_of(binding).to_string(),
            index,
            what,
        })?;
    }
    Ok(Secret {
        data: Some(values),
        metadata,
        ..Secret::default()
    })
}

fn change(
    values: &mut BTreeMap<String, ByteString>,
    transform: &SecretTransform,
    others: &BTreeMap<String, Secret>,
) -> Result<(), String> {
    let given = [
        transform.rename_key.is_some(),
        transform.add_key.is_some(),
        transform.add_keys_from.is_some(),
        transform.remove_key.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err("give one of renameKey, addKey, addKeysFrom and removeKey".to_owned());
    }
    if let Some(rename) = &transform.rename_key {
        let value = values
            .remove(&rename.from)
            .ok_or_else(|| format!("renameKey.from: the Secret has no key {:?}", rename.from))?;
        values.insert(rename.to.clone(), value);
    }
    if let Some(add) = &transform.add_key {
        let text = add
            .string_value
            .as_ref()
            .map(|text| ByteString(text.clone().into_bytes()));
        let value = text.or_else(|| add.value.clone());
        let value = value.ok_or("addKey: give stringValue or value")?;
        values.insert(add.key.clone(), value);
    }
    if let Some(from) = &transform.add_keys_from {
        let name = from.secret_ref.as_ref().map(|secret| secret.name.as_str());
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or("addKeysFrom.secretRef.name: name a Secret")?;
        let other = others
            .get(name)
            .ok_or_else(|| format!("addKeysFrom: Secret {name} is missing"))?;
        values.extend(
            other
                .data
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    if let Some(remove) = &transform.remove_key {
        values.remove(&remove.key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let bytes = |(key, value): &(&str, &str)| {
            ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))
        };
        Secret {
            data: Some(data.iter().map(bytes).collect()),
            ..Secret::default()
        }
    }

    /// What becomes of a Secret with `user` and `pass`, as `key=value` words.
    fn transformed(transforms: Value) -> Result<String, String> {
        let binding: AppBinding = serde_json::from_value(json!({
            "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": "db", "namespace": "demo"},
            "spec": {"clientConfig": {}, "secretTransforms": transforms},
        }))
        .unwrap();
        let others = [(
            "more".to_owned(),
            secret(&[("username", "boss"), ("x", "y")]),
        )]
        .into();
        let made = apply(&binding, secret(&[("user", "u"), ("pass", "p")]), &others);
        let made = made.map_err(|error| error.to_string())?;
        let words = made
            .data
            .unwrap()
            .into_iter()
            .map(|(key, value)| format!("{key}={}", String::from_utf8(value.0).unwrap()));
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_kind_of_transform_does_what_it_says_one_after_the_other() {
        let cases = [
            (json!([]), "pass=p user=u"),
            (
                json!([{"renameKey": {"from": "user", "to": "username"}}]),
                "pass=p username=u",
            ),
            (
                json!([{"addKey": {"key": "username", "stringValue": "root"}}]),
                "pass=p user=u username=root",
            ),
            (
                json!([{"addKey": {"key": "pass", "value": "cTE="}}]),
                "pass=q1 user=u",
            ),
            (
                json!([{"addKeysFrom": {"secretRef": {"name": "more"}}}]),
                "pass=p user=u username=boss x=y",
            ),
            (
                json!([{"removeKey": {"key": "user"}}, {"removeKey": {"key": "none"}}]),
                "pass=p",
            ),
            (
                json!([
                    {"addKeysFrom": {"secretRef": {"name": "more"}}},
                    {"renameKey": {"from": "username", "to": "user"}},
                    {"removeKey": {"key": "x"}},
                    {"renameKey": {"from": "pass", "to": "password"}}
                ]),
                "password=p user=boss",
            ),
        ];
        for (transforms, expected) in cases {
            assert_eq!(
                transformed(transforms.clone()).unwrap(),
                expected,
                "{transforms}"
            );
        }
    }

    #[test]
    fn a_transform_that_cannot_be_applied_is_named_without_any_value() {
        let cases = [
            (
                json!([{"removeKey": {"key": "a"}}, {}]),
                "spec.secretTransforms[1]",
            ),
            (
                json!([{"renameKey": {"from": "none", "to": "x"}}]),
                "has no key \"none\"",
            ),
            (json!([{"addKey": {"key": "x"}}]), "stringValue or value"),
            (
                json!([{"addKeysFrom": {"secretRef": {"name": "lost"}}}]),
                "Secret lost is missing",
            ),
            (json!([{"addKeysFrom": {}}]), "name a Secret"),
        ];
        for (transforms, words) in cases {
            let error = transformed(transforms.clone()).unwrap_err();
            assert!(
                error.contains(words) && error.contains("demo/db"),
                "{error}"
            );
        }
    }
}
