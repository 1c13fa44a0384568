//! Answers that pass for good ones and are not.
//!
//! A proxy, a web server in the place of the store, or a defect of the store itself can answer with
//! status 200 and an error, a page for people, or a list that never comes to an end. Taken at their
//! word, such a bucket would be empty, or be listed for ever. So each answer that says 200 is
//! looked at before opendal believes it:
//!
//! ```text
//!   list ───► is it a list? does it go on without saying where, or where it just was?
//!   others ─► does it begin as an error does?
//! ```

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Method, Request, Response};
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport, Result};
use percent_encoding::percent_decode_str;

use crate::storage::Provider;

/// Longest error that is read to the end: servers' errors are shorter, and nothing of ours begins
/// like one.
const LONGEST_ERROR: usize = 64 << 10;
/// Most that is shown of an answer that nobody understands.
const SHOWN: usize = 120;

/// Whose language the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    S3,
    Gcs,
    Azure,
}

/// A transport whose answers are looked at.
#[derive(Clone, Debug)]
pub(super) struct Guard<T> {
    inner: T,
    dialect: Option<Dialect>,
}

impl<T> Guard<T> {
    pub(super) fn new(inner: T, provider: &Provider) -> Self {
        let dialect = match provider {
            Provider::S3(_) => Some(Dialect::S3),
            Provider::Gcs(_) => Some(Dialect::Gcs),
            Provider::Azure(_) => Some(Dialect::Azure),
            Provider::Local(_) => None,
        };
        Self { inner, dialect }
    }
}

impl<T: HttpTransport> HttpTransport for Guard<T> {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let asked = Asked::of(&request);
        let response = self.inner.fetch(request).await?;
        let Some(dialect) = self.dialect.filter(|_| response.status().is_success()) else {
            return Ok(response);
        };
        // What a request for credentials is answered is up to those who ask.
        let is_ours = match dialect {
            Dialect::S3 | Dialect::Azure => true,
            Dialect::Gcs => asked.path.contains("/storage/v1/"),
        };
        let (parts, body) = response.into_parts();
        let body = match asked.lists(dialect) {
            Some(token) => {
                let mut body = body;
                let content = body.to_buffer().await?.to_bytes();
                check_list(dialect, &content, token.as_deref())?;
                whole(content)
            }
            None if is_ours
                && parts.status == http::StatusCode::OK
                && asked.method != Method::HEAD =>
            {
                check_other(body)
            }
            None => body,
        };
        Ok(Response::from_parts(parts, body))
    }
}

/// What of a request the answer is judged by.
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
}

impl Asked {
    fn of(request: &Request<Buffer>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: query
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| {
                    (
                        key.to_owned(),
                        percent_decode_str(value).decode_utf8_lossy().into_owned(),
                    )
                })
                .collect(),
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// If a list is asked for: where it is to go on, if it is not to begin.
    fn lists(&self, dialect: Dialect) -> Option<Option<String>> {
        if self.method != Method::GET {
            return None;
        }
        let (is_list, token) = match dialect {
            Dialect::S3 => (self.get("list-type").is_some(), "continuation-token"),
            Dialect::Gcs => (self.path.ends_with("/o"), "pageToken"),
            Dialect::Azure => (self.get("comp") == Some("list"), "marker"),
        };
        let token = self.get(token).filter(|token| !token.is_empty());
        is_list.then(|| token.map(str::to_owned))
    }
}

fn whole(content: Bytes) -> HttpBody {
    let length = content.len() as u64;
    HttpBody::new(stream::iter([Ok(Buffer::from(content))]), Some(length))
}

/// Refuses what is no list, and one that never ends.
fn check_list(dialect: Dialect, content: &[u8], asked: Option<&str>) -> Result<()> {
    let text = String::from_utf8_lossy(content);
    let next = match dialect {
        Dialect::Gcs => {
            let Ok(list) = serde_json::from_str::<serde_json::Value>(&text) else {
                return Err(not_understood(&text));
            };
            if let Some(error) = list.get("error") {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    format!("the server answered with status 200 and an error: {error}"),
                ));
            }
            if !list.is_object() {
                return Err(not_understood(&text));
            }
            list.get("nextPageToken")
                .and_then(|token| token.as_str())
                .map(str::to_owned)
        }
        Dialect::S3 | Dialect::Azure => {
            let (expected, token) = if dialect == Dialect::S3 {
                ("ListBucketResult", "NextContinuationToken")
            } else {
                ("EnumerationResults", "NextMarker")
            };
            match root(&text) {
                Some("Error") => return Err(answered_error(&text)),
                Some(found) if found == expected => {}
                _ => return Err(not_understood(&text)),
            }
            let next = element(&text, token)
                .map(unescaped)
                .filter(|token| !token.is_empty());
            if dialect == Dialect::S3
                && next.is_none()
                && element(&text, "IsTruncated") == Some("true")
            {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    "the server reports that its list continues, but not where",
                ));
            }
            next
        }
    };
    if next.is_some() && next.as_deref() == asked {
        return Err(Error::new(
            ErrorKind::Unexpected,
            "the server reports that its list continues where it has just begun",
        ));
    }
    Ok(())
}

