//! Discovery and OpenAPI documents.
//!
//! Invariant: all documents are derived from the same [`ResourceInfo`]s that route requests.
//!
//! What clients ask for, and what the server must do:
//! - `/api`, `/apis` with an `Accept` that prefers aggregated discovery
//!   (`application/json;g=apidiscovery.k8s.io;…`) and falls back to plain JSON: answer plain
//!   `application/json`, and the client walks the group and version lists.
//! - `/openapi/v3` and its documents as JSON (`kubectl explain`, `kubectl apply` to find merge
//!   keys, and every `kubectl` that writes, to see whether the `PATCH` of a kind knows the
//!   parameter `fieldValidation`). The URLs in the index carry a hash; serve the document whatever
//!   hash is given, with an `ETag` if one likes.
//! - `/openapi/v2` with `Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf`:
//!   kubectl's discovery client takes nothing else there and answers "proto: cannot parse invalid
//!   wire-format data" to JSON; serve [`v2_protobuf`] as [`V2_PROTOBUF_CONTENT_TYPE`], which is
//!   *not* what was asked for: clients parse the answer's media type and fail on the `@`. With
//!   `application/json` (or `*/*`) serve [`v2`].

mod definitions;
mod discovery;
mod paths;
mod protobuf;
mod v2;
mod v3;

pub use discovery::{api_group, api_group_list, api_resource_list, api_versions};
pub use protobuf::v2_protobuf;
use serde_json::Value;
pub use v2::v2;
pub use v3::{v3, v3_index};

use crate::resource::ResourceInfo;

/// The media type of [`v2_protobuf`].
pub const V2_PROTOBUF_CONTENT_TYPE: &str =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A served resource, and for a custom one the schema its CRD gives
/// (`spec.versions[].schema.openAPIV3Schema`).
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// What is served.
    pub info: &'a ResourceInfo,
    /// Schema of a custom resource; `None` for a built-in kind.
    pub schema: Option<&'a Value>,
}
