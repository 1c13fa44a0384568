//! Who makes a request.

/// Group of all that have authenticated.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Group of all that have not.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of a user that has not authenticated; only ever impersonated here.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// Group that may do everything.
pub(crate) const MASTERS: &str = "system:masters";

const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// An authenticated user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    /// Facts about the credential, such as the pod that a token is bound to.
    pub(crate) extra: Vec<(String, Vec<String>)>,
}

impl User {
    /// The bearer of the admin token.
    pub(crate) fn admin() -> Self {
        Self::of("kubernetes-admin", &[MASTERS, AUTHENTICATED])
    }

    /// A controller of this server.
    pub(crate) fn controller(name: &str) -> Self {
        Self::of(
            &format!("system:serviceaccount:kube-system:{name}"),
            &[MASTERS, "system:serviceaccounts", AUTHENTICATED],
        )
    }

    /// A ServiceAccount.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let mut user = Self::of(
            &service_account_user_name(namespace, name),
            &[
                "system:serviceaccounts",
                &format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED,
            ],
        );
        user.uid = uid.to_owned();
        user
    }

    fn of(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            uid: String::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            extra: Vec::new(),
        }
    }

    /// Namespace and name, if the name is that of a ServiceAccount.
    pub(crate) fn account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(ACCOUNT_PREFIX)?.split_once(':')
    }

    /// Whether no rule binds the user.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// The `userInfo` of admission and token reviews.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        let mut info = serde_json::json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
        }
        for (key, values) in &self.extra {
            info["extra"][key] = values.clone().into();
        }
        info
    }
}

/// `system:serviceaccount:<namespace>:<name>`.
pub(crate) fn service_account_user_name(namespace: &str, name: &str) -> String {
    format!("{ACCOUNT_PREFIX}{namespace}:{name}")
}
