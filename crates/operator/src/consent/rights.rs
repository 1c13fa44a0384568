//! The rights in Kubernetes that a need takes: pure.

use super::Need;

/// One right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// The verb.
    pub verb: &'static str,
    /// API group of the resource.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The object; empty for all of the namespace.
    pub name: String,
}

impl Right {
    fn new(verb: &'static str, group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What has to be looked up to know the rights that a need takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The resource of the target's kind; none if the API server does not serve it.
    pub resource: Option<String>,
    /// Namespace and name of the Secrets that open what is used; none if they are not known, and
    /// then the right to read all Secrets of the namespace is asked for.
    pub secrets: Option<Vec<(String, String)>>,
}

const CATALOG: &str = "appcatalog.appscode.com";
const STORAGE: &str = "storage.kubestash.com";

/// What a user must be allowed to do to be the one who allows `need`.
#[must_use]
pub(crate) fn of(need: &Need, facts: &Facts) -> Vec<Right> {
    let secrets = |namespace: &str| -> Vec<Right> {
        match &facts.secrets {
            Some(known) => known
                .iter()
                .map(|(namespace, name)| Right::new("get", "", "secrets", namespace, name))
                .collect(),
            None => vec![Right::new("get", "", "secrets", namespace, "")],
        }
    };
    // Of a kind that nobody serves everything is asked for.
    let resource = facts.resource.as_deref().unwrap_or("*");
    match need {
        Need::ReadSecret { namespace, name } => {
            vec![Right::new("get", "", "secrets", namespace, name)]
        }
        Need::BackUp {
            group,
            namespace,
            name,
            ..
        } => {
            let mut rights = vec![
                Right::new("get", group, resource, namespace, name),
                Right::new("get", CATALOG, "appbindings", namespace, name),
            ];
            rights.extend(secrets(namespace));
            rights
        }
        Need::RestoreInto {
            group,
            namespace,
            name,
            ..
        } => {
            let mut rights = vec![Right::new("update", group, resource, namespace, name)];
            rights.extend(secrets(namespace));
            rights
        }
        Need::ReadData {
            namespace,
            repository,
            snapshot,
            own_password,
        } => {
            let mut rights = vec![
                Right::new("get", STORAGE, "repositories", namespace, repository),
                Right::new("get", STORAGE, "snapshots", namespace, snapshot),
            ];
            if !own_password {
                rights.extend(secrets(namespace));
            }
            rights
        }
        Need::Create {
            namespace,
            group,
            resource,
        } => vec![
            Right::new("get", group, resource, namespace, ""),
            Right::new("create", group, resource, namespace, ""),
        ],
        Need::Replace {
            namespace,
            group,
            resource,
        } => vec![
            Right::new("get", group, resource, namespace, ""),
            Right::new("update", group, resource, namespace, ""),
        ],
        Need::Configure { namespace } => vec![Right::new(
            "create",
            "core.kubestash.com",
            "backupconfigurations",
            namespace,
            "",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rights: &[Right]) -> Vec<String> {
        let word = |right: &Right| {
            let Right {
                verb,
                resource,
                namespace,
                name,
                ..
            } = right;
            format!("{verb} {resource} {namespace}/{name}")
        };
        rights.iter().map(word).collect()
    }

    #[test]
    fn a_need_takes_what_its_fulfilment_would_take() {
        let (group, kind) = ("kubedb.com".to_owned(), "MySQL".to_owned());
        let (namespace, name) = ("other".to_owned(), "m".to_owned());
        let facts = Facts {
            resource: Some("mysqls".to_owned()),
            secrets: Some(vec![("other".to_owned(), "m-auth".to_owned())]),
        };
        let back_up = Need::BackUp {
            group: group.clone(),
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        assert_eq!(
            text(&of(&back_up, &facts)),
            [
                "get mysqls other/m",
                "get appbindings other/m",
                "get secrets other/m-auth"
            ]
        );
        // What is not known takes the most that it could be.
        assert_eq!(
            text(&of(&back_up, &Facts::default())),
            [
                "get * other/m",
                "get appbindings other/m",
                "get secrets other/"
            ]
        );
        let restore = Need::RestoreInto {
            group,
            kind,
            namespace: namespace.clone(),
            name,
        };
        assert_eq!(
            text(&of(&restore, &facts)),
            ["update mysqls other/m", "get secrets other/m-auth"]
        );
        let data = |own_password| Need::ReadData {
            namespace: namespace.clone(),
            repository: "r".to_owned(),
            snapshot: String::new(),
            own_password,
        };
        assert_eq!(
            text(&of(&data(true), &Facts::default())),
            ["get repositories other/r", "get snapshots other/"]
        );
        assert_eq!(
            text(&of(&data(false), &Facts::default())),
            [
                "get repositories other/r",
                "get snapshots other/",
                "get secrets other/"
            ]
        );
        let replace = Need::Replace {
            namespace,
            group: String::new(),
            resource: "secrets".to_owned(),
        };
        assert_eq!(
            text(&of(&replace, &Facts::default())),
            ["get secrets other/", "update secrets other/"]
        );
    }
}
