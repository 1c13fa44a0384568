//! The known word that is spelled nearest to one that is not known, for messages.

/// The word of `known` that somebody who wrote `given` most likely meant; none if all are far from
/// it.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let most = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(&given, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be changed, added, left out or swapped with their neighbor to make one
/// word of the other.
pub fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant_and_another_word_finds_none() {
        let known = ["args", "databases", "enableCache", "waitTimeout"];
        let cases = [
            ("database", Some("databases")),
            ("Databases", Some("databases")),
            ("dtaabases", Some("databases")),
            ("arg", Some("args")),
            ("enable-cache", Some("enableCache")),
            ("waittimeout", Some("waitTimeout")),
            ("paths", None),
            ("x", None),
            ("", None),
        ];
        for (given, meant) in cases {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }
}
