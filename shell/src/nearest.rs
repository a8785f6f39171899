//! What a person may have meant by a word that is none of ours.

use alloc::vec::Vec;

/// Two slips of the finger; with more of them nearly every short word is near every other.
const MAX_DISTANCE: usize = 2;

/// Return the one of `words` that is nearest to `typed`: one that it begins, else one with few slips between them.
pub(crate) fn nearest<'w>(typed: &str, words: impl Iterator<Item = &'w str> + Clone) -> Option<&'w str> {
    if typed.is_empty() {
        return None;
    }
    let begun = words.clone().find(|word| word.starts_with(typed));
    begun.or_else(|| {
        let by_distance =
            words.map(|word| (distance(typed, word), word)).filter(|&(distance, _)| distance <= MAX_DISTANCE);
        by_distance.min_by_key(|&(distance, _)| distance).map(|(_, word)| word)
    })
}

/// Return the Levenshtein distance: how many characters to insert, remove or replace to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    // One row of the table at a time: `row[j]` is the distance from the part of `a` read so far to the first j of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        for (a, b, edits) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("hlep", "help", 2), ("é", "e", 1)]
        {
            assert_eq!(distance(a, b), edits, "{a} to {b}");
        }
    }

    #[test]
    fn prefers_a_word_begun_and_gives_up_on_strange_ones() {
        let words = ["help", "clear", "stats", "set", "exit"];
        let near = |typed| nearest(typed, words.into_iter());
        assert_eq!(near("st"), Some("stats"));
        assert_eq!(near("hlep"), Some("help"));
        assert_eq!(near("sets"), Some("set"));
        assert_eq!(near("frobnicate"), None);
        assert_eq!(near(""), None);
    }
}
