use proptest::prelude::*;

use super::*;
use crate::layout::directory::{Relation, relation};

fn id(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// Every file that a repository in `directory` has.
fn layout(directory: &str) -> Vec<String> {
    let data = |rest: &str| join(&[directory, "repository/v1/frequent-backup/dump", rest]);
    vec![
        join(&[directory, "repository.yaml"]),
        join(&[directory, "snapshots/snap-1.yaml"]),
        data("config"),
        data(&format!("keys/{}", id(1))),
        data(&format!("index/{}", id(2))),
        data(&format!("snapshots/{}", id(3))),
        data(&format!("locks/{}", id(4))),
        data(&format!("data/05/{}", id(5))),
        data(&format!("data/{}", id(6))),
    ]
}

fn contents(paths: &[String], repositories: &[&str]) -> Contents {
    let mut contents = Contents::of(paths.iter().map(String::as_str));
    for directory in repositories {
        contents.add_repository(directory);
    }
    contents
}

#[test]
fn every_file_of_our_layout_is_ours_also_unfinished() {
    for directory in ["", "demo", "demo/sample-druid-2", "cfg/repository/v1"] {
        let paths = layout(directory);
        let contents = contents(&paths, &[directory]);
        for path in &paths {
            for path in [path.clone(), format!("{path}-tmp-0123456789abcdef")] {
                let owner = Owner::Repository(directory.to_owned());
                assert_eq!(contents.owner(&path), owner, "{path}");
            }
        }
    }
}

#[test]
fn what_only_looks_like_ours_is_foreign() {
    let mine = layout("demo");
    let mut paths = mine.clone();
    let foreign = [
        "photo.jpg".to_owned(),
        "metadata.yaml".to_owned(),
        "demo/readme.md".to_owned(),
        "demo/snapshots/readme.txt".to_owned(),
        "demo/snapshots/.yaml".to_owned(),
        "demo/snapshots/deeper/x.yaml".to_owned(),
        "demo/repository/notes".to_owned(),
        "demo/repository/v1/frequent-backup/dump/notes".to_owned(),
        "demo/repository/v1/frequent-backup/dump/data/notes".to_owned(),
        format!("demo/repository/v1/frequent-backup/dump/data/ff/{}", id(5)),
        format!(
            "demo/repository/v1/frequent-backup/dump/keys/{}",
            "A".repeat(64)
        ),
        format!("demo/repository/latest/frequent-backup/dump/keys/{}", id(1)),
        // A Helm chart, and a checkout of git.
        "charts/repository.yaml".to_owned(),
        "charts/snapshots/one.yaml".to_owned(),
        "work/repository/v1/project/.git/config".to_owned(),
        // Another restic repository, somewhere else.
        "restic/config".to_owned(),
        format!("restic/data/05/{}", id(5)),
    ];
    paths.extend(foreign.iter().cloned());
    let contents = contents(&paths, &["demo"]);
    for path in &foreign {
        assert_eq!(contents.owner(path), Owner::Foreign, "{path}");
    }
    for path in &mine {
        assert_eq!(contents.owner(path), Owner::Repository("demo".to_owned()));
    }
}

#[test]
fn data_shows_whose_the_files_beside_it_are_when_repository_yaml_is_broken_or_gone() {
    let paths = layout("demo");
    let contents = contents(&paths, &[]);
    for path in &paths {
        assert_eq!(
            contents.owner(path),
            Owner::Repository("demo".to_owned()),
            "{path}"
        );
    }
}

#[test]
fn another_storages_files_are_its_own() {
    let mut paths = layout("inner/demo");
    paths.push("inner/metadata.yaml".to_owned());
    paths.push("metadata.yaml".to_owned());
    let mut contents = contents(&paths, &["inner/demo"]);
    assert_eq!(contents.owner("metadata.yaml"), Owner::Foreign);
    contents.add_metadata("");
    contents.add_metadata("inner");
    assert_eq!(contents.owner("metadata.yaml"), Owner::Storage);
    for path in paths.iter().filter(|path| *path != "metadata.yaml") {
        let owner = Owner::OtherStorage("inner".to_owned());
        assert_eq!(contents.owner(path), owner, "{path}");
    }
}

#[test]
fn a_repository_below_anothers_folders_keeps_its_own_files() {
    // The second one's repository.yaml lies where the first one's Snapshot "repository" would.
    let directories = ["cfg", "cfg/snapshots", "cfg/repository/v1", "cfg/inner"];
    let paths: Vec<String> = directories.iter().flat_map(|at| layout(at)).collect();
    let contents = contents(&paths, &directories);
    for directory in directories {
        for path in layout(directory) {
            let owner = Owner::Repository(directory.to_owned());
            assert_eq!(contents.owner(&path), owner, "{path}");
        }
    }
}

#[test]
fn empty_folders_of_our_layout_may_go_and_no_others() {
    let mut contents = Contents::default();
    contents.add_repository("demo");
    contents.add_metadata("inner");
    contents.add_repository("inner/demo");
    for (path, ours) in [
        ("demo", true),
        ("demo/snapshots", true),
        ("demo/repository", true),
        ("demo/repository/v1", true),
        ("demo/repository/v1/s/dump/data/0a", true),
        ("demo/repository/v1/s/dump/locks", true),
        ("demo/repository/v1/s/dump/notes", false),
        ("demo/notes", false),
        ("lost+found", false),
        ("other", false),
        ("inner/demo/snapshots", false),
    ] {
        assert_eq!(contents.owner_of_directory(path).is_some(), ours, "{path}");
    }
}

#[test]
fn what_systems_leave_on_an_empty_disk_is_known() {
    for name in ["lost+found/", ".snapshot/", ".Trash-1000/", ".DS_Store"] {
        assert!(is_systems_own(name), "{name}");
    }
    for name in ["lost+found", "photos/", "metadata.yaml", "a.b/"] {
        assert!(!is_systems_own(name), "{name}");
    }
}

fn any_directory() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("repository".to_owned()),
        Just("snapshots".to_owned()),
        Just("v1".to_owned()),
        Just("data".to_owned()),
        Just("dump".to_owned()),
        "[ab]",
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    /// Whatever two directories are, also if one lies in the other's folders, removing what is one's leaves the other whole.
    #[test]
    fn no_file_belongs_to_two_repositories(left in any_directory(), right in any_directory()) {
        prop_assume!(relation(&left, &right) != Relation::Same);
        let (ours, theirs) = (layout(&left), layout(&right));
        let paths: Vec<String> = ours.iter().chain(&theirs).cloned().collect();
        let contents = contents(&paths, &[&left, &right]);
        for path in &ours {
            prop_assert_eq!(contents.owner(path), Owner::Repository(left.clone()), "{}", path);
        }
        for path in &theirs {
            prop_assert_eq!(contents.owner(path), Owner::Repository(right.clone()), "{}", path);
        }
    }

    /// A path without any of our words is never ours.
    #[test]
    fn a_foreign_path_is_never_ours(path in "[a-m]{1,6}(/[a-m]{1,6}){0,6}(\\.txt|\\.yaml)?", directory in "[x-z]{1,3}") {
        let paths: Vec<String> = layout(&directory).into_iter().chain([path.clone()]).collect();
        prop_assert_eq!(contents(&paths, &[&directory]).owner(&path), Owner::Foreign);
    }
}
