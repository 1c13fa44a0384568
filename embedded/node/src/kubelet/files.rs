//! Volumes that are made of files in memory: secret, configMap, downwardAPI, projected.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection, Volume,
};

use super::environment::{config_map_value, pod_field, secret_value};
use super::sources::Sources;
use super::token::Issued;
use super::trouble::Trouble;
use crate::supervisor::{FileEntry, SecretBytes};

/// Permission bits of files that ask for none.
const DEFAULT_MODE: i32 = 0o644;

/// Tokens issued for the projections of a pod, by audience (the API server's own is the empty one).
pub(crate) type Tokens = BTreeMap<String, Issued>;

/// The files of a volume, or `None` if it is of another kind.
pub(crate) fn of_volume(
    volume: &Volume,
    pod: &Pod,
    sources: &Sources,
    tokens: &Tokens,
) -> Result<Option<Vec<FileEntry>>, Trouble> {
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let secret = sources.secret(name, source.optional.unwrap_or_default())?;
        return secret_files(secret, name, source.items.as_deref(), mode, source.optional)
            .map(Some);
    }
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let map = sources.config_map(&source.name, source.optional.unwrap_or_default())?;
        return config_map_files(
            map,
            &source.name,
            source.items.as_deref(),
            mode,
            source.optional,
        )
        .map(Some);
    }
    if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return downward_files(pod, source.items.as_deref(), mode).map(Some);
    }
    let Some(projected) = &volume.projected else {
        return Ok(None);
    };
    let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
    let mut files = Vec::new();
    for source in projected.sources.iter().flatten() {
        if let Some(from) = &source.secret {
            let secret = sources.secret(&from.name, from.optional.unwrap_or_default())?;
            files.extend(secret_files(
                secret,
                &from.name,
                from.items.as_deref(),
                mode,
                from.optional,
            )?);
        } else if let Some(from) = &source.config_map {
            let map = sources.config_map(&from.name, from.optional.unwrap_or_default())?;
            files.extend(config_map_files(
                map,
                &from.name,
                from.items.as_deref(),
                mode,
                from.optional,
            )?);
        } else if let Some(from) = &source.downward_api {
            files.extend(downward_files(pod, from.items.as_deref(), mode)?);
        } else if let Some(from) = &source.service_account_token {
            files.extend(token_file(from, tokens, mode));
        } else {
            return Err(Trouble::volume(format!(
                "volume {:?} has a projection that this node does not know",
                volume.name
            )));
        }
    }
    Ok(Some(files))
}

