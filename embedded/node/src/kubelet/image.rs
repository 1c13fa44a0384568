//! Which images this node can run: those that mean our own binary, and no other.

/// Whether `image` is one of `own`. An entry without tag and digest stands for all of that name.
pub(crate) fn is_own(image: &str, own: &[String]) -> bool {
    own.iter()
        .any(|entry| entry == image || (repository(entry) == entry && repository(image) == entry))
}

/// The image without tag and digest; a port of the registry is no tag.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Why another image cannot be had, in words for the one who asked for it.
pub(crate) fn refusal(image: &str, own: &[String]) -> String {
    format!(
        "failed to pull image {image:?}: this node runs no containers, only its own program as image {}",
        own.iter()
            .map(|entry| format!("{entry:?}"))
            .collect::<Vec<_>>()
            .join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_images_are_recognised_with_and_without_tag() {
        let own = [
            "ghcr.io/kubestash-rs/kubestash".to_owned(),
            "localhost:5000/ks:v1".to_owned(),
        ];
        for (image, expected) in [
            ("ghcr.io/kubestash-rs/kubestash", true),
            ("ghcr.io/kubestash-rs/kubestash:v1.2", true),
            ("ghcr.io/kubestash-rs/kubestash@sha256:abc", true),
            ("ghcr.io/kubestash-rs/kubestash:v1@sha256:abc", true),
            ("ghcr.io/kubestash-rs/kubestash-x", false),
            ("kubestash", false),
            ("localhost:5000/ks:v1", true),
            ("localhost:5000/ks:v2", false),
            ("localhost:5000/ks", false),
            ("busybox", false),
            ("", false),
        ] {
            assert_eq!(is_own(image, &own), expected, "{image}");
        }
    }

    #[test]
    fn the_refusal_says_what_can_run_here() {
        assert_eq!(
            refusal("busybox", &["ks".to_owned()]),
            "failed to pull image \"busybox\": this node runs no containers, only its own program as image \"ks\""
        );
    }
}
