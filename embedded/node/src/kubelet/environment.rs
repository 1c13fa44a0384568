//! The environment of a container, from what its pod says and the objects that it refers to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, Secret,
};

use super::expand::expand;
use super::sources::Sources;
use super::trouble::Trouble;
use crate::supervisor::SecretBytes;

/// The address that pods and node have.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// What every container gets, whatever its pod says.
#[derive(Clone)]
pub(crate) struct Defaults {
    /// `PATH`.
    pub(crate) search_path: String,
    /// Where the API server listens.
    pub(crate) api_host: String,
    /// On which port.
    pub(crate) api_port: u16,
}

/// An environment under construction: in order, later values replace earlier ones.
#[derive(Default)]
pub(crate) struct Environment {
    order: Vec<String>,
    values: BTreeMap<String, SecretBytes>,
}

impl Environment {
    fn set(&mut self, name: &str, value: impl Into<SecretBytes>) {
        if self.values.insert(name.to_owned(), value.into()).is_none() {
            self.order.push(name.to_owned());
        }
    }

    /// The value of a variable, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.values.get(name)?;
        std::str::from_utf8(value.expose()).ok().map(str::to_owned)
    }

    /// Name and value of each.
    pub(crate) fn into_pairs(mut self) -> Vec<(String, SecretBytes)> {
        let value = |name: String| self.values.remove(&name).map(|value| (name, value));
        self.order.into_iter().filter_map(value).collect()
    }
}

/// Builds the environment of `container`.
pub(crate) fn build(
    defaults: &Defaults,
    pod: &Pod,
    container: &Container,
    uid: u32,
    sources: &Sources,
) -> Result<Environment, Trouble> {
    let mut environment = Environment::default();
    environment.set("PATH", defaults.search_path.as_str());
    environment.set("HOME", if uid == 0 { "/root" } else { "/" });
    environment.set("HOSTNAME", pod.metadata.name.as_deref().unwrap_or_default());
    api_server(&mut environment, defaults);
    for from in container.env_from.iter().flatten() {
        add_all(&mut environment, from, sources)?;
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => value_from(pod, container, variable, from, sources)?,
            None => {
                let text = variable.value.as_deref().unwrap_or_default();
                Some(expand(text, |name| environment.text(name)).into())
            }
        };
        if let Some(value) = value {
            environment.set(&variable.name, value);
        }
    }
    Ok(environment)
}

/// The variables by which programs in a cluster find its API server.
fn api_server(environment: &mut Environment, defaults: &Defaults) {
    let (host, port) = (&defaults.api_host, defaults.api_port.to_string());
    environment.set("KUBERNETES_SERVICE_HOST", host.as_str());
    environment.set("KUBERNETES_SERVICE_PORT", port.as_str());
    environment.set("KUBERNETES_SERVICE_PORT_HTTPS", port.as_str());
    environment.set("KUBERNETES_PORT", format!("tcp://{host}:{port}"));
}

fn add_all(
    environment: &mut Environment,
    from: &EnvFromSource,
    sources: &Sources,
) -> Result<(), Trouble> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let mut add = |key: &str, value: SecretBytes| {
        let name = format!("{prefix}{key}");
        // Keys that no variable can be named by are left out, as everywhere in Kubernetes.
        if !name.is_empty() && !name.contains('=') && !name.contains('\0') {
            environment.set(&name, value);
        }
    };
    if let Some(reference) = &from.config_map_ref {
        let optional = reference.optional.unwrap_or_default();
        if let Some(map) = sources.config_map(&reference.name, optional)? {
            for (key, value) in map.data.iter().flatten() {
                add(key, value.as_str().into());
            }
        }
    }
    if let Some(reference) = &from.secret_ref {
        let optional = reference.optional.unwrap_or_default();
        if let Some(secret) = sources.secret(&reference.name, optional)? {
            for (key, value) in secret.data.iter().flatten() {
                add(key, value.0.as_slice().into());
            }
        }
    }
    Ok(())
}

fn value_from(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    from: &EnvVarSource,
    sources: &Sources,
) -> Result<Option<SecretBytes>, Trouble> {
    if let Some(field) = &from.field_ref {
        return pod_field(pod, field).map(|value| Some(value.into()));
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional.unwrap_or_default();
        let map = sources.config_map(&reference.name, optional)?;
        let value = map.and_then(|map| config_map_value(map, &reference.key));
        return present(
            value,
            optional,
            "ConfigMap",
            &reference.name,
            &reference.key,
        );
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional.unwrap_or_default();
        let secret = sources.secret(&reference.name, optional)?;
        let value = secret.and_then(|secret| secret_value(secret, &reference.key));
        return present(value, optional, "Secret", &reference.name, &reference.key);
    }
    Err(Trouble::config(format!(
        "environment variable {} of container {} has a source that this node does not know: use fieldRef, \
         configMapKeyRef or secretKeyRef",
        variable.name, container.name
    )))
}

fn present(
    value: Option<SecretBytes>,
    optional: bool,
    kind: &str,
    name: &str,
    key: &str,
) -> Result<Option<SecretBytes>, Trouble> {
    match value {
        None if !optional => Err(Trouble::config(format!(
            "couldn't find key {key} in {kind} {name:?}"
        ))),
        value => Ok(value),
    }
}

/// A value of a ConfigMap, text or binary.
pub(crate) fn config_map_value(map: &ConfigMap, key: &str) -> Option<SecretBytes> {
    let text = map
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .map(|text| text.as_str().into());
    text.or_else(|| {
        map.binary_data
            .as_ref()?
            .get(key)
            .map(|bytes| bytes.0.as_slice().into())
    })
}

