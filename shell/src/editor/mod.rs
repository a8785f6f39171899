//! The line editor: a person's keys become a line.
//!
//! It knows keys ([`keys`]), the screen ([`view`]) and earlier lines ([`history`]), not what a line means.

mod history;
pub(crate) mod keys;
mod view;

use alloc::string::String;

use crate::console::Console;
use history::History;
use keys::{Key, KeyDecoder};
use view::{LineView, character_width};

/// A longer line is cut off: no context of a model that runs here holds more. Bounds what a pipe can make the editor do.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// BEL: what was pressed makes no sense here.
const BELL: &str = "\x07";

/// What came of asking for a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C, with or without something in the line.
    Interrupt { line_was_empty: bool },
    /// Ctrl-D on an empty line, or the end of the input.
    End,
}

/// Edits lines, one after the other, and remembers them.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    pub(crate) decoder: KeyDecoder,
    history: History,
    view: LineView,
    /// The line being written.
    line: String,
    /// Where the next character goes, as an index into `line`.
    cursor: usize,
}

impl LineEditor {
    /// Show `prompt` and return what is entered behind it. What follows stands in the next row.
    pub(crate) fn read_line(&mut self, console: &mut Console, prompt: &'static str) -> Entered {
        self.begin(console, prompt);
        let entered = loop {
            let Some(byte) = console.read() else {
                // A pipe's last line may lack its end.
                break if self.line.is_empty() { Entered::End } else { self.enter() };
            };
            if let Some(entered) = self.take(console, byte) {
                break entered;
            }
        };
        self.view.finish(console, if matches!(entered, Entered::Interrupt { .. }) { "^C" } else { "" });
        entered
    }

    /// Begin an empty line behind `prompt`.
    fn begin(&mut self, console: &mut Console, prompt: &'static str) {
        self.line.clear();
        self.cursor = 0;
        self.view.start(console, prompt);
    }

    /// Take in a typed byte, bring the screen up to date, and return what was entered if that is the end of it.
    fn take(&mut self, console: &mut Console, byte: u8) -> Option<Entered> {
        match self.decoder.feed(byte)? {
            Key::Enter => return Some(self.enter()),
            Key::Ctrl('c') => {
                self.history.leave();
                return Some(Entered::Interrupt { line_was_empty: self.line.is_empty() });
            }
            Key::Ctrl('d') if self.line.is_empty() => return Some(Entered::End),
            key => self.edit(console, key),
        }
        self.view.show(console, &self.line, self.cursor);
        None
    }

    /// Hand the line out and remember it.
    fn enter(&mut self) -> Entered {
        self.history.add(&self.line);
        Entered::Line(core::mem::take(&mut self.line))
    }

    /// Do what `key` asks for.
    fn edit(&mut self, console: &mut Console, key: Key) {
        if matches!(key, Key::Left | Key::Right | Key::Up | Key::Down | Key::Home | Key::End | Key::Delete) {
            self.view.ask_for_width(console);
        }
        match key {
            Key::Char(character) => self.insert(console, character),
            Key::Backspace => self.remove_before(self.left()),
            Key::Delete | Key::Ctrl('d') => self.remove_after(self.right()),
            Key::Left | Key::Ctrl('b') => self.cursor = self.left(),
            Key::Right | Key::Ctrl('f') => self.cursor = self.right(),
            Key::Home | Key::Ctrl('a') => self.cursor = 0,
            Key::End | Key::Ctrl('e') => self.cursor = self.line.len(),
            Key::Ctrl('k') => self.line.truncate(self.cursor),
            Key::Ctrl('u') => self.remove_before(0),
            Key::Ctrl('w') => self.remove_before(self.word_start()),
            Key::Up | Key::Ctrl('p') => {
                let older = self.history.older(&self.line);
                self.replace(console, older);
            }
            Key::Down | Key::Ctrl('n') => {
                let newer = self.history.newer();
                self.replace(console, newer);
            }
            Key::Ctrl('l') => self.view.clear_screen(console),
            Key::CursorColumn(column) => self.view.set_width(column),
            Key::Enter | Key::Ctrl(_) => {}
        }
    }

    fn insert(&mut self, console: &mut Console, character: char) {
        if self.line.len() + character.len_utf8() > MAX_LINE_BYTES {
            return console.control(BELL);
        }
        self.line.insert(self.cursor, character);
        self.cursor += character.len_utf8();
    }

    /// Remove from the byte `start` to the cursor.
    fn remove_before(&mut self, start: usize) {
        self.line.drain(start..self.cursor);
        self.cursor = start;
    }

    /// Remove from the cursor to the byte `end`.
    fn remove_after(&mut self, end: usize) {
        self.line.drain(self.cursor..end);
    }

    /// Put a line of the history in place of this one.
    fn replace(&mut self, console: &mut Console, line: Option<String>) {
        match line {
            Some(line) => {
                self.cursor = line.len();
                self.line = line;
            }
            None => console.control(BELL),
        }
    }

    /// Return the start of the character before the cursor; marks that combine belong to the character before them.
    fn left(&self) -> usize {
        let mut back = self.line[..self.cursor].char_indices().rev();
        back.find(|&(_, character)| character_width(character) > 0).map_or(0, |(index, _)| index)
    }

    /// Return the end of the character after the cursor, with the marks that combine with it.
    fn right(&self) -> usize {
        let mut ahead = self.line[self.cursor..].char_indices().skip(1);
        let next = ahead.find(|&(_, character)| character_width(character) > 0);
        next.map_or(self.line.len(), |(index, _)| self.cursor + index)
    }

    /// Return the start of the word before the cursor, as blanks divide words.
    fn word_start(&self) -> usize {
        let mut back = self.line[..self.cursor].trim_end().char_indices().rev();
        let blank = back.find(|(_, character)| character.is_whitespace());
        blank.map_or(0, |(index, blank)| index + blank.len_utf8())
    }
}

#[cfg(test)]
mod tests;
