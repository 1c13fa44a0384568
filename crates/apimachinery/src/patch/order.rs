//! The order of merged lists: what the patch mentions stands as the patch has it, what only the server has stands
//! where it stood between those.

use serde_json::Value;

/// What tells items apart: a merge key, or for scalars the item itself.
pub(super) struct Identity<'k> {
    key: Option<&'k str>,
}

impl<'k> Identity<'k> {
    pub(super) fn new(key: Option<&'k str>) -> Self {
        Self { key }
    }

    fn position(&self, list: &[Value], item: &Value) -> Option<usize> {
        list.iter().position(|other| self.same(other, item))
    }

    fn same(&self, a: &Value, b: &Value) -> bool {
        match self.key {
            Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
            None => a == b,
        }
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
    let (mut patched, mut kept): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|item| identity.position(wanted, item).is_some());
    patched.sort_by_key(|item| identity.position(wanted, item));
    kept.sort_by_key(|item| identity.position(server, item));
    let mut kept = kept.into_iter().peekable();
    let mut arranged = Vec::new();
    for item in patched {
        let place = identity.position(server, &item);
        while let Some(other) = kept.peek() {
            let stood_before = match (identity.position(server, other), place) {
                (Some(other), Some(place)) => other < place,
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
