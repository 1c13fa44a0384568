//! What Kubernetes says of its own types beside their shape: list types, map types, merge keys,
//! constant defaults.
//!
//! The table holds facts of the public API (its OpenAPI document and documented defaults), nothing
//! else.

use Fact::{
    AtomicMap, Empty, GranularMap, Keyed, KeyedOnly, MergeBy, Number, RetainKeyed, Set, SetOnly,
    Text,
};
use serde_json::{Value, json};

use crate::schema::node::{ListType, Node, PatchStrategy};

const PREFIX: &str = "io.k8s.";

/// One fact about a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact {
    /// A list of objects told apart by these fields, merged by the first in a strategic merge
    /// patch.
    Keyed(&'static [&'static str]),
    /// The same, and patches may retain keys.
    RetainKeyed(&'static [&'static str]),
    /// A list of objects told apart by these fields, replaced by patches.
    KeyedOnly(&'static [&'static str]),
    /// A set of scalars, merged by patches.
    Set,
    /// A set of scalars, replaced by patches.
    SetOnly,
    /// A list owned as a whole, but merged by patches.
    MergeBy(&'static str),
    /// A map owned as a whole.
    AtomicMap,
    /// A map whose entries are owned one by one, though its type says otherwise.
    GranularMap,
    /// Default.
    Text(&'static str),
    /// Default.
    Number(i64),
    /// Default `{}`.
    Empty,
}

/// A fact and the field it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    fact: Fact,
}

const fn f(name: &'static str, fact: Fact) -> Field {
    Field { name, fact }
}

const TYPE: Fact = Keyed(&["type"]);
const NAME: Fact = Keyed(&["name"]);

