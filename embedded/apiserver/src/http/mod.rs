//! The HTTP side: who asks (401), what for (404, 405), may they (403), then the handler of the
//! verb.

mod body;
mod collection;
pub(crate) mod documents;
mod log;
mod negotiate;
mod paging;
mod protobuf;
mod query;
mod read;
mod respond;
mod reviews;
mod route;
mod token;
mod watch;
mod write;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use kubestash_apimachinery::decode::FieldValidation;
use kubestash_apimachinery::selector::FieldSelector;
use kubestash_apimachinery::{Status, managed_fields};
use query::Query;
use respond::Response;
use route::{ResourcePath, Route};

use crate::app::App;
use crate::auth::impersonation;
use crate::auth::rbac::Attributes;
use crate::auth::user::User;
use crate::registry::{Caller, Refused, Target, now};

/// The service of all paths.
pub(crate) fn router(app: Arc<App>) -> axum::Router {
    axum::Router::new().fallback(handle).with_state(app)
}

/// A request that has been routed, authenticated and authorized.
struct Call {
    app: Arc<App>,
    target: Target,
    verb: &'static str,
    user: User,
    query: Query,
    parts: Parts,
}

async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    match answer(app, parts, body).await {
        Ok(response) => response,
        Err(status) => {
            if status.code >= 500 {
                tracing::warn!(%method, path, code = status.code, message = status.message, "request failed");
            }
            respond::status(&status)
        }
    }
}

async fn answer(app: Arc<App>, parts: Parts, body: Body) -> Result<Response, Refused> {
    let path = parts.uri.path();
    if documents::is_public(path) {
        return documents::public(&app, &parts);
    }
    let user = authenticate(&app, &parts)?;
    let query = Query::parse(&parts.uri)?;
    match route::parse(path) {
        Route::Path => {
            authorize_path(&app, &user, &parts)?;
            documents::serve(&app, &parts)
        }
        Route::Resource(path) => {
            let call = route(app, path, user, query, parts)?;
            dispatch(call, body).await
        }
    }
}

fn authenticate(app: &App, parts: &Parts) -> Result<User, Refused> {
    parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| {
            app.tokens
                .authenticate(&app.store, token.trim(), &[], now())
        })
        .ok_or_else(|| Box::new(Status::unauthorized()))
        .and_then(|user| impersonation::act_as(&app.rbac, &app.store, user, &parts.headers))
}

fn authorize_path(app: &App, user: &User, parts: &Parts) -> Result<(), Refused> {
    let verb = parts.method.as_str().to_ascii_lowercase();
    let path = parts.uri.path();
    let attributes = Attributes {
        verb: &verb,
        path: Some(path),
        ..Attributes::default()
    };
    if app.rbac.allows(&app.store, user, &attributes) {
        return Ok(());
    }
    Err(Box::new(Status::rbac_denied_path(&user.name, &verb, path)))
}

/// Finds what a path names and checks that the user may.
fn route(
    app: Arc<App>,
    path: ResourcePath,
    user: User,
    query: Query,
    parts: Parts,
) -> Result<Call, Refused> {
    let watch = path.watch || query.flag("watch");
    let verb = route::verb(&parts.method, path.name.is_empty(), watch)
        .ok_or_else(|| Box::new(method_not_allowed()))?;
    authorize(&app, &path, verb, &user, &query)?;
    let catalogue = app.catalogue();
    let served = catalogue
        .find(&path.group, &path.version, &path.resource)
        .ok_or_else(|| Box::new(Status::no_such_path()))?;
    let info = &served.info;
    let misplaced = if info.namespaced {
        path.namespace.is_none() && !path.name.is_empty()
    } else {
        path.namespace.is_some()
    };
    if misplaced || (!path.subresource.is_empty() && !info.has_subresource(&path.subresource)) {
        return Err(Box::new(Status::no_such_path()));
    }
    let verbs = match info
        .subresources
        .iter()
        .find(|one| one.name == path.subresource)
    {
        Some(subresource) => &subresource.verbs,
        None => &info.verbs,
    };
    // A collection cannot be replaced, and an object cannot be made under a name of its own.
    let needs_name = matches!(verb, "update" | "patch");
    let needs_none = verb == "create" && path.subresource.is_empty();
    let is_collection = path.name.is_empty();
    if (needs_name && is_collection)
        || (needs_none && !is_collection)
        || !verbs.iter().any(|one| one == verb)
    {
        return Err(Box::new(Status::method_not_allowed(info, verb)));
    }
    let target = Target {
        served: served.clone(),
        namespace: path.namespace,
        name: path.name,
        subresource: path.subresource,
    };
    Ok(Call {
        app,
        target,
        verb,
        user,
        query,
        parts,
    })
}

