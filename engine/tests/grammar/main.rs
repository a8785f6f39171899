//! Grammars: their text, what they match, and what they do not survive.

mod json;
mod matching;
mod random;
mod text;

use engine::grammar::{Grammar, Matcher};

#[track_caller]
pub(crate) fn matcher(grammar: &str) -> Matcher {
    Matcher::new(Grammar::parse(grammar).unwrap_or_else(|error| panic!("{error}\n{grammar}")))
}

/// Return whether all of `text` matches, reading it byte by byte.
pub(crate) fn matches(matcher: &mut Matcher, text: impl AsRef<[u8]>) -> bool {
    matcher.restart();
    text.as_ref().iter().all(|&byte| matcher.push(&[byte]).unwrap()) && matcher.is_complete()
}

#[track_caller]
pub(crate) fn assert_matches(grammar: &str, accepted: &[&str], refused: &[&str]) {
    let mut matcher = matcher(grammar);
    for text in accepted {
        assert!(matches(&mut matcher, text), "{grammar} must match {text:?}");
    }
    for text in refused {
        assert!(!matches(&mut matcher, text), "{grammar} must not match {text:?}");
    }
}
