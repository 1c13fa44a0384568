//! Authentication and authorization: who asks, and may they.

pub(crate) mod escalation;
pub(crate) mod impersonation;
pub(crate) mod rbac;
pub(crate) mod token;
pub(crate) mod user;
