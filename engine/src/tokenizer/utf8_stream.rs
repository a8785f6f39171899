//! Text that arrives in tokens, each perhaps with a part of a character only.

use alloc::string::String;
use alloc::vec::Vec;

/// Holds back the bytes of a character until all of them are there.
#[derive(Debug, Default)]
pub(super) struct Utf8Stream {
    held: Vec<u8>,
}

impl Utf8Stream {
    /// Add `bytes` and return the characters that are complete now; what can be no character becomes U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut done = 0;
        while let Err(error) = core::str::from_utf8(&self.held[done..]) {
            let valid = done + error.valid_up_to();
            text.extend(self.held[done..valid].utf8_chunks().map(|chunk| chunk.valid()));
            done = valid;
            // Without a length, the bytes may be the first of a character that goes on.
            let Some(invalid) = error.error_len() else { break };
            text.push(char::REPLACEMENT_CHARACTER);
            done += invalid;
        }
        if let Ok(rest) = core::str::from_utf8(&self.held[done..]) {
            text.push_str(rest);
            done = self.held.len();
        }
        self.held.drain(..done);
        text
    }

    /// Return what is left when nothing more comes: U+FFFD for a character that was never completed.
    pub(super) fn finish(&mut self) -> String {
        let incomplete = !self.held.is_empty();
        self.held.clear();
        String::from(if incomplete { "\u{fffd}" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_half_characters() {
        let text = "né 漢 😀!";
        for size in 1..5 {
            let mut stream = Utf8Stream::default();
            let out: String = text.as_bytes().chunks(size).map(|bytes| stream.push(bytes)).collect();
            assert_eq!(out + &stream.finish(), text);
        }
    }

    #[test]
    fn replaces_what_is_no_character() {
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.push(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(stream.push(b"\xe6\xbc"), "");
        assert_eq!(stream.push(b"c"), "\u{fffd}c");
        assert_eq!(stream.push(b"\xf0\x9f"), "");
        assert_eq!(stream.finish(), "\u{fffd}");
        assert_eq!(stream.finish(), "");
    }
}
