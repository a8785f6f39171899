//! Any text as a grammar, and behind a zero a text that it may match: what is followed can always go on or is whole.

#![no_main]

use engine::grammar::{Grammar, Matcher};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (grammar, text) = input.split_once('\0').unwrap_or((input, ""));
    let Ok(grammar) = Grammar::parse(grammar) else { return };
    let mut matcher = Matcher::new(grammar);
    for byte in text.bytes() {
        match matcher.push(&[byte]) {
            Ok(true) => {}
            Ok(false) => {
                assert!(!matcher.is_complete());
                return;
            }
            Err(_) => return,
        }
        let follows = |byte| matcher.clone().push(&[byte]) != Ok(false);
        assert!(matcher.is_complete() || (0..=u8::MAX).any(follows));
    }
});
