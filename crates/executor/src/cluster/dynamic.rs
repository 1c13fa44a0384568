//! Objects of kinds that are only known when they are read: manifests.

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;

use super::{Cluster, ClusterError, FIELD_MANAGER, Noun, send_until};

/// What came of making an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made, or would be.
    Made,
    /// One of that name exists.
    Exists,
}

impl Cluster {
    /// How a kind of `group` is served: in `version`, or without one in the most stable version
    /// there is.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn served(
        &self,
        group: &str,
        kind: &str,
        version: Option<&str>,
    ) -> Result<Option<ApiResource>, ClusterError> {
        let noun = Noun {
            group: group.into(),
            kind: "the API versions of".into(),
            plural: format!("the API versions of {group}").into(),
        };
        let groups = send_until(&noun, "list", "", "", || self.client.list_api_groups()).await?;
        let mut versions: Vec<String> = groups
            .groups
            .into_iter()
            .filter(|found| found.name == group)
            .flat_map(|found| found.versions)
            .map(|found| found.version)
            .filter(|found| version.is_none_or(|wanted| wanted == found))
            .collect();
        // A stable version's name is the shorter one: v1 before v1alpha2.
        versions.sort_by_key(String::len);
        for version in versions {
            let path = format!("{group}/{version}");
            let list = || self.client.list_api_group_resources(&path);
            let resources = send_until(&noun, "list", "", "", list).await?.resources;
            let found = resources
                .into_iter()
                .find(|found| found.kind == kind && !found.name.contains('/'));
            if let Some(found) = found {
                return Ok(Some(ApiResource {
                    group: group.to_owned(),
                    version,
                    api_version: path,
                    kind: kind.to_owned(),
                    plural: found.name,
                }));
            }
        }
        Ok(None)
    }

    /// Reads an object; none if there is no such.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn find_object(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let api = self.objects(resource, namespace);
        let noun = noun(resource);
        let found = send_until(&noun, "get", namespace, name, || api.get_opt(name));
        Ok(found.await?.map(|object| {
            let mut object = serde_json::to_value(object).unwrap_or_default();
            object["apiVersion"] = resource.api_version.clone().into();
            object["kind"] = resource.kind.clone().into();
            object
        }))
    }

    /// Makes an object, or with `dry_run` finds out whether it could be made.
    ///
    /// # Errors
    /// If the API server refuses or stays away.
    pub async fn create_object(
        &self,
        resource: &ApiResource,
        object: &Value,
        dry_run: bool,
    ) -> Result<Created, ClusterError> {
        let noun = noun(resource);
        let (namespace, name, typed) = typed("create", &noun, object)?;
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let api = self.objects(resource, namespace);
        let sent = send_until(&noun, "create", namespace, name, || {
            api.create(&params, &typed)
        });
        match sent.await {
            Ok(_) => Ok(Created::Made),
            Err(ClusterError::Request { source, .. }) if matches!(source.as_ref(), kube::Error::Api(status) if status.is_already_exists()) => {
                Ok(Created::Exists)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends an object in place of the one that it was made from, or with `dry_run` finds out
    /// whether that could be done.
    ///
    /// # Errors
    /// If the API server refuses or stays away, or the object has changed meanwhile.
    pub async fn replace_object(
        &self,
        resource: &ApiResource,
        object: &Value,
        dry_run: bool,
    ) -> Result<(), ClusterError> {
        let noun = noun(resource);
        let (namespace, name, typed) = typed("update", &noun, object)?;
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let api = self.objects(resource, namespace);
        let sent = send_until(&noun, "update", namespace, name, || {
            api.replace(name, &params, &typed)
        });
        sent.await.map(|_| ())
    }

    /// Merges a patch into an object.
    ///
    /// # Errors
    /// If the API server refuses or stays away, or the object does not exist.
    pub async fn merge_object(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<(), ClusterError> {
        let api = self.objects(resource, namespace);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let noun = noun(resource);
        let sent = send_until(&noun, "patch", namespace, name, || {
            api.patch(name, &params, &patch)
        });
        sent.await.map(|_| ())
    }

    fn objects(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }
}

/// Namespace and name of an object, and the object as it is sent.
fn typed<'a>(
    verb: &'static str,
    noun: &Noun<'_>,
    object: &'a Value,
) -> Result<(&'a str, &'a str, DynamicObject), ClusterError> {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    let typed = serde_json::from_value(object.clone()).map_err(|source| ClusterError::Request {
        verb,
        what: noun.what(namespace, name),
        source: Box::new(kube::Error::SerdeError(source)),
    })?;
    Ok((namespace, name, typed))
}

fn noun(resource: &ApiResource) -> Noun<'_> {
    Noun {
        group: resource.group.as_str().into(),
        kind: resource.kind.as_str().into(),
        plural: resource.plural.as_str().into(),
    }
}
