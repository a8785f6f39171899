//! Cutting a text into words before any merging: a merge never crosses a word's edge.
//!
//! A vocabulary names the way it was trained with in `tokenizer.ggml.pre`; the names are llama.cpp's. Each is a pattern, or
//! several that cut one after the other, over Unicode's general categories:
//!
//! ```text
//! gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+      (encoder.py of openai/gpt-2)
//! smollm     \p{N}, then gpt-2
//! default    [\p{P}$+<=>^~|]+, then gpt-2, then \p{N}+, then [0-9][0-9][0-9]
//! llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
//!            \s*[\r\n]+|\s+(?!\S)|\s+                                    (tokenizer.json of Llama-3)
//! qwen2      llama-bpe with \p{N} for \p{N}{1,3}                          (tokenizer.json of Qwen2)
//! ```

use unicode_general_category::{GeneralCategory as Category, get_general_category};

use crate::Error;
use crate::format::gguf::{Gguf, readable};

/// A way to cut a text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    Default,
    Gpt2,
    SmolLm,
    LlamaBpe,
    Qwen2,
}

impl PreTokenizer {
    /// Return the one that `gguf` asks for; the default where it names none.
    ///
    /// # Errors
    /// When it is not known.
    pub(super) fn of(gguf: &Gguf<'_>) -> Result<Self, Error> {
        match gguf.str("tokenizer.ggml.pre")?.unwrap_or("default") {
            "default" => Ok(Self::Default),
            "gpt-2" | "phi-2" => Ok(Self::Gpt2),
            "smollm" | "starcoder" | "refact" | "command-r" => Ok(Self::SmolLm),
            "llama-bpe" | "llama3" | "llama-v3" => Ok(Self::LlamaBpe),
            "qwen2" | "deepseek-r1-qwen" => Ok(Self::Qwen2),
            other => Err(Error::Unsupported {
                what: "pre-tokenizer",
                found: readable(other.as_bytes()),
                known: "default, gpt-2, smollm, llama-bpe, qwen2",
            }),
        }
    }

    /// Return whether a word that is a token becomes that token, even where the merges lead elsewhere (`ignore_merges` in
    /// the tokenizer.json of Llama-3).
    pub(super) fn ignores_merges(self) -> bool {
        self == Self::LlamaBpe
    }

    /// Return whether a sequence begins with the begin token where the file does not say.
    pub(super) fn adds_bos(self) -> bool {
        self == Self::LlamaBpe
    }

