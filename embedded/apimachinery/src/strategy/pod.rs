//! Pods, and the pod templates of Jobs.

use serde_json::{Map, Value, json};

use super::{list, not_negative, text};
use crate::field::{FieldError, Path};
use crate::syntax::{self, Use};

/// Defaults of a Pod that depend on other fields.
pub(super) fn default_pod(pod: &mut Value) {
    if !pod["spec"].is_object() {
        return;
    }
    let spec = &mut pod["spec"];
    default_spec(spec);
    if spec.get("enableServiceLinks").is_none() {
        spec["enableServiceLinks"] = json!(true);
    }
    for field in ["initContainers", "containers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            let Some(limits) = container["resources"]["limits"].as_object().cloned() else {
                continue;
            };
            if !container["resources"]["requests"].is_object() {
                container["resources"]["requests"] = json!({});
            }
            if let Some(requests) = container["resources"]["requests"].as_object_mut() {
                for (name, limit) in limits {
                    requests.entry(name).or_insert(limit);
                }
            }
        }
    }
}

/// Defaults of a pod spec that depend on other fields: pull policies, volumes without a source.
pub(super) fn default_spec(spec: &mut Value) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[field]
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|c| c.is_object())
        {
            if text(container, "imagePullPolicy").is_empty() {
                container["imagePullPolicy"] = json!(pull_policy(text(container, "image")));
            }
        }
        if spec[field].is_null()
            && let Some(map) = spec.as_object_mut()
        {
            map.remove(field);
        }
    }
    if !text(spec, "serviceAccountName").is_empty() && text(spec, "serviceAccount").is_empty() {
        spec["serviceAccount"] = spec["serviceAccountName"].clone();
    } else if text(spec, "serviceAccountName").is_empty()
        && !text(spec, "serviceAccount").is_empty()
    {
        spec["serviceAccountName"] = spec["serviceAccount"].clone();
    }
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        for volume in volumes.iter_mut().filter_map(Value::as_object_mut) {
            if volume.keys().all(|key| key == "name") {
                volume.insert("emptyDir".into(), json!({}));
            }
        }
    }
}

/// `latest` (also by omission) is pulled always, anything else only if absent.
fn pull_policy(image: &str) -> &'static str {
    let (image, digest) = image
        .split_once('@')
        .map_or((image, None), |(i, d)| (i, Some(d)));
    let name = image.rsplit('/').next().unwrap_or_default();
    let tag = name.split_once(':').map(|(_, tag)| tag);
    match (tag, digest) {
        (None, None) | (Some("latest"), _) => "Always",
        _ => "IfNotPresent",
    }
}

/// Guaranteed, Burstable or BestEffort, by the CPU and memory of the containers.
pub(super) fn qos_class(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = list(spec, "containers")
        .iter()
        .chain(list(spec, "initContainers"))
        .collect();
    let amounts = |container: &Value, kind: &str| -> Map<String, Value> {
        let all = container["resources"][kind]
            .as_object()
            .cloned()
            .unwrap_or_default();
        all.into_iter()
            .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
            .collect()
    };
    if containers
        .iter()
        .all(|c| amounts(c, "limits").is_empty() && amounts(c, "requests").is_empty())
    {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|c| {
        let limits = amounts(c, "limits");
        limits.len() == 2 && amounts(c, "requests") == limits
    });
    if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Checks a Pod.
pub(super) fn validate(pod: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    validate_spec(&pod["spec"], &root.child("spec"), errors);
}

/// Checks a pod spec.
pub(super) fn validate_spec(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let volumes = validate_volumes(spec, &path.child("volumes"), errors);
    let containers_path = path.child("containers");
    let containers = list(spec, "containers");
    if containers.is_empty() {
        errors.push(FieldError::required(containers_path, ""));
    }
    let mut names: Vec<&str> = Vec::new();
    validate_containers(containers, &volumes, &containers_path, &mut names, errors);
    validate_containers(
        list(spec, "initContainers"),
        &volumes,
        &path.child("initContainers"),
        &mut names,
        errors,
    );
    choice(
        spec,
        "restartPolicy",
        &["Always", "Never", "OnFailure"],
        path,
        errors,
    );
    choice(
        spec,
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        path,
        errors,
    );
    not_negative(spec, "terminationGracePeriodSeconds", path, errors);
    if let Some(seconds) = spec["activeDeadlineSeconds"]
        .as_i64()
        .filter(|s| !(1..=i64::from(i32::MAX)).contains(s))
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(
            path.child("activeDeadlineSeconds"),
            seconds,
            detail,
        ));
    }
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        for problem in syntax::dns_subdomain(account, Use::Name) {
            errors.push(FieldError::invalid(
                path.child("serviceAccountName"),
                account,
                problem,
            ));
        }
    }
}