/// Facts by definition, without the prefix `io.k8s.`.
pub(super) const TABLE: &[(&str, &[Field])] = &[
    (
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        &[f("finalizers", Set), f("ownerReferences", Keyed(&["uid"]))],
    ),
    (
        "api.admissionregistration.v1.MutatingWebhookConfiguration",
        &[f("webhooks", NAME)],
    ),
    (
        "api.admissionregistration.v1.MutatingWebhook",
        &[
            f("matchConditions", NAME),
            f("failurePolicy", Text("Fail")),
            f("matchPolicy", Text("Equivalent")),
            f("namespaceSelector", Empty),
            f("objectSelector", Empty),
            f("reinvocationPolicy", Text("Never")),
            f("timeoutSeconds", Number(10)),
        ],
    ),
    (
        "api.admissionregistration.v1.ValidatingWebhookConfiguration",
        &[f("webhooks", NAME)],
    ),
    (
        "api.admissionregistration.v1.ValidatingWebhook",
        &[
            f("matchConditions", NAME),
            f("failurePolicy", Text("Fail")),
            f("matchPolicy", Text("Equivalent")),
            f("namespaceSelector", Empty),
            f("objectSelector", Empty),
            f("timeoutSeconds", Number(10)),
        ],
    ),
    (
        "api.admissionregistration.v1.RuleWithOperations",
        &[f("scope", Text("*"))],
    ),
    (
        "api.admissionregistration.v1.ServiceReference",
        &[f("port", Number(443))],
    ),
    (
        "api.authentication.v1.TokenRequestSpec",
        &[f("expirationSeconds", Number(3600))],
    ),
    (
        "api.batch.v1.JobStatus",
        &[f("conditions", MergeBy("type"))],
    ),
    (
        "api.batch.v1.PodFailurePolicyOnExitCodesRequirement",
        &[f("values", SetOnly)],
    ),
    (
        "api.batch.v1.UncountedTerminatedPods",
        &[f("failed", SetOnly), f("succeeded", SetOnly)],
    ),
    (
        "api.core.v1.ConfigMapVolumeSource",
        &[f("defaultMode", Number(420))],
    ),
    (
        "api.core.v1.Container",
        &[
            f("env", NAME),
            f("ports", Keyed(&["containerPort", "protocol"])),
            f("resources", Empty),
            f("terminationMessagePath", Text("/dev/termination-log")),
            f("terminationMessagePolicy", Text("File")),
            f("volumeDevices", Keyed(&["devicePath"])),
            f("volumeMounts", Keyed(&["mountPath"])),
        ],
    ),
    ("api.core.v1.ContainerPort", &[f("protocol", Text("TCP"))]),
    (
        "api.core.v1.ContainerStatus",
        &[
            f("allocatedResourcesStatus", NAME),
            f("volumeMounts", Keyed(&["mountPath"])),
        ],
    ),
    (
        "api.core.v1.DownwardAPIVolumeSource",
        &[f("defaultMode", Number(420))],
    ),
    (
        "api.core.v1.EphemeralContainer",
        &[
            f("env", NAME),
            f("ports", Keyed(&["containerPort", "protocol"])),
            f("resources", Empty),
            f("terminationMessagePath", Text("/dev/termination-log")),
            f("terminationMessagePolicy", Text("File")),
            f("volumeDevices", Keyed(&["devicePath"])),
            f("volumeMounts", Keyed(&["mountPath"])),
        ],
    ),
    (
        "api.core.v1.HTTPGetAction",
        &[f("path", Text("/")), f("scheme", Text("HTTP"))],
    ),
    ("api.core.v1.HostPathVolumeSource", &[f("type", Text(""))]),
    (
        "api.core.v1.ISCSIVolumeSource",
        &[f("iscsiInterface", Text("default"))],
    ),
    (
        "api.core.v1.Namespace",
        &[f("spec", Empty), f("status", Empty)],
    ),
    (
        "api.core.v1.NamespaceStatus",
        &[f("conditions", TYPE), f("phase", Text("Active"))],
    ),
    ("api.core.v1.NodeSpec", &[f("podCIDRs", Set)]),
    (
        "api.core.v1.NodeStatus",
        &[f("addresses", TYPE), f("conditions", TYPE)],
    ),
    (
        "api.core.v1.ObjectFieldSelector",
        &[f("apiVersion", Text("v1"))],
    ),
    ("api.core.v1.PersistentVolume", &[f("status", Empty)]),
    (
        "api.core.v1.PersistentVolumeSpec",
        &[
            f("claimRef", GranularMap),
            f("persistentVolumeReclaimPolicy", Text("Retain")),
            f("volumeMode", Text("Filesystem")),
        ],
    ),
    (
        "api.core.v1.PersistentVolumeStatus",
        &[f("phase", Text("Pending"))],
    ),
    ("api.core.v1.PersistentVolumeClaim", &[f("status", Empty)]),
    (
        "api.core.v1.PersistentVolumeClaimSpec",
        &[f("resources", Empty), f("volumeMode", Text("Filesystem"))],
    ),
    (
        "api.core.v1.PersistentVolumeClaimStatus",
        &[f("conditions", TYPE), f("phase", Text("Pending"))],
    ),
    ("api.core.v1.Pod", &[f("status", Empty)]),
    (
        "api.core.v1.PodSpec",
        &[
            f("containers", NAME),
            f("dnsPolicy", Text("ClusterFirst")),
            f("ephemeralContainers", NAME),
            f("hostAliases", Keyed(&["ip"])),
            f("imagePullSecrets", NAME),
            f("initContainers", NAME),
            f("nodeSelector", AtomicMap),
            f("resourceClaims", RetainKeyed(&["name"])),
            f("restartPolicy", Text("Always")),
            f("schedulerName", Text("default-scheduler")),
            f("schedulingGates", NAME),
            f("securityContext", Empty),
            f("terminationGracePeriodSeconds", Number(30)),
            f(
                "topologySpreadConstraints",
                Keyed(&["topologyKey", "whenUnsatisfiable"]),
            ),
            f("volumes", RetainKeyed(&["name"])),
        ],
    ),
    (
        "api.core.v1.PodStatus",
        &[
            f("conditions", TYPE),
            f("hostIPs", MergeBy("ip")),
            f("phase", Text("Pending")),
            f("podIPs", Keyed(&["ip"])),
            f("resourceClaimStatuses", RetainKeyed(&["name"])),
        ],
    ),
    (
        "api.core.v1.Probe",
        &[
            f("failureThreshold", Number(3)),
            f("periodSeconds", Number(10)),
            f("successThreshold", Number(1)),
            f("timeoutSeconds", Number(1)),
        ],
    ),
    (
        "api.core.v1.ProjectedVolumeSource",
        &[f("defaultMode", Number(420))],
    ),
    (
        "api.core.v1.ResourceRequirements",
        &[f("claims", KeyedOnly(&["name"]))],
    ),
    (
        "api.core.v1.ResourceStatus",
        &[f("resources", KeyedOnly(&["resourceID"]))],
    ),
    ("api.core.v1.Secret", &[f("type", Text("Opaque"))]),
    (
        "api.core.v1.SecretVolumeSource",
        &[f("defaultMode", Number(420))],
    ),
    ("api.core.v1.Service", &[f("status", Empty)]),
    ("api.core.v1.ServiceAccount", &[f("secrets", NAME)]),
    (
        "api.core.v1.ServiceAccountTokenProjection",
        &[f("expirationSeconds", Number(3600))],
    ),
    ("api.core.v1.ServicePort", &[f("protocol", Text("TCP"))]),
    (
        "api.core.v1.ServiceSpec",
        &[
            f("ports", Keyed(&["port", "protocol"])),
            f("selector", AtomicMap),
            f("sessionAffinity", Text("None")),
            f("type", Text("ClusterIP")),
        ],
    ),
    (
        "api.core.v1.ServiceStatus",
        &[f("conditions", TYPE), f("loadBalancer", Empty)],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        &[f("conditions", KeyedOnly(&["type"]))],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        &[f("x-kubernetes-validations", Keyed(&["rule"]))],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference",
        &[f("port", Number(443))],
    ),
    ("api.batch.v1.Job", &[f("spec", Empty), f("status", Empty)]),
    (
        "api.batch.v1.PodFailurePolicyOnPodConditionsPattern",
        &[f("status", Text("True"))],
    ),
];

