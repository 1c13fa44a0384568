//! The examples: applying the folder is safe, and the pages name files that are there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The kinds of all documents in the YAML files of a folder, each with its file.
fn kinds(folder: &Path) -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut kinds = Vec::new();
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let text = fs::read_to_string(&file).unwrap();
        for document in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            kinds.push((file.clone(), object["kind"].as_str().unwrap().to_owned()));
        }
    }
    kinds
}

#[test]
fn applying_the_folder_restores_nothing() {
    let all = kinds(&root().join("examples"));
    assert!(all.len() > 10, "the folder is not found");
    for (file, kind) in all {
        assert_ne!(kind, "RestoreSession", "{file:?}: it belongs to restores/");
    }
    let restores = kinds(&root().join("examples/restores"));
    assert_eq!(restores.len(), 5);
    for (file, kind) in restores {
        assert_eq!(kind, "RestoreSession", "{file:?}");
    }
}

#[test]
fn the_pages_name_only_files_of_the_examples_that_are_there() {
    for page in [
        "examples/README.md",
        "docs/databases.md",
        "docs/disaster-recovery.md",
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let words = text.split(|c: char| c.is_whitespace() || "`|()[]<".contains(c));
        let named = words.map(|word| word.trim_end_matches(['.', ',', ':', ';']));
        for name in named.filter(|word| word.ends_with(".yaml") || word.ends_with(".sql")) {
            let name = name.trim_start_matches("examples/");
            // Files of a bucket and of a repository, which are no examples.
            let elsewhere = ["repository.yaml", "metadata.yaml", "dumpfile.sql"];
            if elsewhere.iter().any(|file| name.ends_with(file)) || name.contains("snapshots/") {
                continue;
            }
            let path = root().join("examples").join(name);
            assert!(path.is_file(), "{page} names {name}");
        }
    }
}