fn validate_volumes<'s>(
    spec: &'s Value,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) -> Vec<&'s str> {
    let mut names: Vec<&str> = Vec::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        check_name(name, &names, &path, errors);
        let sources = volume.as_object().map_or(0, |v| {
            v.iter()
                .filter(|(k, s)| *k != "name" && s.is_object())
                .count()
        });
        if sources == 0 {
            errors.push(FieldError::required(path, "must specify a volume type"));
        } else if sources > 1 {
            errors.push(FieldError::forbidden(
                path,
                "may not specify more than 1 volume type",
            ));
        }
        if volume["hostPath"].is_object() && text(&volume["hostPath"], "path").is_empty() {
            errors.push(FieldError::required(
                path.child("hostPath").child("path"),
                "",
            ));
        }
        if volume["secret"].is_object() && text(&volume["secret"], "secretName").is_empty() {
            errors.push(FieldError::required(
                path.child("secret").child("secretName"),
                "",
            ));
        }
        if volume["persistentVolumeClaim"].is_object()
            && text(&volume["persistentVolumeClaim"], "claimName").is_empty()
        {
            errors.push(FieldError::required(
                path.child("persistentVolumeClaim").child("claimName"),
                "",
            ));
        }
        names.push(name);
    }
    names
}

fn validate_containers<'s>(
    containers: &'s [Value],
    volumes: &[&str],
    path: &Path<'_>,
    names: &mut Vec<&'s str>,
    errors: &mut Vec<FieldError>,
) {
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        let name = text(container, "name");
        check_name(name, names, &path, errors);
        names.push(name);
        let image = text(container, "image");
        if image.is_empty() {
            errors.push(FieldError::required(path.child("image"), ""));
        } else if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(path.child("image"), image, detail));
        }
        choice(
            container,
            "imagePullPolicy",
            &["Always", "IfNotPresent", "Never"],
            &path,
            errors,
        );
        choice(
            container,
            "terminationMessagePolicy",
            &["File", "FallbackToLogsOnError"],
            &path,
            errors,
        );
        validate_env(container, &path.child("env"), errors);
        validate_mounts(container, volumes, &path.child("volumeMounts"), errors);
    }
}

fn validate_env(container: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        for problem in syntax::environment_variable(name)
            .into_iter()
            .filter(|_| !name.is_empty())
        {
            errors.push(FieldError::invalid(path.child("name"), name, problem));
        }
        let from = variable.get("valueFrom").and_then(Value::as_object);
        let path = path.child("valueFrom");
        match from.map(Map::len) {
            None => {}
            Some(0) => {
                let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
                errors.push(FieldError::invalid(path, "", detail));
            }
            Some(_) if !text(variable, "value").is_empty() => {
                errors.push(FieldError::invalid(
                    path,
                    "",
                    "may not be specified when `value` is not empty",
                ));
            }
            Some(1) => {}
            Some(_) => errors.push(FieldError::invalid(
                path,
                "",
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn validate_mounts(
    container: &Value,
    volumes: &[&str],
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut places: Vec<&str> = Vec::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let path = path.index(index);
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if !volumes.contains(&name) {
            errors.push(FieldError {
                path: path.child("name").to_string(),
                kind: crate::field::ErrorKind::NotFound,
                bad_value: Some(name.into()),
                detail: String::new(),
            });
        }
        if place.is_empty() {
            errors.push(FieldError::required(path.child("mountPath"), ""));
        } else if places.contains(&place) {
            errors.push(FieldError::invalid(
                path.child("mountPath"),
                place,
                "must be unique",
            ));
        }
        for part in [text(mount, "subPath"), text(mount, "subPathExpr")] {
            if part.starts_with('/') {
                errors.push(FieldError::invalid(
                    path.child("subPath"),
                    part,
                    "must be a relative path",
                ));
            } else if part.split('/').any(|p| p == "..") {
                errors.push(FieldError::invalid(
                    path.child("subPath"),
                    part,
                    "must not contain '..'",
                ));
            }
        }
        places.push(place);
    }
}

/// What may change in a Pod's spec.
const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks a change of a Pod.
pub(super) fn validate_update(pod: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for field in ["containers", "initContainers"] {
            for container in spec[field]
                .as_array_mut()
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                container.remove("image");
            }
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("activeDeadlineSeconds");
            spec.remove("tolerations");
        }
        spec
    };
    if fixed(pod) != fixed(old) {
        errors.push(FieldError::forbidden("spec", MUTABLE));
    }
    let (new, before) = (
        list(&pod["spec"], "tolerations"),
        list(&old["spec"], "tolerations"),
    );
    if before.iter().any(|toleration| !new.contains(toleration)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
}

fn check_name(name: &str, taken: &[&str], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if taken.contains(&name) {
        errors.push(FieldError::duplicate(path, name));
    } else {
        let problems = syntax::dns_label(name, Use::Name);
        errors.extend(
            problems
                .into_iter()
                .map(|problem| FieldError::invalid(path, name, problem)),
        );
    }
}

fn choice(
    value: &Value,
    field: &str,
    supported: &[&str],
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let given = text(value, field);
    if !given.is_empty() && !supported.contains(&given) {
        errors.push(FieldError::not_supported(
            path.child(field),
            given,
            supported,
        ));
    }
}
