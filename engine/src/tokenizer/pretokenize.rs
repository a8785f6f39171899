//! Cutting a text into words before any merging: a merge never crosses a word's edge.
//!
//! GPT-2's pattern (encoder.py of openai/gpt-2), which most byte-level vocabularies build on:
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! `smollm` first cuts out every single numeric character (llama.cpp calls the pair of patterns so).

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// Return the words of `text` as SmolLM's tokenizer cuts it.
pub(super) fn smollm(text: &str) -> impl Iterator<Item = &str> {
    split_numbers(text).flat_map(gpt2)
}

/// Cut every numeric character out as a piece of its own.
fn split_numbers(text: &str) -> impl Iterator<Item = &str> {
    cut(text, |text| match leading(text, char::is_numeric) {
        0 => text.find(char::is_numeric).unwrap_or(text.len()),
        _ => text.chars().next().map_or(0, char::len_utf8),
    })
}

/// Return the words of `text` as GPT-2's pattern matches them.
fn gpt2(text: &str) -> impl Iterator<Item = &str> {
    cut(text, gpt2_word)
}

/// Cut `text` where `word_len` says how long its first word is.
fn cut(text: &str, word_len: impl Fn(&str) -> usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(word_len(rest));
        rest = after;
        Some(word)
    })
}

/// Return the length in bytes of the first match in `text`, which is not empty.
fn gpt2_word(text: &str) -> usize {
    if let Some(contraction) =
        ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].iter().find(|c| text.starts_with(**c))
    {
        return contraction.len();
    }
    // One space may lead a run of letters, of numbers, or of other marks.
    let lead = usize::from(text.starts_with(' '));
    for class in [is_letter, char::is_numeric, is_other] {
        let run = leading(&text[lead..], class);
        if run > 0 {
            return lead + run;
        }
    }
    // Only white space is left to match. Before a word its last character stays behind, to lead that word.
    let run = leading(text, char::is_whitespace);
    let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
    if run < text.len() && run > last { run - last } else { run }
}

/// Return how many bytes the leading characters of `class` take.
fn leading(text: &str, class: impl Fn(char) -> bool) -> usize {
    text.find(|c| !class(c)).unwrap_or(text.len())
}

/// `\p{L}`.
fn is_letter(c: char) -> bool {
    use Category::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    matches!(
        get_general_category(c),
        LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter
    )
}

/// `[^\s\p{L}\p{N}]`; `char::is_numeric` is `\p{N}`.
fn is_other(c: char) -> bool {
    !c.is_whitespace() && !is_letter(c) && !c.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn words(text: &str) -> Vec<&str> {
        smollm(text).collect()
    }

    #[test]
    fn a_space_leads_its_word_and_numbers_stand_alone() {
        assert_eq!(words("Hello, big world 42!"), ["Hello", ",", " big", " world", " ", "4", "2", "!"]);
    }

    #[test]
    fn the_last_space_of_a_run_leads_the_next_word() {
        assert_eq!(words("a   b\n\n c \n"), ["a", "  ", " b", "\n\n", " c", " \n"]);
        assert_eq!(words("x\t\ty"), ["x", "\t", "\t", "y"]);
    }

    #[test]
    fn contractions_are_lower_case() {
        assert_eq!(words("I'm he'll I'M"), ["I", "'m", " he", "'ll", " I", "'", "M"]);
    }

    #[test]
    fn marks_are_not_letters() {
        // A combining acute accent is a mark: it ends the run of letters.
        assert_eq!(words("e\u{301}a ½"), ["e", "\u{301}", "a", " ", "½"]);
    }

    #[test]
    fn nothing_is_lost() {
        let text = " \r\n  \u{a0}ÀΩ漢字 \u{2003}x9²Ⅷ '' 's\0\u{1f468}\u{200d}\u{1f469} ";
        assert_eq!(words(text).concat(), text);
    }
}