/// Types owned as a whole, without the prefix.
pub(super) const ATOMIC: &[&str] = &[
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ObjectReference",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.SecretReference",
    "api.core.v1.TypedLocalObjectReference",
    "api.rbac.v1.RoleRef",
    "api.rbac.v1.Subject",
    "apimachinery.pkg.apis.meta.v1.LabelSelector",
    "apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// The facts about the fields of a definition.
pub(super) fn fields(definition: &str) -> &'static [Field] {
    let Some(name) = definition.strip_prefix(PREFIX) else {
        return &[];
    };
    TABLE
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, fields)| *fields)
        .unwrap_or_default()
}

/// Whether the definition is a type owned as a whole.
pub(super) fn is_atomic(definition: &str) -> bool {
    definition
        .strip_prefix(PREFIX)
        .is_some_and(|name| ATOMIC.contains(&name))
}

impl Field {
    /// Applies the fact to the compiled node of the field.
    pub(crate) fn amend(&self, node: &mut Node) {
        let owned = |keys: &[&str]| ListType::Map(keys.iter().map(|k| (*k).to_string()).collect());
        let merged = |key: Option<&&str>, retain_keys| PatchStrategy {
            merge: true,
            retain_keys,
            merge_key: key.map(|k| (*k).to_string()),
        };
        match self.fact {
            Keyed(keys) => {
                (node.list_type, node.patch) = (owned(keys), merged(keys.first(), false))
            }
            RetainKeyed(keys) => {
                (node.list_type, node.patch) = (owned(keys), merged(keys.first(), true))
            }
            KeyedOnly(keys) => node.list_type = owned(keys),
            Set => (node.list_type, node.patch) = (ListType::Set, merged(None, false)),
            SetOnly => node.list_type = ListType::Set,
            MergeBy(key) => node.patch = merged(Some(&key), false),
            AtomicMap => node.atomic = true,
            GranularMap => node.atomic = false,
            Text(_) | Number(_) | Empty => node.default = self.default(),
        }
    }

    fn default(&self) -> Option<Value> {
        match self.fact {
            Text(text) => Some(json!(text)),
            Number(number) => Some(json!(number)),
            Empty => Some(json!({})),
            _ => None,
        }
    }
}

/// Writes the facts into the definition's OpenAPI form, as the published document has them.
pub(super) fn extend(definition: &str, schema: &mut Value) {
    if is_atomic(definition) {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for property in properties.values_mut() {
        if property["type"] == "array" {
            property["x-kubernetes-list-type"] = json!("atomic");
        }
    }
    for field in fields(definition) {
        let Some(property) = properties.get_mut(field.name) else {
            continue;
        };
        for (keyword, value) in field.extensions() {
            property[keyword] = value;
        }
    }
}

impl Field {
    fn extensions(&self) -> Vec<(&'static str, Value)> {
        const LIST_TYPE: &str = "x-kubernetes-list-type";
        const LIST_KEYS: &str = "x-kubernetes-list-map-keys";
        const MAP_TYPE: &str = "x-kubernetes-map-type";
        const STRATEGY: &str = "x-kubernetes-patch-strategy";
        const MERGE_KEY: &str = "x-kubernetes-patch-merge-key";
        match self.fact {
            Keyed(keys) | RetainKeyed(keys) => {
                let strategy = if matches!(self.fact, Keyed(_)) {
                    "merge"
                } else {
                    "merge,retainKeys"
                };
                vec![
                    (LIST_KEYS, json!(keys)),
                    (LIST_TYPE, json!("map")),
                    (MERGE_KEY, json!(keys.first())),
                    (STRATEGY, json!(strategy)),
                ]
            }
            KeyedOnly(keys) => vec![(LIST_KEYS, json!(keys)), (LIST_TYPE, json!("map"))],
            Set => vec![(LIST_TYPE, json!("set")), (STRATEGY, json!("merge"))],
            SetOnly => vec![(LIST_TYPE, json!("set"))],
            MergeBy(key) => vec![(MERGE_KEY, json!(key)), (STRATEGY, json!("merge"))],
            AtomicMap => vec![(MAP_TYPE, json!("atomic"))],
            GranularMap => vec![(MAP_TYPE, json!("granular"))],
            Text(_) | Number(_) | Empty => Vec::new(),
        }
    }
}
