//! The backup engine: restic repositories in object stores and volumes, behind one narrow trait.
