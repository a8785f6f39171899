//! The values of settings as they are typed.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// What stands for no seed.
pub(super) const RANDOM: &str = "random";

/// What stands for no text at all.
pub(super) const NONE: &str = "none";

/// What stands for no drafts, and for prompt lookup.
pub(crate) const OFF: &str = "off";
pub(crate) const LOOKUP: &str = "lookup";

/// Return the number that `text` says, if it lies in `range`.
pub(crate) fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Return the texts that `text` says: several in quotes, one without them, or none; nothing where a quote is missing or a
/// text is empty.
pub(super) fn texts(text: &str) -> Option<Vec<String>> {
    if text == NONE {
        return Some(Vec::new());
    }
    if !text.starts_with('"') {
        let text = unescape(text)?;
        return Some(Vec::from([text]));
    }
    let mut texts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix('"')?;
        let end = end_of_quote(rest)?;
        texts.push(unescape(&rest[..end]).filter(|text| !text.is_empty())?);
        rest = rest[end + 1..].trim_start();
    }
    Some(texts)
}

/// Return `text` in quotes, as [`texts`] reads it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '"' | '\\' => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// Return where the quote is that ends `text`.
fn end_of_quote(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some(at),
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    None
}

/// Return `text` with what its backslashes stand for.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other @ ('"' | '\\') => other,
                _ => return None,
            },
            _ => character,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{quote, texts};

    #[test]
    fn reads_texts_with_and_without_quotes() {
        for (typed, expected) in [
            ("none", &[][..]),
            ("User:", &["User:"]),
            ("a \"b\"", &["a \"b\""]),
            (r#""\n\n" "a \"b\" \\""#, &["\n\n", "a \"b\" \\"]),
            (r#""a""b""#, &["a", "b"]),
        ] {
            assert_eq!(texts(typed).unwrap(), expected, "{typed}");
        }
        for typed in ["\"a", "\"a\" b", r#""\x""#, "a\\", "\"\""] {
            assert_eq!(texts(typed), None, "{typed}");
        }
    }

    #[test]
    fn writes_texts_as_they_are_read() {
        for text in ["a", "a\n\r\tb", "\"quoted\" \\n"] {
            assert_eq!(texts(&quote(text)).unwrap(), [text]);
        }
    }
}