    /// Call `word` with each word of `text`, in order; together they are the text.
    pub(super) fn for_each_word<'t>(self, text: &'t str, word: impl FnMut(&'t str)) {
        match self {
            Self::Default => cut(text, |text| run_or_gap(text, is_mark))
                .flat_map(|part| cut(part, gpt2_word))
                .flat_map(|part| cut(part, |text| run_or_gap(text, char::is_numeric)))
                .flat_map(|part| cut(part, three_digits_or_gap))
                .for_each(word),
            Self::Gpt2 => cut(text, gpt2_word).for_each(word),
            Self::SmolLm => {
                cut(text, number_or_gap).flat_map(|part| cut(part, gpt2_word)).for_each(word);
            }
            Self::LlamaBpe => cut(text, |text| llama_word(text, 3)).for_each(word),
            Self::Qwen2 => cut(text, |text| llama_word(text, 1)).for_each(word),
        }
    }
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

/// Return the length of the first numeric character, or of what comes before one.
fn number_or_gap(text: &str) -> usize {
    match leading(text, |c| !c.is_numeric()) {
        0 => text.chars().next().map_or(0, char::len_utf8),
        gap => gap,
    }
}

/// Return the length of the first characters that are in `class`, or of those before one that is.
fn run_or_gap(text: &str, class: impl Fn(char) -> bool) -> usize {
    match leading(text, &class) {
        0 => leading(text, |c| !class(c)),
        run => run,
    }
}

/// Return the length of the first three digits of ASCII, or of what comes before three.
fn three_digits_or_gap(text: &str) -> usize {
    let at = text.as_bytes().windows(3).position(|three| three.iter().all(u8::is_ascii_digit));
    match at {
        Some(0) => 3,
        Some(gap) => gap,
        None => text.len(),
    }
}

/// Return the length in bytes of the first match of `gpt-2` in `text`, which is not empty.
fn gpt2_word(text: &str) -> usize {
    if let Some(contraction) = CONTRACTIONS.iter().find(|c| text.starts_with(**c)) {
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
    space_word(text)
}

/// Return the length in bytes of the first match of `llama-bpe` in `text`, which is not empty; a number has at most
/// `max_digits` characters.
fn llama_word(text: &str, max_digits: usize) -> usize {
    if let Some(len) = contraction_of_any_case(text) {
        return len;
    }
    // One character that is no letter, number or end of a line may lead letters; only a space may lead other marks.
    let lead = leading_one(text, |c| !matches!(c, '\r' | '\n') && !is_letter(c) && !c.is_numeric());
    let letters = leading(&text[lead..], is_letter);
    if letters > 0 {
        return lead + letters;
    }
    let digits: usize =
        text.chars().take_while(|c| c.is_numeric()).take(max_digits).map(char::len_utf8).sum();
    if digits > 0 {
        return digits;
    }
    let lead = usize::from(text.starts_with(' '));
    let others = leading(&text[lead..], is_other);
    if others > 0 {
        let end = lead + others;
        return end + leading(&text[end..], |c| matches!(c, '\r' | '\n'));
    }
    // White space up to the last end of a line in it.
    let run = leading(text, char::is_whitespace);
    match text[..run].rfind(['\r', '\n']) {
        Some(last) => last + 1,
        None => space_word(text),
    }
}

/// Return the length of the white space that `text` begins with. Before a word its last character stays behind, to lead
/// that word.
fn space_word(text: &str) -> usize {
    let run = leading(text, char::is_whitespace);
    let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
    if run < text.len() && run > last { run - last } else { run }
}

/// What English contracts, in lower case.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// Return the length of the contraction that `text` begins with, in upper or lower case.
fn contraction_of_any_case(text: &str) -> Option<usize> {
    // U+017F, the long s, is the one character beyond ASCII that is the same as one of these letters in another case.
    let same = |c: char, lower: char| c.to_ascii_lowercase() == lower || (c, lower) == ('\u{17f}', 's');
    CONTRACTIONS.iter().find_map(|contraction| {
        let mut rest = text.chars();
        let is_there = contraction.chars().all(|lower| rest.next().is_some_and(|c| same(c, lower)));
        is_there.then(|| text.len() - rest.as_str().len())
    })
}

/// Return how many bytes the leading characters of `class` take.
fn leading(text: &str, class: impl Fn(char) -> bool) -> usize {
    text.find(|c| !class(c)).unwrap_or(text.len())
}

/// Return how many bytes the first character takes if it is in `class`, else 0.
fn leading_one(text: &str, class: impl Fn(char) -> bool) -> usize {
    text.chars().next().filter(|&c| class(c)).map_or(0, char::len_utf8)
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

/// `[\p{P}$+<=>^~|]`.
fn is_mark(c: char) -> bool {
    use Category::{
        ClosePunctuation, ConnectorPunctuation, DashPunctuation, FinalPunctuation, InitialPunctuation,
        OpenPunctuation, OtherPunctuation,
    };
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
        || matches!(
            get_general_category(c),
            ClosePunctuation
                | ConnectorPunctuation
                | DashPunctuation
                | FinalPunctuation
                | InitialPunctuation
                | OpenPunctuation
                | OtherPunctuation
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        PreTokenizer::SmolLm.for_each_word(text, |word| words.push(word));
        words
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