fn secret_files(
    secret: Option<&Secret>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<Vec<FileEntry>, Trouble> {
    let Some(secret) = secret else {
        return Ok(Vec::new());
    };
    let keys: Vec<&String> = secret.data.iter().flat_map(BTreeMap::keys).collect();
    chosen(
        &keys,
        items,
        mode,
        optional,
        |key| secret_value(secret, key),
        || format!("secret {name:?}"),
    )
}

fn config_map_files(
    map: Option<&ConfigMap>,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<Vec<FileEntry>, Trouble> {
    let Some(map) = map else {
        return Ok(Vec::new());
    };
    let text = map.data.iter().flat_map(BTreeMap::keys);
    let keys: Vec<&String> = text
        .chain(map.binary_data.iter().flat_map(BTreeMap::keys))
        .collect();
    chosen(
        &keys,
        items,
        mode,
        optional,
        |key| config_map_value(map, key),
        || format!("configmap {name:?}"),
    )
}

fn chosen(
    keys: &[&String],
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
    value: impl Fn(&str) -> Option<SecretBytes>,
    what: impl Fn() -> String,
) -> Result<Vec<FileEntry>, Trouble> {
    let file = |key: &str, path: &str, mode: i32| value(key).map(|data| entry(path, mode, data));
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(keys.iter().filter_map(|key| file(key, key, mode)).collect());
    };
    let mut files = Vec::new();
    for item in items {
        match file(&item.key, &item.path, item.mode.unwrap_or(mode)) {
            Some(file) => files.push(file),
            None if optional.unwrap_or_default() => {}
            None => {
                let message = format!("references non-existent key {:?} of {}", item.key, what());
                return Err(Trouble::config(message));
            }
        }
    }
    Ok(files)
}

fn downward_files(
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: i32,
) -> Result<Vec<FileEntry>, Trouble> {
    let file = |item: &DownwardAPIVolumeFile| {
        let field = item.field_ref.as_ref().ok_or_else(|| {
            Trouble::config(format!(
                "file {:?} of a downwardAPI volume has no fieldRef",
                item.path
            ))
        })?;
        Ok(entry(
            &item.path,
            item.mode.unwrap_or(mode),
            pod_field(pod, field)?.into(),
        ))
    };
    items.into_iter().flatten().map(file).collect()
}

fn token_file(
    from: &ServiceAccountTokenProjection,
    tokens: &Tokens,
    mode: i32,
) -> Option<FileEntry> {
    let token = tokens.get(from.audience.as_deref().unwrap_or_default())?;
    Some(entry(&from.path, mode, token.token.clone()))
}

fn entry(path: &str, mode: i32, data: SecretBytes) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        mode: u32::try_from(mode).unwrap_or(0o600),
        data,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn files(volume: Value) -> Result<Vec<(String, u32, String)>, String> {
        let secret = json!({"metadata": {"name": "s"}, "data": {"a": "MQ==", "b": "Mg=="}});
        let map =
            json!({"metadata": {"name": "m"}, "data": {"t": "text"}, "binaryData": {"x": "eA=="}});
        let sources = Sources::from_objects(
            vec![serde_json::from_value(secret).unwrap()],
            vec![serde_json::from_value(map).unwrap()],
        );
        let pod =
            json!({"metadata": {"name": "p", "namespace": "demo"}, "spec": {"containers": []}});
        let mut volume = volume;
        volume["name"] = "v".into();
        let issued = Issued {
            token: "TOKEN".into(),
            at: Timestamp::UNIX_EPOCH,
            ends: Timestamp::UNIX_EPOCH,
        };
        let tokens = Tokens::from([(String::new(), issued)]);
        let volume = serde_json::from_value(volume).unwrap();
        let pod = serde_json::from_value(pod).unwrap();
        let files =
            of_volume(&volume, &pod, &sources, &tokens).map_err(|trouble| trouble.message)?;
        let text = |file: FileEntry| {
            (
                file.path.clone(),
                file.mode,
                String::from_utf8_lossy(file.data.expose()).into_owned(),
            )
        };
        Ok(files.unwrap_or_default().into_iter().map(text).collect())
    }

    fn file(path: &str, mode: u32, content: &str) -> (String, u32, String) {
        (path.to_owned(), mode, content.to_owned())
    }

    #[test]
    fn every_kind_of_volume_has_the_files_it_should() {
        for (volume, expected) in [
            (
                json!({"secret": {"secretName": "s"}}),
                vec![file("a", 0o644, "1"), file("b", 0o644, "2")],
            ),
            (
                json!({"secret": {"secretName": "s", "defaultMode": 256, "items": [{"key": "b", "path": "d/c"}]}}),
                vec![file("d/c", 0o400, "2")],
            ),
            (
                json!({"secret": {"secretName": "s", "items": [{"key": "a", "path": "a", "mode": 384}]}}),
                vec![file("a", 0o600, "1")],
            ),
            (
                json!({"secret": {"secretName": "no", "optional": true}}),
                vec![],
            ),
            (
                json!({"configMap": {"name": "m"}}),
                vec![file("t", 0o644, "text"), file("x", 0o644, "x")],
            ),
            (
                json!({"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}),
                vec![file("ns", 0o644, "demo")],
            ),
            (
                json!({"projected": {"sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "m", "items": [{"key": "t", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
                ]}}),
                vec![
                    file("token", 0o644, "TOKEN"),
                    file("ca.crt", 0o644, "text"),
                    file("namespace", 0o644, "demo"),
                ],
            ),
        ] {
            assert_eq!(files(volume.clone()), Ok(expected), "{volume}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (volume, expected) in [
            (
                json!({"secret": {"secretName": "no"}}),
                "secret \"no\" not found",
            ),
            (
                json!({"configMap": {"name": "no"}}),
                "configmap \"no\" not found",
            ),
            (
                json!({"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}}),
                "references non-existent key \"z\" of secret \"s\"",
            ),
        ] {
            assert_eq!(files(volume), Err(expected.to_owned()));
        }
    }
}
