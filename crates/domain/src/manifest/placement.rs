//! Where each object of an inventory is restored, and under which name.

use kubestash_api::core::ManifestOptions;

use super::choice::Choice;
use super::inventory::usual_name;
use super::{DatabaseKind, Item, Part};

/// An object, and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The object as it was backed up.
    pub source: Item,
    /// The object as it will be; databases refer to this one also if it is not restored.
    pub target: Item,
    /// Whether it is restored.
    pub restored: bool,
}

/// Places all items of an inventory, whose first one is the database that was backed up.
#[must_use]
pub fn place(inventory: &[Item], options: &ManifestOptions) -> Vec<Placement> {
    let Some(root) = inventory.first() else {
        return Vec::new();
    };
    let choice = Choice::of(root.of, options);
    let root_target = Item {
        namespace: choice.namespace.unwrap_or_else(|| root.namespace.clone()),
        name: choice.db_name.unwrap_or_else(|| root.name.clone()),
        ..root.clone()
    };
    let database = |item: &Item| {
        if item == root {
            return root_target.clone();
        }
        let choice = Choice::of(item.of, options);
        // Beside its Druid it stays beside it; elsewhere it stays where it is. The same goes for
        // the usual name.
        let beside = item.namespace == root.namespace && item.part == Part::Database;
        let usual = item.name == usual_name(&root.name, item.of) && item.part == Part::Database;
        Item {
            namespace: choice.namespace.unwrap_or_else(|| match beside {
                true => root_target.namespace.clone(),
                false => item.namespace.clone(),
            }),
            name: choice.db_name.unwrap_or_else(|| match usual {
                true => usual_name(&root_target.name, item.of),
                false => item.name.clone(),
            }),
            ..item.clone()
        }
    };
    let databases: Vec<(&Item, Item)> = inventory
        .iter()
        .filter(|item| matches!(item.part, Part::Database | Part::External))
        .map(|item| (item, database(item)))
        .collect();
    let owner = |of: DatabaseKind| databases.iter().find(|(source, _)| source.of == of);
    inventory
        .iter()
        .map(|item| {
            let choice = Choice::of(item.of, options);
            let Some((source, target)) = owner(item.of) else {
                return Placement {
                    source: item.clone(),
                    target: item.clone(),
                    restored: false,
                };
            };
            let (name, restored) = match item.part {
                Part::Database => (target.name.clone(), choice.db),
                Part::External => (target.name.clone(), false),
                Part::Auth => {
                    let usual = (item.name == format!("{}-auth", source.name))
                        .then(|| format!("{}-auth", target.name));
                    (
                        choice
                            .auth_name
                            .or(usual)
                            .unwrap_or_else(|| item.name.clone()),
                        choice.auth,
                    )
                }
                Part::Config => (
                    choice.config_name.unwrap_or_else(|| item.name.clone()),
                    choice.config,
                ),
                Part::DeepStorage => (item.name.clone(), choice.deep_storage),
                Part::InitConfigMap | Part::InitSecret => (item.name.clone(), choice.init_script),
            };
            Placement {
                source: item.clone(),
                target: Item {
                    namespace: target.namespace.clone(),
                    name,
                    ..item.clone()
                },
                restored,
            }
        })
        .collect()
}
