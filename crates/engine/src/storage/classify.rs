//! From what a server said to what it means for the one who set the storage up.

use std::error::Error;

use opendal::ErrorKind;

use super::StorageError;
use super::error::Reply;
use super::remote::NO_STORE;
use crate::error::Cause;

/// Longest part of a server's reply that is worth showing.
const SHOWN: usize = 300;

/// The meaning of a failed request. `action` and `path` say what was tried.
pub(super) fn classify(
    action: &str,
    path: &str,
    place: &str,
    error: &opendal::Error,
) -> StorageError {
    let place = place.to_owned();
    let action_text = format!("{action} {path}").trim_end().to_owned();
    let source = || Some(Box::new(Reply(reply(error))) as Cause);
    // The status is only in the context, which holds headers too and therefore is never shown.
    let full = error.to_string();
    let has_status = |code: u16| full.contains(&format!("status: {code}"));
    let says = |words: &[&str]| words.iter().any(|word| full.contains(word));

    if is_unreachable(error) || says(&[&format!("{NO_STORE}: true")]) {
        return StorageError::EndpointUnreachable {
            place,
            hint: "",
            source: source(),
        };
    }
    if says(&["Client sent an HTTP request to an HTTPS server"]) {
        return StorageError::EndpointUnreachable {
            place,
            hint: "; the server speaks TLS only: write https:// in front of the endpoint",
            source: source(),
        };
    }
    if says(&["ExpiredToken", "TokenRefreshRequired", "expired or revoked"]) {
        return StorageError::CredentialsExpired {
            action: action_text,
            place,
            source: source(),
        };
    }
    if says(&["RequestTimeTooSkewed", "reasonable timeframe"]) {
        return StorageError::ClocksDiffer {
            action: action_text,
            place,
            source: source(),
        };
    }
    let is_elsewhere = says(&["PermanentRedirect", "IllegalLocationConstraint"])
        || has_status(301)
        || says(&["AuthorizationHeaderMalformed"]) && says(&["region"]);
    if is_elsewhere {
        return StorageError::WrongRegion {
            action: action_text,
            place,
            region: region(&full),
            source: source(),
        };
    }
    if says(&[
        "NoSuchBucket",
        "ContainerNotFound",
        "specified bucket does not exist",
        "ContainerBeingDeleted",
    ]) {
        return StorageError::BucketMissing {
            place,
            source: source(),
        };
    }
    if has_status(507)
        || says(&[
            "StorageFull",
            "QuotaExceeded",
            "quotaExceeded",
            "InsufficientStorage",
        ])
    {
        return StorageError::StorageFull {
            action: action_text,
            place,
            source: source(),
        };
    }
    let credentials_failed = matches!(
        error.message(),
        "loading credential to sign http request" | "signing http request"
    );
    match error.kind() {
        ErrorKind::NotFound => StorageError::NotFound {
            path: path.to_owned(),
            place,
        },
        ErrorKind::PermissionDenied => StorageError::AccessDenied {
            action: action_text,
            place,
            source: source(),
        },
        _ if credentials_failed || has_status(401) => StorageError::AccessDenied {
            action: action_text,
            place,
            source: source(),
        },
        ErrorKind::ConfigInvalid => StorageError::InvalidConfig {
            place,
            reason: format!("the server refused to {action_text}"),
            source: source(),
        },
        _ => StorageError::Failed {
            action: action_text,
            place,
            source: source(),
        },
    }
}

/// The region that a server names as the right one.
fn region(reply: &str) -> Option<String> {
    let after = |start: &str, end: char| {
        let (_, rest) = reply.split_once(start)?;
        rest.split_once(end).map(|(region, _)| region)
    };
    let named = after("expecting '", '\'').or_else(|| after("\"x-amz-bucket-region\": \"", '"'))?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    (!named.is_empty() && named.len() <= 32 && named.chars().all(is_name)).then(|| named.to_owned())
}