type Parts = Box<dyn Stream<Item = Result<Buffer>> + Send + Sync + Unpin>;

/// Passes an answer on, unless it begins as an error of S3 or Azure does. Nothing of ours does, and
/// neither do answers that have something else to say.
fn check_other(body: HttpBody) -> HttpBody {
    body.map_inner(|parts| Box::new(stream::once(Box::pin(looked_at(parts))).flatten()))
}

async fn looked_at(mut parts: Parts) -> Parts {
    let mut head = Vec::new();
    let mut ended = false;
    let begins_as_error = loop {
        match begins(&head, ended) {
            Begins::Unclear => {}
            Begins::Error => break true,
            Begins::Otherwise => break false,
        }
        match parts.next().await {
            Some(Ok(part)) => head.extend_from_slice(&part.to_bytes()),
            Some(Err(error)) => return failed(error),
            None => ended = true,
        }
    };
    while begins_as_error && head.len() < LONGEST_ERROR {
        match parts.next().await {
            Some(Ok(part)) => head.extend_from_slice(&part.to_bytes()),
            Some(Err(error)) => return failed(error),
            None => return failed(answered_error(&String::from_utf8_lossy(&head))),
        }
    }
    // An empty part would be taken for the end.
    let head = (!head.is_empty()).then(|| Ok(Buffer::from(head)));
    Box::new(stream::iter(head).chain(parts))
}

fn failed(error: Error) -> Parts {
    Box::new(stream::iter([Err(error)]))
}

enum Begins {
    Unclear,
    Error,
    Otherwise,
}

/// A declaration and the name of the first element are within so many bytes.
const BEGINNING: usize = 512;

fn begins(head: &[u8], is_all: bool) -> Begins {
    let start = head.trim_ascii_start();
    let is_markup =
        start.is_empty() || start.starts_with(b"<") || start.starts_with("\u{feff}".as_bytes());
    let text = String::from_utf8_lossy(&head[..head.len().min(BEGINNING)]);
    match root(&text) {
        Some("Error") => Begins::Error,
        None if is_markup && !is_all && head.len() < BEGINNING => Begins::Unclear,
        _ => Begins::Otherwise,
    }
}

/// Name of the first element of an XML document, without its prefix; none if the text is something
/// else.
fn root(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = if let Some(after) = rest.strip_prefix("<?") {
            after.split_once("?>")?.1.trim_start()
        } else if let Some(after) = rest.strip_prefix("<!--") {
            after.split_once("-->")?.1.trim_start()
        } else {
            break;
        };
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|letter: char| letter.is_whitespace() || matches!(letter, '>' | '/'))?;
    let name = &name[..end];
    Some(name.rsplit_once(':').map_or(name, |(_, name)| name))
}

/// Text of the first element of a name. Text of others cannot look like one: it is escaped.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (found, _) = rest.split_once(&format!("</{name}>"))?;
    Some(found.trim())
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// An error that was answered with a status that says otherwise, as the error that it is.
fn answered_error(text: &str) -> Error {
    let code = element(text, "Code").unwrap_or_default();
    let message = element(text, "Message").map(unescaped).unwrap_or_default();
    let (kind, temporary) = match code {
        "NoSuchKey" | "BlobNotFound" => (ErrorKind::NotFound, false),
        "AccessDenied" | "AuthorizationFailure" | "AuthenticationFailed" => {
            (ErrorKind::PermissionDenied, false)
        }
        "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout" | "ServerBusy" => {
            (ErrorKind::Unexpected, true)
        }
        _ => (ErrorKind::Unexpected, false),
    };
    let error = Error::new(
        kind,
        format!("the server answered with status 200 and the error {code:?}: {message}"),
    );
    if temporary {
        error.set_temporary()
    } else {
        error
    }
}

fn not_understood(text: &str) -> Error {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(SHOWN).collect();
    let said = if shown.is_empty() {
        "an empty answer".to_owned()
    } else {
        format!("{shown:?}")
    };
    Error::new(
        ErrorKind::Unexpected,
        format!(
            "the answer is no list of this kind of storage, is the endpoint right? It is {said}"
        ),
    )
    .with_context(NO_STORE, "true")
}

