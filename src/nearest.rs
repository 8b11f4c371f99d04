//! Nearest word: what a typo was meant to be, for error messages only.

/// The word that is nearest to `typed`, if at most a third of the letters differ. Case, `_` and `-`
/// do not count, so `maxMessages` finds `max_messages`.
pub fn nearest<'w>(typed: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = plain(typed);
    let far = (typed.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, &plain(word)), word))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The letters to compare; at most 64, because the time grows with the product of two lengths.
fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).take(64).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: [&str; 5] = ["port", "polling", "max_messages", "url", "timeout"];

    #[test]
    fn a_typo_finds_the_key_that_was_meant() {
        for (typed, meant) in [
            ("prot", "port"),
            ("polling_", "polling"),
            ("maxMessages", "max_messages"),
            ("max-mesages", "max_messages"),
            ("ulr", "url"),
            ("TIMEOUT", "timeout"),
        ] {
            assert_eq!(nearest(typed, KEYS), Some(meant), "{typed}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for typed in ["", "colour", "x", "locations"] {
            assert_eq!(nearest(typed, KEYS), None, "{typed}");
        }
    }
}
