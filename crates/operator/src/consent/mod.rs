//! Consent: nobody reaches through the operator what he could not reach himself.
//!
//! ```text
//!   object ──references──► needs (pure) ─┬─ the author's own right   rights ─► SubjectAccessReview, once, at admission
//!                                        │                           admit  ─► kept in a signed annotation (grant)
//!                                        └─ the owner's consent      owner: an annotation on what is referred to
//!   at use: verdict (pure): needs − grants − consents = refusals
//! ```
//!
//! A need is a reference that leaves the namespace of its object: whoever may write the object need
//! not have any right there. Storages, retention policies, blueprints and hook templates are not
//! among them: their `usagePolicy` is their owner's consent.
//!
//! Invariants:
//! * What decides is a right of the author, or an annotation that only the owner of what is
//!   referred to can write. It is never an annotation or a status that the author of the reference
//!   can write: a grant carries a code that only the operator can compute, over the object's
//!   identity and exactly what was granted.
//! * Only references that are new are checked against the user who writes, so that whoever may only
//!   pause a configuration can do that; the operator's own account is never taken for an author.
//! * Every use checks again, without a user. An object that no webhook has seen has no grants.

pub(crate) mod admit;
mod ask;
pub(crate) mod check;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod need;
mod owner;
pub(crate) mod references;
pub(crate) mod rights;
pub(crate) mod verdict;

pub(crate) use ask::own_account;
pub(crate) use grant::{Grant, Key, Subject};
pub use key::KeyError;
pub(crate) use need::Need;
pub(crate) use references::Reference;