/// Whether no connection stood, no TLS session came up, or nothing was answered.
fn is_unreachable(error: &opendal::Error) -> bool {
    if error.message() == "operation timeout reached" {
        return true;
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = cause {
        if let Some(request) = current.downcast_ref::<reqwest::Error>() {
            return request.is_connect() || request.is_timeout() || request.is_request();
        }
        cause = current.source();
    }
    false
}

/// Message and causes of an error on one line, without context.
fn reply(error: &opendal::Error) -> String {
    let mut text = error.message().trim().to_owned();
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = cause {
        let next = current.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = current.source();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(error: opendal::Error) -> &'static str {
        classify("read", "config", "S3 bucket demo", &error).kind()
    }

    #[test]
    fn server_replies_become_the_kind_that_says_what_to_do() {
        let new = opendal::Error::new;
        let cases = [
            (new(ErrorKind::NotFound, "no such key"), "NotFound"),
            (
                new(ErrorKind::NotFound, "The specified bucket does not exist."),
                "BucketMissing",
            ),
            (
                new(
                    ErrorKind::ConfigInvalid,
                    "S3Error { code: \"NoSuchBucket\" }",
                ),
                "BucketMissing",
            ),
            (new(ErrorKind::PermissionDenied, "no"), "AccessDenied"),
            (
                new(ErrorKind::Unexpected, "x")
                    .with_context("response", "Parts { status: 401, version"),
                "AccessDenied",
            ),
            (
                new(ErrorKind::Unexpected, "x")
                    .with_context("response", "Parts { status: 507, version"),
                "StorageFull",
            ),
            (
                new(ErrorKind::Unexpected, "XMinioStorageFull"),
                "StorageFull",
            ),
            (
                new(
                    ErrorKind::Unexpected,
                    "loading credential to sign http request",
                ),
                "AccessDenied",
            ),
            (
                new(ErrorKind::Unexpected, "operation timeout reached"),
                "EndpointUnreachable",
            ),
            (new(ErrorKind::Unexpected, "boom"), "StorageFailed"),
            (
                new(
                    ErrorKind::PermissionDenied,
                    "S3Error { code: \"ExpiredToken\" }",
                ),
                "CredentialsExpired",
            ),
            (
                new(
                    ErrorKind::PermissionDenied,
                    "S3Error { code: \"RequestTimeTooSkewed\" }",
                ),
                "ClocksDiffer",
            ),
            (
                new(
                    ErrorKind::Unexpected,
                    "S3Error { code: \"PermanentRedirect\" }",
                ),
                "WrongRegion",
            ),
            (
                new(ErrorKind::Unexpected, "a page").with_context(NO_STORE, "true"),
                "EndpointUnreachable",
            ),
        ];
        for (error, kind) in cases {
            let shown = error.to_string();
            assert_eq!(kind_of(error), kind, "{shown}");
        }
    }

    #[test]
    fn the_right_region_is_named_if_the_server_tells_it_and_nothing_else_is() {
        for (reply, expected) in [
            (
                "the region 'us-east-1' is wrong; expecting 'eu-central-1'",
                Some("eu-central-1"),
            ),
            (
                "headers: {\"x-amz-bucket-region\": \"eu-west-1\", \"x\": \"y\"}",
                Some("eu-west-1"),
            ),
            ("expecting 'a b'", None),
            ("expecting ''", None),
            ("nothing", None),
        ] {
            assert_eq!(region(reply).as_deref(), expected, "{reply}");
        }
    }

    #[test]
    fn headers_and_addresses_of_a_reply_are_not_shown() {
        let error = opendal::Error::new(ErrorKind::Unexpected, "the\n server\tsaid no")
            .with_context("uri", "https://canary/?sig=canary")
            .with_context("response", "headers: canary");
        let classified = classify("write", "a/b", "GCS bucket demo", &error);
        let mut shown = classified.to_string();
        let mut cause = classified.source();
        while let Some(current) = cause {
            shown.push_str(&current.to_string());
            cause = current.source();
        }
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(
            shown,
            "failed to write a/b in GCS bucket demothe server said no"
        );
    }
}
