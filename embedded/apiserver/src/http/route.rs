//! From method and path to what a request is about.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// A resource, one of its objects, or a subresource.
    Resource(ResourcePath),
    /// Anything else: health, version, discovery, OpenAPI.
    Path,
}

/// The parts of a resource's path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResourcePath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) resource: String,
    /// Empty for a collection.
    pub(super) name: String,
    /// Empty for the object itself.
    pub(super) subresource: String,
    /// The old form of watches, `/api/v1/watch/…`.
    pub(super) watch: bool,
}

/// Takes a path apart. Segments are percent-decoded; one that is not UTF-8 is no resource.
pub(super) fn parse(path: &str) -> Route {
    let Some(segments) = segments(path) else {
        return Route::Path;
    };
    let mut segments = segments.iter().map(String::as_str);
    let (group, version) = match segments.next() {
        Some("api") => ("", segments.next()),
        Some("apis") => match (segments.next(), segments.next()) {
            (Some(group), version) => (group, version),
            (None, _) => return Route::Path,
        },
        _ => return Route::Path,
    };
    let Some(version) = version else {
        return Route::Path;
    };
    let mut rest: Vec<&str> = segments.collect();
    let watch = rest.first() == Some(&"watch") && rest.len() > 1;
    if watch {
        rest.remove(0);
    }
    resource(group, version, watch, &rest)
}

fn resource(group: &str, version: &str, watch: bool, rest: &[&str]) -> Route {
    let (namespace, rest) = match rest {
        // A namespace itself, and its subresources.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            (Some((*namespace).to_owned()), rest)
        }
        _ => (None, rest),
    };
    let [resource, rest @ ..] = rest else {
        return Route::Path;
    };
    let mut rest = rest.iter().map(|segment| (*segment).to_owned());
    Route::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: (*resource).to_owned(),
        name: rest.next().unwrap_or_default(),
        subresource: rest.collect::<Vec<_>>().join("/"),
        watch,
    })
}

fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect()
}

fn decode(segment: &str) -> Option<String> {
    // A decoded slash would be taken for two segments by whoever reads the name.
    percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .filter(|text| !text.contains('/'))
        .map(Cow::into_owned)
}

/// The verb of a request on a resource, as rules and messages name it.
pub(super) fn verb(method: &Method, is_collection: bool, watch: bool) -> Option<&'static str> {
    Some(match *method {
        Method::GET | Method::HEAD if watch => "watch",
        Method::GET | Method::HEAD if is_collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_collection => "deletecollection",
        Method::DELETE => "delete",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_kubernetes_does() {
        let cases = [
            ("/api/v1/namespaces", "", "v1", None, "namespaces", "", ""),
            (
                "/api/v1/namespaces/demo",
                "",
                "v1",
                None,
                "namespaces",
                "demo",
                "",
            ),
            (
                "/api/v1/namespaces/demo/status",
                "",
                "v1",
                None,
                "namespaces",
                "demo",
                "status",
            ),
            (
                "/api/v1/namespaces/demo/finalize",
                "",
                "v1",
                None,
                "namespaces",
                "demo",
                "finalize",
            ),
            (
                "/api/v1/namespaces/demo/secrets",
                "",
                "v1",
                Some("demo"),
                "secrets",
                "",
                "",
            ),
            (
                "/api/v1/namespaces/demo/pods/p/log",
                "",
                "v1",
                Some("demo"),
                "pods",
                "p",
                "log",
            ),
            ("/api/v1/pods", "", "v1", None, "pods", "", ""),
            (
                "/apis/batch/v1/namespaces/demo/jobs/j",
                "batch",
                "v1",
                Some("demo"),
                "jobs",
                "j",
                "",
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa",
                "rbac.authorization.k8s.io",
                "v1",
                None,
                "clusterroles",
                "system:a",
                "",
            ),
        ];
        for (path, group, version, namespace, resource, name, subresource) in cases {
            let expected = Route::Resource(ResourcePath {
                group: group.to_owned(),
                version: version.to_owned(),
                namespace: namespace.map(str::to_owned),
                resource: resource.to_owned(),
                name: name.to_owned(),
                subresource: subresource.to_owned(),
                watch: false,
            });
            assert_eq!(parse(path), expected, "{path}");
        }
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/batch",
            "/apis/batch/v1",
            "/healthz",
            "/openapi/v3",
            "/api/v1/pods/%ff",
            "/api/v1/pods/a%2Fb",
        ] {
            assert_eq!(parse(path), Route::Path, "{path}");
        }
        assert!(matches!(
            parse("/api/v1/watch/pods"),
            Route::Resource(ResourcePath { watch: true, .. })
        ));
    }
}
