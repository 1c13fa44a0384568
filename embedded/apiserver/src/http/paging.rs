//! `limit` and `continue`: a list in parts that are all of the same moment.
//!
//! The token says which version the list is of and after which object it goes on. As long as the
//! change log reaches back to that version, the rest is listed as it was then; after that the
//! answer is 410 with a token that goes on with the present, for clients that would rather have an
//! inconsistent list than begin again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubestash_apimachinery::Status;
use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::registry::Refused;
use crate::store::ObjectName;

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    v: String,
    /// The version the list is of; absent in a token that goes on with the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rv: Option<u64>,
    namespace: String,
    name: String,
}

impl Token {
    /// After an object of a list of a version.
    pub(super) fn after(object: &ObjectName, revision: Option<u64>) -> Self {
        Self {
            v: VERSION.to_owned(),
            rv: revision,
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        }
    }

    /// The object it goes on after.
    pub(super) fn start(&self) -> ObjectName {
        ObjectName {
            namespace: self.namespace.as_str().into(),
            name: self.name.as_str().into(),
        }
    }

    /// The same place in the present.
    pub(super) fn present(&self) -> Self {
        Self {
            rv: None,
            ..self.clone()
        }
    }

    /// As the client gets it.
    pub(super) fn encode(&self) -> String {
        // Strings and a number always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Refused> {
        let bad = |why: String| {
            Box::new(Status::bad_request(format!(
                "continue key is not valid: {why}"
            )))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| bad(error.to_string()))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if token.v != VERSION {
            return Err(bad(
                "server does not recognize this encoded version".to_owned()
            ));
        }
        Ok(token)
    }
}

/// What part of a list a request wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// At most so many objects.
    pub(super) limit: Option<usize>,
    /// Where it goes on.
    pub(super) token: Option<Token>,
}

impl Wanted {
    /// Reads `limit` and `continue`.
    pub(super) fn parse(query: &Query) -> Result<Self, Refused> {
        let limit = match query.number("limit")? {
            Some(limit) if limit < 0 => {
                return Err(Box::new(Status::bad_request(format!(
                    "limit: Invalid value: {limit}: must be greater than or equal to 0"
                ))));
            }
            limit => limit
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| *limit > 0),
        };
        let token = query.given("continue").map(Token::decode).transpose()?;
        if token.is_some() && !matches!(query.get("resourceVersion"), "" | "0") {
            return Err(Box::new(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            )));
        }
        // Any version will do: the whole list is at hand.
        let whole = token.is_none() && query.get("resourceVersion") == "0";
        Ok(Self {
            limit: limit.filter(|_| !whole),
            token,
        })
    }
}

/// What follows after a part of a list.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Where it goes on.
    pub(super) token: Option<String>,
    /// How many objects, where that is known.
    pub(super) count: Option<usize>,
}

/// 410 of a token whose version is gone.
pub(super) fn expired(token: &Token) -> Refused {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.continue_token = Some(token.present().encode());
    Box::new(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<Wanted, Refused> {
        let uri: http::Uri = format!("/api/v1/pods?{query}").parse().unwrap();
        Wanted::parse(&Query::parse(&uri).unwrap())
    }

    #[test]
    fn tokens_survive_the_way_to_the_client_and_back() {
        let name = ObjectName {
            namespace: "demo".into(),
            name: "a.b".into(),
        };
        let token = Token::after(&name, Some(7));
        let back = wanted(&format!("limit=2&continue={}", token.encode())).unwrap();
        assert_eq!(back.token.as_ref(), Some(&token));
        assert_eq!((back.limit, token.start()), (Some(2), name));
        assert_eq!(token.present().rv, None);
    }

    #[test]
    fn a_limit_of_nothing_is_none_and_nonsense_is_refused() {
        for (query, limit) in [
            ("", None),
            ("limit=0", None),
            ("limit=5", Some(5)),
            ("limit=5&resourceVersion=0", None),
        ] {
            assert_eq!(wanted(query).unwrap().limit, limit, "{query}");
        }
        let token = Token::after(
            &ObjectName {
                namespace: "".into(),
                name: "a".into(),
            },
            None,
        )
        .encode();
        for query in [
            "limit=-1",
            "limit=x",
            "continue=!!",
            "continue=e30",
            &format!("continue={token}&resourceVersion=5"),
        ] {
            assert_eq!(wanted(query).unwrap_err().code, 400, "{query}");
        }
    }
}
