//! The text being written and the place in it where the next character goes: what the keys do, without a screen.
//!
//! Steps are grapheme clusters (UAX #29): a letter with its accents, an emoji with what is joined to it. The keys are those of
//! Emacs and readline; a line is what lies between two line feeds.

use alloc::string::String;

use unicode_segmentation::UnicodeSegmentation;

/// A longer text is cut off: no context of a model that runs here holds more. Bounds what a pipe can make the editor do.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A text and a cursor in it.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// An index into `text`, at the start of a cluster.
    cursor: usize,
    /// What was cut out last.
    cut: String,
    /// Whether the next cut joins the last one: nothing else was done since.
    joins: bool,
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Return the cursor as an index into the text.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// Put `text` in place of this one, with the cursor before its byte `cursor`.
    pub(super) fn set(&mut self, text: &str, cursor: usize) {
        self.text.clear();
        self.text.push_str(text);
        self.cursor = cursor;
        self.end_cut();
    }

    /// Insert `added` and return whether there was room.
    pub(super) fn insert(&mut self, added: &str) -> bool {
        let fits = self.text.len() + added.len() <= MAX_BYTES;
        if fits {
            self.text.insert_str(self.cursor, added);
            self.cursor += added.len();
        }
        fits
    }

    /// Move the cursor to the byte `index`.
    pub(super) fn go(&mut self, index: usize) {
        self.cursor = index;
    }

    /// Remove what lies between the cursor and the byte `index`.
    pub(super) fn remove(&mut self, index: usize) {
        self.text.drain(self.cursor.min(index)..self.cursor.max(index));
        self.cursor = self.cursor.min(index);
    }

    /// Remove what lies between the cursor and the byte `index`, and keep it for [`Text::paste`], together with what was
    /// cut immediately before.
    pub(super) fn cut(&mut self, index: usize) {
        let piece = &self.text[self.cursor.min(index)..self.cursor.max(index)];
        if !self.joins {
            self.cut.clear();
        }
        let place = if index < self.cursor { 0 } else { self.cut.len() };
        self.cut.insert_str(place, piece);
        self.joins = true;
        self.remove(index);
    }

    /// Let the next cut begin anew.
    pub(super) fn end_cut(&mut self) {
        self.joins = false;
    }

    /// Insert what was cut last and return whether there was room.
    pub(super) fn paste(&mut self) -> bool {
        let cut = core::mem::take(&mut self.cut);
        let fits = self.insert(&cut);
        self.cut = cut;
        fits
    }

    /// Return where the cluster before the cursor starts.
    pub(super) fn left(&self) -> usize {
        self.before().next_back().map_or(0, |(start, _)| start)
    }

    /// Return where the cluster after the cursor ends.
    pub(super) fn right(&self) -> usize {
        self.after().next().map_or(self.text.len(), |(start, cluster)| start + cluster.len())
    }

    /// Return where the line of the cursor starts.
    pub(super) fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |index| index + 1)
    }

    /// Return where the line of the cursor ends.
    pub(super) fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |index| self.cursor + index)
    }

    /// Return where the word before the cursor starts; a word is letters and digits.
    pub(super) fn word_start(&self) -> usize {
        let gap = self.before().rev().skip_while(|(_, cluster)| !is_word(cluster));
        gap.take_while(|(_, cluster)| is_word(cluster)).last().map_or(0, |(start, _)| start)
    }

    /// Return where the word after the cursor ends.
    pub(super) fn word_end(&self) -> usize {
        let gap = self.after().skip_while(|(_, cluster)| !is_word(cluster));
        let last = gap.take_while(|(_, cluster)| is_word(cluster)).last();
        last.map_or(self.text.len(), |(start, cluster)| start + cluster.len())
    }

    /// Return where the word before the cursor starts, as blanks divide words.
    pub(super) fn blank_word_start(&self) -> usize {
        let gap = self.before().rev().skip_while(|(_, cluster)| is_blank(cluster));
        gap.take_while(|(_, cluster)| !is_blank(cluster)).last().map_or(0, |(start, _)| start)
    }

    /// Return the place one line up, as many clusters from its start as the cursor is now; `None` in the first line.
    pub(super) fn line_above(&self) -> Option<usize> {
        let start = self.line_start();
        let end = start.checked_sub(1)?;
        let above = self.text[..end].rfind('\n').map_or(0, |index| index + 1);
        Some(self.same_place(start, above, end))
    }

    /// Return the place one line down, as many clusters from its start as the cursor is now; `None` in the last line.
    pub(super) fn line_below(&self) -> Option<usize> {
        let below = self.line_end() + 1;
        let rest = self.text.get(below..)?;
        let end = below + rest.find('\n').unwrap_or(rest.len());
        Some(self.same_place(self.line_start(), below, end))
    }

    /// Return the place in the line `start..end` that is as far from its start as the cursor is from `cursor_line`.
    fn same_place(&self, cursor_line: usize, start: usize, end: usize) -> usize {
        let n_clusters = self.text[cursor_line..self.cursor].graphemes(true).count();
        let mut clusters = self.text[start..end].grapheme_indices(true).skip(n_clusters);
        clusters.next().map_or(end, |(index, _)| start + index)
    }

    fn before(&self) -> impl DoubleEndedIterator<Item = (usize, &str)> {
        self.text[..self.cursor].grapheme_indices(true)
    }

    fn after(&self) -> impl Iterator<Item = (usize, &str)> {
        let clusters = self.text[self.cursor..].grapheme_indices(true);
        clusters.map(|(index, cluster)| (self.cursor + index, cluster))
    }
}

fn is_word(cluster: &str) -> bool {
    cluster.starts_with(char::is_alphanumeric)
}

fn is_blank(cluster: &str) -> bool {
    cluster.starts_with(char::is_whitespace)
}
