//! The admission webhook: what no schema can check, because more than one object is needed.
//!
//! ```text
//!  API server ──AdmissionReview──► server ──► world (reads) ──► validation (pure)──► allowed, or why not
//!                                                          └──► defaults (pure), consent ──► JSON patch
//!  certificate: who the server is     registration: what the API server is told about it
//! ```
//!
//! Invariant: a rule never blocks a deletion, nor an update of an object that is being deleted, nor
//! an update that leaves `spec` as it was: what is stored must always be able to go, and to carry
//! its finalizers and labels. Only who asks for a new look at the references of an object
//! (`consent`) is told when they are refused. The rules are functions of the object and lists of
//! others, and are used again where the objects are used.

mod certificate;
mod defaults;
mod registration;
mod server;
mod world;

pub use certificate::CertificateError;
pub use server::AdmissionError;
pub(crate) use server::serve;
