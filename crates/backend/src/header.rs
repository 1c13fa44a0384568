//! What a YAML file says that it is, before anything else of it is believed.

use kubestash_api::config::BackendMeta;
use serde::Deserialize;

/// The group of `metadata.yaml`.
const CONFIG_GROUP: &str = "config.kubestash.com/";
/// The group of `repository.yaml`.
const STORAGE_GROUP: &str = "storage.kubestash.com/";

/// Whose a file is by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// That it is one of ours.
    Ours,
    /// That it is something else.
    Other,
    /// Nothing: it is empty, cut off, or no YAML.
    Nothing,
}

/// `apiVersion` and `kind`, as every file of Kubernetes has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
}

/// Whether the content of a `metadata.yaml` is ours.
pub(crate) fn of_metadata(content: &[u8]) -> Says {
    of(content, CONFIG_GROUP, BackendMeta::KIND)
}

/// Whether the content of a `repository.yaml` is ours.
pub(crate) fn of_repository(content: &[u8]) -> Says {
    of(content, STORAGE_GROUP, "Repository")
}

fn of(content: &[u8], group: &str, kind: &str) -> Says {
    let is_ours = |header: &Header| {
        let version = header.api_version.as_deref();
        version.is_some_and(|version| version.starts_with(group))
            && header.kind.as_deref() == Some(kind)
    };
    // A power cut leaves zeros where a file was being written.
    if content
        .iter()
        .all(|byte| *byte == 0 || byte.is_ascii_whitespace())
    {
        return Says::Nothing;
    }
    let text = String::from_utf8_lossy(content);
    match serde_saphyr::from_str::<Header>(&text) {
        Ok(header) if is_ours(&header) => Says::Ours,
        Ok(_) => Says::Other,
        // One of ours that was damaged still has its first lines.
        Err(_) if text.contains(group) => Says::Ours,
        Err(_) => Says::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_ours_if_it_says_so_also_if_its_end_is_lost() {
        let metadata = "apiVersion: config.kubestash.com/v1alpha1\nkind: BackendMeta\nrepositories:\n- name: x\n";
        for (content, expected) in [
            (metadata, Says::Ours),
            (
                "kind: BackendMeta\napiVersion: config.kubestash.com/v1beta1",
                Says::Ours,
            ),
            (
                "apiVersion: config.kubestash.com/v1alpha1\nkind: BackendMeta\nx: [",
                Says::Ours,
            ),
            ("apiVersion: v1\nkind: ConfigMap\n", Says::Other),
            (
                "apiVersion: config.kubestash.com/v1alpha1\nkind: Other\n",
                Says::Other,
            ),
            ("title: photos\n", Says::Other),
            ("", Says::Nothing),
            ("\0\0\0", Says::Nothing),
            ("{", Says::Nothing),
        ] {
            assert_eq!(of_metadata(content.as_bytes()), expected, "{content:?}");
        }
        let repository = "apiVersion: storage.kubestash.com/v1alpha1\nkind: Repository\nspec: {}\n";
        assert_eq!(of_repository(repository.as_bytes()), Says::Ours);
        assert_eq!(of_repository(metadata.as_bytes()), Says::Other);
        assert_eq!(of_repository(b"apiVersion: v1\nkind: Secret"), Says::Other);
    }
}
