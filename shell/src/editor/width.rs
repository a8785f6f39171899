//! How many columns a cluster takes on the screen.
//!
//! Terminals agree on single characters (Unicode's East Asian Width, as `wcwidth` has it). They do not on emoji of several:
//! some show the parts side by side, some join them; so the terminal is asked where the cursor stands after one.

use alloc::string::String;
use alloc::vec::Vec;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many answers are kept; a message has few emoji.
const MAX_MEASURED: usize = 64;

/// The widths that the terminal has told.
#[derive(Debug, Default)]
pub(super) struct Widths {
    measured: Vec<(String, usize)>,
}

impl Widths {
    /// Return how many columns `cluster` takes; before the terminal has told, the most that any does.
    pub(super) fn of(&self, cluster: &str) -> usize {
        match cluster.as_bytes() {
            [0x20..0x7f] => 1,
            _ if !terminals_disagree(cluster) => apart(cluster),
            _ => self.told(cluster).unwrap_or_else(|| at_most(cluster)),
        }
    }

    /// Return how many columns the clusters of `text` take.
    pub(super) fn of_all(&self, text: &str) -> usize {
        text.graphemes(true).map(|cluster| self.of(cluster)).sum()
    }

    /// Return whether only the terminal knows the width of `cluster`, and has not told it.
    pub(super) fn is_unsure(&self, cluster: &str) -> bool {
        !cluster.is_ascii() && terminals_disagree(cluster) && self.told(cluster).is_none()
    }

    /// Remember that the terminal shows `cluster` on `n_columns`.
    pub(super) fn learn(&mut self, cluster: String, n_columns: usize) {
        if self.measured.len() == MAX_MEASURED {
            self.measured.remove(0);
        }
        self.measured.push((cluster, n_columns));
    }

    fn told(&self, cluster: &str) -> Option<usize> {
        self.measured.iter().find(|(measured, _)| measured == cluster).map(|&(_, n_columns)| n_columns)
    }
}

/// Return the columns of the characters of `cluster` when each is shown by itself.
fn apart(cluster: &str) -> usize {
    cluster.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// Return the most columns that a terminal shows `cluster` on: its characters apart, and each that U+FE0F follows as a wide one.
fn at_most(cluster: &str) -> usize {
    apart(cluster) + cluster.matches('\u{fe0f}').count()
}

/// Return whether the characters of `cluster` take other columns together than apart.
fn terminals_disagree(cluster: &str) -> bool {
    cluster.width() != apart(cluster)
}

#[cfg(test)]
mod tests {
    use super::Widths;

    #[test]
    fn counts_as_terminals_do() {
        let widths = Widths::default();
        for (text, n_columns) in
            [("a", 1), ("é", 1), ("e\u{301}", 1), ("漢", 2), ("🦀", 2), ("ｱ", 1), ("a漢e\u{301}", 4), ("", 0)]
        {
            assert_eq!(widths.of_all(text), n_columns, "{text}");
            assert!(!widths.is_unsure(text), "{text}");
        }
    }

    #[test]
    fn joined_emoji_are_as_wide_as_the_terminal_says() {
        let mut widths = Widths::default();
        for (cluster, at_most) in
            [("👩\u{200d}🚀", 4), ("❤\u{fe0f}", 2), ("👍🏽", 4), ("🏳\u{fe0f}\u{200d}🌈", 4)]
        {
            assert!(widths.is_unsure(cluster), "{cluster}");
            assert_eq!(widths.of(cluster), at_most, "{cluster}");
            widths.learn(cluster.into(), at_most);
            assert!(!widths.is_unsure(cluster), "{cluster}");
        }
        let mut widths = Widths::default();
        widths.learn("👩\u{200d}🚀".into(), 2);
        assert_eq!(widths.of_all("a👩\u{200d}🚀"), 3);
    }
}