/// A value of a Secret.
pub(crate) fn secret_value(secret: &Secret, key: &str) -> Option<SecretBytes> {
    secret
        .data
        .as_ref()?
        .get(key)
        .map(|bytes| bytes.0.as_slice().into())
}

/// The field of the pod that a `fieldRef` names.
pub(crate) fn pod_field(pod: &Pod, field: &ObjectFieldSelector) -> Result<String, Trouble> {
    let meta = &pod.metadata;
    let of_map = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let spec = |get: fn(&k8s_openapi::api::core::v1::PodSpec) -> Option<&String>| {
        pod.spec.as_ref().and_then(get).cloned().unwrap_or_default()
    };
    let path = field.field_path.as_str();
    if let Some((map, key)) = path
        .strip_suffix("']")
        .and_then(|path| path.split_once("['"))
    {
        match map {
            "metadata.labels" => return Ok(of_map(&meta.labels, key)),
            "metadata.annotations" => return Ok(of_map(&meta.annotations, key)),
            _ => {}
        }
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec(|spec| spec.node_name.as_ref()),
        "spec.serviceAccountName" => spec(|spec| spec.service_account_name.as_ref()),
        "status.hostIP" | "status.podIP" | "status.hostIPs" | "status.podIPs" => {
            LOOPBACK.to_owned()
        }
        _ => {
            return Err(Trouble::config(format!(
                "fieldRef {path:?} names no field that a pod can ask for"
            )));
        }
    })
}

/// All of a map, as the downward API writes it.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter()
        .flatten()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        let secret =
            json!({"metadata": {"name": "s"}, "data": {"user": "cm9vdA==", "bin": "/w=="}});
        let map = json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
        Sources::from_objects(
            vec![serde_json::from_value(secret).unwrap()],
            vec![serde_json::from_value(map).unwrap()],
        )
    }

    fn built(container: serde_json::Value) -> Result<BTreeMap<String, String>, Trouble> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "demo", "uid": "u", "labels": {"app": "x", "z": "\"q\""}},
            "spec": {"containers": [], "nodeName": "n", "serviceAccountName": "sa"},
        }))
        .unwrap();
        let container = serde_json::from_value(container).unwrap();
        let defaults = Defaults {
            search_path: "/bin".to_owned(),
            api_host: LOOPBACK.to_owned(),
            api_port: 6443,
        };
        let pairs = build(&defaults, &pod, &container, 0, &sources())?.into_pairs();
        let text = |bytes: SecretBytes| String::from_utf8_lossy(bytes.expose()).into_owned();
        Ok(pairs
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect())
    }

    fn value_of(variable: serde_json::Value) -> Result<Option<String>, Trouble> {
        let mut all =
            built(json!({"name": "c", "env": [{"name": "FIRST", "value": "1"}, variable]}))?;
        Ok(all.remove("X"))
    }

    #[test]
    fn values_come_from_every_kind_of_source() {
        for (from, expected) in [
            (json!({"name": "X", "value": "v"}), "v"),
            (json!({"name": "X"}), ""),
            (
                json!({"name": "X", "value": "$(FIRST)-$(NOBODY)-$(KUBERNETES_SERVICE_PORT)"}),
                "1-$(NOBODY)-6443",
            ),
            (
                json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "user"}}}),
                "root",
            ),
            (
                json!({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "b"}}}),
                "2",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
                "p",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
                "demo",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
                "u",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}),
                "x",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['no']"}}}),
                "",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}),
                "app=\"x\"\nz=\"\\\"q\\\"\"",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
                "n",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}}),
                "sa",
            ),
            (
                json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
                "127.0.0.1",
            ),
        ] {
            assert_eq!(
                value_of(from.clone()),
                Ok(Some(expected.to_owned())),
                "{from}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named_unless_it_is_optional() {
        for (from, expected) in [
            (
                json!({"secretKeyRef": {"name": "no", "key": "k"}}),
                "secret \"no\" not found",
            ),
            (
                json!({"secretKeyRef": {"name": "s", "key": "k"}}),
                "couldn't find key k in Secret \"s\"",
            ),
            (
                json!({"configMapKeyRef": {"name": "no", "key": "k"}}),
                "configmap \"no\" not found",
            ),
            (
                json!({"configMapKeyRef": {"name": "m", "key": "k"}}),
                "couldn't find key k in ConfigMap \"m\"",
            ),
            (
                json!({"fieldRef": {"fieldPath": "spec.x"}}),
                "fieldRef \"spec.x\" names no field that a pod can ask for",
            ),
        ] {
            let error = value_of(json!({"name": "X", "valueFrom": from})).unwrap_err();
            assert_eq!(
                (error.reason, error.message.as_str()),
                ("CreateContainerConfigError", expected)
            );
        }
        let optional = json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": true}}});
        assert_eq!(value_of(optional), Ok(None));
    }

    #[test]
    fn all_of_an_object_is_taken_with_its_prefix_and_single_variables_win() {
        let all = built(json!({"name": "c",
            "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}},
                        {"configMapRef": {"name": "no", "optional": true}}],
            "env": [{"name": "b", "value": "mine"}]}))
        .unwrap();
        assert_eq!(all["a"], "1");
        assert_eq!(all["b"], "mine");
        assert_eq!(all["S_user"], "root");
    }

    #[test]
    fn the_api_server_is_where_programs_in_a_cluster_look_for_it() {
        let all = built(json!({"name": "c"})).unwrap();
        assert_eq!(all["KUBERNETES_SERVICE_HOST"], "127.0.0.1");
        assert_eq!(all["KUBERNETES_SERVICE_PORT"], "6443");
        assert_eq!(all["HOSTNAME"], "p");
    }
}
