//! The rules of the Kubernetes API as pure functions: schemas, patches, field ownership, selectors, tables.
