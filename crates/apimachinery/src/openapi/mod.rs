//! Discovery and OpenAPI documents.
//!
//! Invariant: all documents are derived from the same [`ResourceInfo`]s that route requests.

use crate::resource::ResourceInfo;
use serde_json::Value;

/// A served resource, and for a custom one the schema its CRD gives (`spec.versions[].schema.openAPIV3Schema`).
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// What is served.
    pub info: &'a ResourceInfo,
    /// Schema of a custom resource; `None` for a built-in kind.
    pub schema: Option<&'a Value>,
}

/// `/api`: APIVersions. `server_address` is `host:port`.
pub fn api_versions(server_address: &str) -> Value {
    let _ = server_address;
    todo!()
}

/// `/apis`: APIGroupList, without the core group. Groups in order of first appearance, versions best first.
pub fn api_group_list(resources: &[ResourceInfo]) -> Value {
    let _ = resources;
    todo!()
}

/// `/apis/{group}`: APIGroup; `None` if nothing of the group is served.
pub fn api_group(resources: &[ResourceInfo], group: &str) -> Option<Value> {
    let _ = (resources, group);
    todo!()
}

/// `/api/v1`, `/apis/{group}/{version}`: APIResourceList; `None` if nothing of it is served.
pub fn api_resource_list(resources: &[ResourceInfo], group: &str, version: &str) -> Option<Value> {
    let _ = (resources, group, version);
    todo!()
}

/// `/openapi/v3`: the index of the documents, each with the hash of its content in its URL.
pub fn v3_index(served: &[Served<'_>]) -> Value {
    let _ = served;
    todo!()
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/{group}/{version}`: one document; `None` if nothing of it is served.
pub fn v3(served: &[Served<'_>], group: &str, version: &str) -> Option<Value> {
    let _ = (served, group, version);
    todo!()
}

/// `/openapi/v2` as JSON.
pub fn v2(served: &[Served<'_>]) -> Value {
    let _ = served;
    todo!()
}

/// The same document as protobuf (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`), which is the only
/// form that kubectl's discovery client takes. Input is the result of [`v2`].
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    let _ = document;
    todo!()
}