/// Context of an error: what answered is no store of that kind.
pub(in crate::storage) const NO_STORE: &str = "no_store";

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rest: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>demo</Name>{rest}</ListBucketResult>"
        )
    }

    #[test]
    fn a_list_that_ends_or_goes_on_elsewhere_is_believed() {
        for (content, asked) in [
            (list("<IsTruncated>false</IsTruncated>"), None),
            (list(""), Some("a")),
            (
                list(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>b&amp;c</NextContinuationToken>",
                ),
                Some("a"),
            ),
            (
                list("<Contents><Key>&lt;IsTruncated&gt;true&lt;/IsTruncated&gt;</Key></Contents>"),
                None,
            ),
        ] {
            check_list(Dialect::S3, content.as_bytes(), asked).unwrap();
        }
        check_list(Dialect::Gcs, b"{\"kind\": \"storage#objects\"}", None).unwrap();
        check_list(Dialect::Gcs, b"{\"nextPageToken\": \"b\"}", Some("a")).unwrap();
        let azure =
            "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><NextMarker/></EnumerationResults>";
        check_list(Dialect::Azure, azure.as_bytes(), None).unwrap();
    }

    #[test]
    fn a_list_that_never_ends_and_what_is_no_list_are_refused() {
        let goes_on = "<IsTruncated>true</IsTruncated>";
        let again = format!("{goes_on}<NextContinuationToken>a&amp;b</NextContinuationToken>");
        let cases: [(Dialect, String, Option<&str>, &str); 11] = [
            (Dialect::S3, list(goes_on), None, "not where"),
            (Dialect::S3, list(&again), Some("a&b"), "just begun"),
            (
                Dialect::S3,
                "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned(),
                None,
                "\"AccessDenied\": no",
            ),
            (
                Dialect::S3,
                "<!DOCTYPE html><html>".to_owned(),
                None,
                "is the endpoint right",
            ),
            (Dialect::S3, String::new(), None, "an empty answer"),
            (Dialect::S3, "{}".to_owned(), None, "is the endpoint right"),
            (
                Dialect::Gcs,
                "{\"error\": {\"code\": 401}}".to_owned(),
                None,
                "401",
            ),
            (
                Dialect::Gcs,
                "<html></html>".to_owned(),
                None,
                "is the endpoint right",
            ),
            (
                Dialect::Gcs,
                "{\"nextPageToken\": \"a\"}".to_owned(),
                Some("a"),
                "just begun",
            ),
            (
                Dialect::Azure,
                "<Error><Code>AuthenticationFailed</Code></Error>".to_owned(),
                None,
                "AuthenticationFailed",
            ),
            (
                Dialect::Azure,
                "<EnumerationResults><NextMarker>a</NextMarker></EnumerationResults>".to_owned(),
                Some("a"),
                "just begun",
            ),
        ];
        for (dialect, content, asked, word) in cases {
            let error = check_list(dialect, content.as_bytes(), asked).unwrap_err();
            assert!(error.message().contains(word), "{content}: {error}");
        }
    }

    #[tokio::test]
    async fn an_error_in_the_place_of_an_object_is_one_and_everything_else_arrives_unchanged() {
        let body = |parts: &[&str]| {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| Ok(Buffer::from(part.to_string())))
                .collect();
            HttpBody::new(stream::iter(parts), None)
        };
        for parts in [
            vec!["<Error><Code>InternalError</Code></Error>"],
            vec![
                "<",
                "?xml version='1.0'?>",
                "\n<Err",
                "or><Code>InternalError</Code>",
                "</Error>",
            ],
        ] {
            let error = check_other(body(&parts)).to_buffer().await.unwrap_err();
            assert!(
                error.is_temporary() && error.message().contains("InternalError"),
                "{error}"
            );
        }
        for parts in [
            vec!["apiVersion: v1\n", "kind: X"],
            vec![],
            vec!["<", "Errors/>", " more"],
            vec!["<?xml version='1.0'?>", "<CreateResult/>"],
            vec!["  ", "x"],
            vec!["<"],
        ] {
            let content = check_other(body(&parts))
                .to_buffer()
                .await
                .unwrap()
                .to_bytes();
            assert_eq!(content, parts.concat().as_bytes());
        }
    }

    #[test]
    fn what_is_asked_for_is_known_from_the_request() {
        let ask = |method: &str, url: &str| {
            let request = Request::builder().method(method).uri(url);
            Asked::of(&request.body(Buffer::new()).unwrap())
        };
        let list = ask(
            "GET",
            "http://x/demo?list-type=2&prefix=a%2F&continuation-token=a%2Bb%3D",
        );
        assert_eq!(list.lists(Dialect::S3), Some(Some("a+b=".to_owned())));
        assert_eq!(
            ask("GET", "http://x/demo?list-type=2").lists(Dialect::S3),
            Some(None)
        );
        assert_eq!(
            ask("PUT", "http://x/demo?list-type=2").lists(Dialect::S3),
            None
        );
        assert_eq!(ask("GET", "http://x/demo/key").lists(Dialect::S3), None);
        let gcs = ask("GET", "http://x/storage/v1/b/demo/o?pageToken=t");
        assert_eq!(gcs.lists(Dialect::Gcs), Some(Some("t".to_owned())));
        let azure = ask("GET", "http://x/demo?restype=container&comp=list&marker=");
        assert_eq!(azure.lists(Dialect::Azure), Some(None));
    }
}
