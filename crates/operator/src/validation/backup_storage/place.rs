//! Whether a storage can be one, as far as its own words tell: nothing is asked, no bucket and no
//! volume.

use kubestash_api::storage::{Backend, LocalSpec, Provider, S3Spec};

use super::super::Violation;

/// What is missing or cannot work.
pub(super) fn unusable(storage: &Backend) -> Vec<Violation> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let required = |part: &str, field: &str, value: &Option<String>| {
        text(value).trim_end_matches('/').is_empty().then(|| {
            let field = format!("spec.storage.{part}.{field}");
            let message = format!("{field} is empty: give it a value");
            Violation::new(field, message)
        })
    };
    match storage.known_provider() {
        Some(Provider::S3) => storage
            .s3
            .iter()
            .flat_map(|s3| {
                required("s3", "bucket", &s3.bucket)
                    .into_iter()
                    .chain(endpoint(s3))
                    .collect::<Vec<_>>()
            })
            .collect(),
        Some(Provider::Gcs) => storage
            .gcs
            .iter()
            .filter_map(|gcs| required("gcs", "bucket", &gcs.bucket))
            .collect(),
        Some(Provider::Azure) => storage
            .azure
            .iter()
            .flat_map(|azure| {
                [
                    required("azure", "storageAccount", &azure.storage_account),
                    required("azure", "container", &azure.container),
                ]
            })
            .flatten()
            .collect(),
        Some(Provider::Local) => storage
            .local
            .iter()
            .flat_map(|spec| {
                required("local", "mountPath", &spec.mount_path)
                    .into_iter()
                    .chain(local(spec))
                    .collect::<Vec<_>>()
            })
            .collect(),
        // What is missing there is told by the schema.
        None => Vec::new(),
    }
}

/// One without a scheme is fine: it is reached over https, as with every other client.
fn endpoint(s3: &S3Spec) -> Option<Violation> {
    let endpoint = s3
        .endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.is_empty())?;
    let scheme = endpoint
        .split_once("://")
        .map_or("https", |(scheme, _)| scheme);
    let is_known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let is_url = !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace);
    (!is_known || !is_url).then(|| {
        Violation::new(
            "spec.storage.s3.endpoint",
            format!(
                "the endpoint {endpoint:?} is no URL of a server: write it as https://host:port"
            ),
        )
    })
}

fn local(spec: &LocalSpec) -> Vec<Violation> {
    const FIELD: &str = "spec.storage.local";
    let mut violations = Vec::new();
    let mut refuse = |field: &str, message: String| {
        violations.push(Violation::new(format!("{FIELD}.{field}"), message));
    };
    let climbs = |path: &str| path.split('/').any(|part| part == "..");
    let mount = spec.mount_path.as_deref().unwrap_or_default();
    if climbs(mount) || mount.contains(':') {
        refuse(
            "mountPath",
            format!("the mount path {mount:?} must have neither a part \"..\" nor a colon"),
        );
    }
    let sub_path = spec.sub_path.as_deref().unwrap_or_default();
    if climbs(sub_path) || sub_path.starts_with('/') {
        refuse(
            "subPath",
            format!(
                "the sub-path {sub_path:?} must be relative to the volume's root and without a part \"..\""
            ),
        );
    }
    let volume = &spec.volume;
    if let Some(host) = &volume.host_path
        && (!host.path.starts_with('/') || climbs(&host.path))
    {
        refuse(
            "hostPath.path",
            format!(
                "the path {:?} must be absolute and without a part \"..\": begin it with a slash",
                host.path
            ),
        );
    }
    if let Some(nfs) = &volume.nfs {
        if nfs.server.is_empty() {
            refuse(
                "nfs.server",
                "the NFS server is empty: give its name or address".to_owned(),
            );
        }
        if !nfs.path.starts_with('/') {
            refuse(
                "nfs.path",
                format!(
                    "the exported path {:?} must be absolute: begin it with a slash",
                    nfs.path
                ),
            );
        }
    }
    if let Some(claim) = &volume.persistent_volume_claim
        && claim.claim_name.is_empty()
    {
        refuse(
            "persistentVolumeClaim.claimName",
            "the name of the claim is empty: give it a value".to_owned(),
        );
    }
    if *volume == kubestash_api::shared::VolumeSource::default() {
        violations.push(Violation::new(
            FIELD,
            "it names no volume: add one, such as hostPath, nfs or persistentVolumeClaim",
        ));
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(storage: Value) -> Vec<String> {
        let storage: Backend = serde_json::from_value(storage).unwrap();
        let violations = unusable(&storage);
        violations
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn what_can_be_known_from_a_storage_alone_is_told_by_field() {
        let s3 = |spec: Value| json!({"provider": "s3", "s3": spec});
        let local = |spec: Value| json!({"provider": "local", "local": spec});
        let host = json!({"path": "/data"});
        let cases = [
            (
                s3(json!({"bucket": "b", "endpoint": "https://minio:9000"})),
                vec![],
            ),
            // As public guides write it.
            (
                s3(json!({"bucket": "b", "endpoint": "us-east-1.linodeobjects.com"})),
                vec![],
            ),
            (s3(json!({"bucket": "b"})), vec![]),
            (
                s3(json!({"bucket": "", "endpoint": "s3://b"})),
                vec!["s3.bucket", "s3.endpoint"],
            ),
            (
                s3(json!({"bucket": "b", "endpoint": "http:// x"})),
                vec!["s3.endpoint"],
            ),
            (json!({"provider": "gcs", "gcs": {}}), vec!["gcs.bucket"]),
            (
                json!({"provider": "gcs", "gcs": {"bucket": "/"}}),
                vec!["gcs.bucket"],
            ),
            (
                json!({"provider": "azure", "azure": {}}),
                vec!["azure.storageAccount", "azure.container"],
            ),
            (
                local(json!({"mountPath": "/data", "hostPath": host})),
                vec![],
            ),
            (
                local(json!({"mountPath": "data", "subPath": "a/b", "hostPath": host})),
                vec![],
            ),
            (local(json!({"hostPath": host})), vec!["local.mountPath"]),
            (
                local(json!({"mountPath": "/", "hostPath": host})),
                vec!["local.mountPath"],
            ),
            (
                local(json!({"mountPath": "/a/../b", "hostPath": host})),
                vec!["local.mountPath"],
            ),
            (
                local(json!({"mountPath": "/d", "subPath": "/a", "hostPath": host})),
                vec!["local.subPath"],
            ),
            (
                local(json!({"mountPath": "/d", "subPath": "../a", "hostPath": host})),
                vec!["local.subPath"],
            ),
            (
                local(json!({"mountPath": "/d", "hostPath": {"path": "data"}})),
                vec!["local.hostPath.path"],
            ),
            (
                local(json!({"mountPath": "/d", "hostPath": {"path": "/a/../b"}})),
                vec!["local.hostPath.path"],
            ),
            (
                local(json!({"mountPath": "/d", "nfs": {"server": "", "path": "x"}})),
                vec!["local.nfs.server", "local.nfs.path"],
            ),
            (
                local(json!({"mountPath": "/d", "persistentVolumeClaim": {"claimName": ""}})),
                vec!["local.persistentVolumeClaim.claimName"],
            ),
            (local(json!({"mountPath": "/d"})), vec!["local"]),
        ];
        for (storage, expected) in cases {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|field| format!("spec.storage.{field}"))
                .collect();
            assert_eq!(fields(storage.clone()), expected, "{storage}");
        }
    }
}
