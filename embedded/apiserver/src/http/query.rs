//! The query parameters of a request.

use kubestash_apimachinery::Status;

use crate::registry::Refused;

/// Names and values in order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the query of a URI.
    pub(super) fn parse(uri: &http::Uri) -> Result<Self, Refused> {
        axum::extract::Query::try_from_uri(uri)
            .map(|axum::extract::Query(pairs)| Self(pairs))
            .map_err(|error| Box::new(Status::bad_request(error.to_string())))
    }

    /// The first value of a parameter, empty if it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The value of a parameter, `None` if absent or empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean; Kubernetes takes `true`, `1` and an empty value of a given parameter for true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refused> {
        self.given(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Box::new(Status::bad_request(format!(
                        "strconv.ParseInt: parsing \"{value}\": invalid syntax"
                    )))
                })
            })
            .transpose()
    }
}
