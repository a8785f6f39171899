//! Finding the texts that end an answer, wherever tokens cut them.

use alloc::string::String;

/// Holds back what may become one of the stop strings.
pub(super) struct StopStrings<'a> {
    stop: &'a [&'a str],
    held: String,
}

/// What became of some text.
#[derive(Debug, PartialEq)]
pub(super) enum Checked {
    /// This, perhaps with earlier text, cannot become a stop string any more.
    Free(String),
    /// There is a stop string: it and what follows it are the last so many bytes.
    Stop { n_cut_bytes: usize },
}

impl<'a> StopStrings<'a> {
    /// Return the search for the first of `stop`; empty ones are never found.
    pub(super) fn new(stop: &'a [&'a str]) -> Self {
        Self { stop, held: String::new() }
    }

    /// Add `text`, before which there is no stop string.
    pub(super) fn push(&mut self, text: &str) -> Checked {
        self.held.push_str(text);
        let held = self.held.as_bytes();
        let stop = || self.stop.iter().map(|stop| stop.as_bytes()).filter(|stop| !stop.is_empty());
        // The first that is complete, so that it does not matter how the text is cut.
        let found = (1..=held.len()).find_map(|end| {
            let complete = stop().filter(|stop| held[..end].ends_with(stop));
            complete.map(|stop| end - stop.len()).min()
        });
        // Where a text begins, and where it begins like another, is where a character begins.
        if let Some(at) = found {
            let n_cut_bytes = held.len() - at;
            self.held.truncate(at);
            return Checked::Stop { n_cut_bytes };
        }
        let begun = (0..held.len()).find(|&at| stop().any(|stop| stop.starts_with(&held[at..])));
        let rest = self.held.split_off(begun.unwrap_or(self.held.len()));
        Checked::Free(core::mem::replace(&mut self.held, rest))
    }

    /// Return the text that is still held back.
    pub(super) fn finish(&mut self) -> String {
        core::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return what is shown of `text` in pieces of `size` characters, and how many bytes were cut.
    fn shown(stop: &[&str], text: &str, size: usize) -> (String, Option<usize>) {
        let mut search = StopStrings::new(stop);
        let mut shown = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(size).map_or(rest.len(), |(at, _)| at);
            match search.push(&rest[..end]) {
                Checked::Free(text) => shown.push_str(&text),
                Checked::Stop { n_cut_bytes } => return (shown + &search.finish(), Some(n_cut_bytes)),
            }
            rest = &rest[end..];
        }
        (shown + &search.finish(), None)
    }

    #[test]
    fn shows_what_comes_before_a_stop_string_however_it_is_cut() {
        for size in 1..12 {
            assert_eq!(shown(&["User:"], "Hi UseUser: you", size).0, "Hi Use", "{size}");
            assert_eq!(shown(&["\n\n", "###"], "a\n#\n##\n\nb###", size).0, "a\n#\n##", "{size}");
            // The first that is complete counts, not the first that begins; of two, the longer.
            assert_eq!(shown(&["abcd", "bc"], "xabcd", size).0, "xa", "{size}");
            assert_eq!(shown(&["bc", "abc"], "xabcd", size).0, "x", "{size}");
            assert_eq!(shown(&["aab"], "aaab", size).0, "a", "{size}");
            assert_eq!(shown(&["日本"], "日日本語", size).0, "日", "{size}");
        }
    }

    #[test]
    fn counts_what_is_cut() {
        assert_eq!(shown(&["b"], "aabcd", 5), ("aa".into(), Some(3)));
        assert_eq!(shown(&["abc"], "xabc", 1), ("x".into(), Some(3)));
    }

    #[test]
    fn holds_back_no_more_than_what_may_become_one() {
        let mut search = StopStrings::new(&["stop"]);
        assert_eq!(search.push("a st"), Checked::Free("a ".into()));
        assert_eq!(search.push("o"), Checked::Free("".into()));
        assert_eq!(search.push("ne sto"), Checked::Free("stone ".into()));
        assert_eq!(search.finish(), "sto");
    }

    #[test]
    fn without_stop_strings_everything_is_shown() {
        for stop in [&[][..], &[""]] {
            assert_eq!(shown(stop, "stop here", 2), ("stop here".into(), None));
        }
    }
}
