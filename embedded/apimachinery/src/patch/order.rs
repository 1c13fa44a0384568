//! The order of merged lists: what the patch mentions stands as the patch has it, what only the
//! server has stands where it stood between those.

use std::collections::HashMap;

use serde_json::Value;

/// What tells items apart: a merge key, or for scalars the item itself.
pub(super) struct Identity<'k> {
    key: Option<&'k str>,
}

impl<'k> Identity<'k> {
    pub(super) fn new(key: Option<&'k str>) -> Self {
        Self { key }
    }

    /// What tells an item apart; without its key it is like no other.
    fn of<'v>(&self, item: &'v Value) -> Option<&'v Value> {
        match self.key {
            Some(key) => item.get(key),
            None => Some(item),
        }
    }

    fn same(&self, a: &Value, b: &Value) -> bool {
        self.of(a).is_some() && self.of(a) == self.of(b)
    }

    /// Where each item of a list stands first.
    fn positions<'v>(&self, list: &'v [Value]) -> HashMap<&'v Value, usize> {
        let mut positions = HashMap::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            if let Some(identity) = self.of(item) {
                positions.entry(identity).or_insert(index);
            }
        }
        positions
    }
}

/// Whether the items all occur in the wanted order.
pub(super) fn follows(items: &[&Value], wanted: &[Value], identity: &Identity<'_>) -> bool {
    let mut at = 0;
    items.iter().all(|item| {
        match wanted[at..]
            .iter()
            .position(|other| identity.same(other, item))
        {
            Some(offset) => {
                at += offset + 1;
                true
            }
            None => false,
        }
    })
}

/// Arranges merged items: `wanted` is the order of the patch, `server` the list as it was.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    identity: &Identity<'_>,
) -> Vec<Value> {
    let (wanted, server) = (identity.positions(wanted), identity.positions(server));
    let place =
        |places: &HashMap<&Value, usize>, item: &Value| places.get(identity.of(item)?).copied();
    let (mut patched, mut kept): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|item| place(&wanted, item).is_some());
    patched.sort_by_cached_key(|item| place(&wanted, item));
    kept.sort_by_cached_key(|item| place(&server, item));
    let mut kept = kept.into_iter().peekable();
    let mut arranged = Vec::new();
    for item in patched {
        let stands = place(&server, &item);
        while let Some(other) = kept.peek() {
            let stood_before = match (place(&server, other), stands) {
                (Some(other), Some(stands)) => other < stands,
                _ => false,
            };
            if !stood_before {
                break;
            }
            arranged.extend(kept.next());
        }
        arranged.push(item);
    }
    arranged.extend(kept);
    arranged
}