fn method_not_allowed() -> Status {
    let mut status = Status::no_such_path();
    status.code = 405;
    status.reason = "MethodNotAllowed";
    status.message = "the server does not allow this method on the requested resource".to_owned();
    status
}

fn authorize(
    app: &App,
    path: &ResourcePath,
    verb: &str,
    user: &User,
    query: &Query,
) -> Result<(), Refused> {
    let resource = match path.subresource.as_str() {
        "" => path.resource.clone(),
        subresource => format!("{}/{subresource}", path.resource),
    };
    // A list or watch of one name is allowed by a rule for that name.
    let selected = FieldSelector::parse(query.get("fieldSelector"), &[]).ok();
    let name = match path.name.as_str() {
        "" => selected
            .as_ref()
            .and_then(FieldSelector::name)
            .unwrap_or_default(),
        name => name,
    };
    // Requests on a namespace itself are decided within it.
    let namespace = match (&path.namespace, path.resource.as_str()) {
        (None, "namespaces") if path.group.is_empty() && !path.name.is_empty() => {
            Some(path.name.as_str())
        }
        (namespace, _) => namespace.as_deref(),
    };
    let attributes = Attributes {
        verb,
        group: &path.group,
        resource: &resource,
        namespace,
        name,
        path: None,
    };
    if app.rbac.allows(&app.store, user, &attributes) {
        return Ok(());
    }
    Err(Box::new(Status::rbac_denied(
        &user.name,
        verb,
        &path.group,
        &resource,
        &path.name,
        path.namespace.as_deref(),
    )))
}

async fn dispatch(call: Call, body: Body) -> Result<Response, Refused> {
    let info = call.target.info();
    match (
        info.plural.as_str(),
        call.target.subresource.as_str(),
        call.verb,
    ) {
        ("pods", "log", "get") if info.group.is_empty() => log::serve(call).await,
        ("serviceaccounts", "token", "create") if info.group.is_empty() => {
            token::create(call, body).await
        }
        _ if reviews::is_review(info) => reviews::create(call, body).await,
        (_, _, "get") => read::get(&call),
        (_, _, "list") => read::list(&call),
        (_, _, "watch") => watch::serve(call),
        (_, _, "create") => write::create(call, body).await,
        (_, _, "update") => write::update(call, body).await,
        (_, _, "patch") => write::patch(call, body).await,
        (_, _, "delete") => write::delete(call, body).await,
        (_, _, "deletecollection") => collection::delete(call, body).await,
        _ => Err(Box::new(method_not_allowed())),
    }
}

impl Call {
    /// The caller of a write.
    fn caller(&self) -> Result<Caller, Refused> {
        let validation = FieldValidation::parse(self.query.given("fieldValidation"))?;
        let user_agent = self
            .parts
            .headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let manager = match self.query.given("fieldManager") {
            Some(manager) => manager,
            None => managed_fields::default_manager(user_agent),
        };
        if manager.len() > 128 || manager.chars().any(|c| !(' '..='~').contains(&c)) {
            return Err(Box::new(Status::bad_request(
                "fieldManager must be at most 128 printable characters".to_owned(),
            )));
        }
        let dry_run = dry_run(self.query.all("dryRun"))?;
        Ok(Caller::new(
            self.user.clone(),
            manager.to_owned(),
            dry_run,
            validation,
        ))
    }
}

/// Whether `dryRun` asks for one; the only value there is, is `All`.
fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Refused> {
    let mut dry_run = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            return Err(Box::new(Status::bad_request(format!(
                "dryRun: Unsupported value: \"{value}\": supported values: \"All\""
            ))));
        }
        dry_run = true;
    }
    Ok(dry_run)
}
