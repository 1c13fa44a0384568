//! What form of an answer a client takes: the object, a table, or only metadata; JSON or YAML.

use http::HeaderMap;
use kubestash_apimachinery::Status;

use crate::registry::Refused;

/// Media types on offer.
const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

/// What is sent of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All of it.
    Whole,
    /// A `meta.k8s.io` Table; the version asked for.
    Table(&'static str),
    /// A `meta.k8s.io` PartialObjectMetadata (or List); the version asked for.
    Metadata(&'static str),
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) shape: Shape,
    pub(super) yaml: bool,
}

impl Format {
    /// Plain JSON.
    pub(super) const JSON: Self = Self {
        shape: Shape::Whole,
        yaml: false,
    };
}

/// The first form in `Accept` that can be given.
pub(super) fn accept(headers: &HeaderMap, allow_shapes: bool) -> Result<Format, Refused> {
    let values: Vec<&str> = headers
        .get_all(http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .collect();
    if values.is_empty() {
        return Ok(Format::JSON);
    }
    values
        .iter()
        .find_map(|value| format(value, allow_shapes))
        .ok_or_else(|| Box::new(Status::not_acceptable(&OFFERED)))
}

fn format(value: &str, allow_shapes: bool) -> Option<Format> {
    let mut parts = value.split(';').map(str::trim);
    let yaml = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" | "application/*" | "*/*" => false,
        "application/yaml" => true,
        _ => return None,
    };
    let (mut kind, mut group, mut version) = ("", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    let version = match version {
        "v1" => "v1",
        "v1beta1" => "v1beta1",
        _ => "",
    };
    let shape = match kind {
        "" => Shape::Whole,
        _ if !allow_shapes || group != "meta.k8s.io" || version.is_empty() => return None,
        "Table" if !yaml => Shape::Table(version),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Shape::Metadata(version),
        _ => return None,
    };
    Some(Format { shape, yaml })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_given_is_chosen() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let shape = |shape| Some(Format { shape, yaml: false });
        for (accept_header, allow, expected) in [
            ("", true, shape(Shape::Whole)),
            ("*/*", true, shape(Shape::Whole)),
            ("application/json, */*", true, shape(Shape::Whole)),
            (table, true, shape(Shape::Table("v1"))),
            (table, false, shape(Shape::Whole)),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                true,
                shape(Shape::Whole),
            ),
            ("application/vnd.kubernetes.protobuf", true, None),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                true,
                shape(Shape::Metadata("v1")),
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                true,
                shape(Shape::Whole),
            ),
            (
                "application/yaml",
                true,
                Some(Format {
                    shape: Shape::Whole,
                    yaml: true,
                }),
            ),
            ("text/html", true, None),
        ] {
            let mut headers = HeaderMap::new();
            if !accept_header.is_empty() {
                headers.insert(http::header::ACCEPT, accept_header.parse().unwrap());
            }
            assert_eq!(accept(&headers, allow).ok(), expected, "{accept_header}");
        }
    }
}
