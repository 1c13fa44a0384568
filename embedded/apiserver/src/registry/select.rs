//! Which objects a list, watch or deletecollection is about.

use kubestash_apimachinery::selector::{FieldSelector, LabelSelector};

use super::catalogue::Served;
use super::{Refused, refused, wire};
use crate::store::{Object, Store};

/// A namespace and both selectors.
#[derive(Debug, Default, Clone)]
pub(crate) struct Selection {
    pub(crate) namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Parses `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(
        served: &Served,
        namespace: Option<&str>,
        labels: &str,
        fields: &str,
    ) -> Result<Self, Refused> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(labels).map_err(refused)?,
            fields: FieldSelector::parse(fields, &served.selectable).map_err(refused)?,
        })
    }

    /// Restricts the selection to one object.
    pub(crate) fn named(mut self, name: &str) -> Result<Self, Refused> {
        if self.fields.is_empty() && !name.is_empty() {
            self.fields =
                FieldSelector::parse(&format!("metadata.name={name}"), &[]).map_err(refused)?;
        }
        Ok(self)
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, served: &Served, object: &Object) -> bool {
        if self
            .namespace
            .as_deref()
            .is_some_and(|namespace| namespace != object.key.namespace())
        {
            return false;
        }
        if !self.labels.is_empty() && !self.labels.matches(object.labels.as_ref()) {
            return false;
        }
        // Only a field selector needs the parsed object; the name is known without.
        if let Some(name) = self.fields.name()
            && name != object.key.name()
        {
            return false;
        }
        self.fields.is_empty() || self.fields.matches(&wire::read(served, object))
    }

    /// Whether it selects by nothing but the namespace.
    pub(crate) fn is_plain(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The selected objects and the revision they are of.
    pub(crate) fn list(&self, store: &Store, served: &Served) -> crate::store::Listing {
        let mut listing = store.list(&served.storage, self.namespace.as_deref());
        listing
            .objects
            .retain(|object| self.matches(served, object));
        listing
    }
}
