//! The YAML under `deploy/crds/` is what the types generate. `UPDATE=1 cargo test -p kubestash-api`
//! writes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

const HEADER: &str = "# Generated from crates/api. Change the types, then run: UPDATE=1 cargo test -p kubestash-api\n";

#[test]
fn the_crds_in_deploy_are_current() {
    compare(&deploy(""), kubestash_api::crds());
}

#[test]
fn the_foreign_crds_in_deploy_are_current() {
    compare(&deploy("foreign"), kubestash_api::foreign_crds());
}

fn deploy(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/crds")
        .join(folder)
}

fn compare(folder: &Path, crds: Vec<CustomResourceDefinition>) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut names = BTreeSet::new();
    for crd in crds {
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let path = folder.join(&name);
        let yaml = HEADER.to_owned()
            + &serde_saphyr::to_string(&serde_json::to_value(&crd).unwrap()).unwrap();
        if update {
            fs::create_dir_all(folder).unwrap();
            fs::write(&path, &yaml).unwrap();
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == yaml,
            "{name} is not what the types generate: run UPDATE=1 cargo test -p kubestash-api"
        );
        let read_back: CustomResourceDefinition = serde_saphyr::from_str(&checked_in).unwrap();
        assert_eq!(
            read_back, crd,
            "{name} does not read back as it was written"
        );
        names.insert(name);
    }
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    assert_eq!(there, names, "a definition of a kind that does not exist");
}
