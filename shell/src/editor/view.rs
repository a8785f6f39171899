//! The line being edited as it stands on the screen, brought up to date with as few bytes as possible.
//!
//! A terminal at the other end of a serial line has not said what it is or how wide it is. Until it proves that it is a
//! VT100 by answering a cursor position request, only text, spaces and backspaces are sent, which every terminal
//! understands and which are right as long as the line fits into one row. From then on its width is known, and lines
//! that wrap are redrawn right with ECMA-48 sequences.

use alloc::format;
use alloc::string::String;
use core::iter::repeat_n;

use unicode_width::UnicodeWidthChar;

use crate::console::Console;

/// Save the cursor, move it as far right as the terminal is wide, ask for its position (DSR 6), restore it.
const ASK_FOR_WIDTH: &str = "\x1b7\x1b[999C\x1b[6n\x1b8";

/// Clear the screen and move to its top left corner.
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

/// Erase from the cursor to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";

/// A narrower answer to [`ASK_FOR_WIDTH`] is not believed.
const MIN_COLUMNS: usize = 16;

/// What is on the screen of a prompt and the line behind it.
#[derive(Debug, Default)]
pub(crate) struct LineView {
    prompt: &'static str,
    /// What is shown.
    line: String,
    /// Where the terminal's cursor is, as an index into `line`.
    cursor: usize,
    /// The terminal's width, once it is known.
    columns: Option<usize>,
    /// Whether the width was asked for on this line.
    asked: bool,
}

impl LineView {
    /// Show `prompt` and an empty line.
    pub(crate) fn start(&mut self, console: &mut Console, prompt: &'static str) {
        self.prompt = prompt;
        self.line.clear();
        self.cursor = 0;
        self.asked = false;
        console.print(prompt);
    }

    /// Ask for the terminal's width once per line, as windows change their size.
    ///
    /// Call it only when a key came as an escape sequence: a pipe or a dumb terminal sends none.
    pub(crate) fn ask_for_width(&mut self, console: &mut Console) {
        if !self.asked {
            self.asked = true;
            console.control(ASK_FOR_WIDTH);
        }
    }

    /// Take the terminal's answer.
    pub(crate) fn set_width(&mut self, columns: usize) {
        if columns >= MIN_COLUMNS {
            self.columns = Some(columns);
        }
    }

    /// Clear the screen; prompt and line move to its top.
    pub(crate) fn clear_screen(&mut self, console: &mut Console) {
        let line = core::mem::take(&mut self.line);
        let cursor = core::mem::take(&mut self.cursor);
        console.control(CLEAR_SCREEN);
        console.print(self.prompt);
        self.show(console, &line, cursor);
    }

    /// Bring the screen to `line` with the cursor before its byte `cursor`.
    pub(crate) fn show(&mut self, console: &mut Console, line: &str, cursor: usize) {
        let same = common_prefix(&self.line, line);
        if same < self.line.len() || same < line.len() {
            self.move_to(console, same);
            self.replace_tail(console, &line[same..]);
        }
        self.move_to(console, cursor);
    }

    /// Leave the line behind, with `mark` at its end: continue at the start of the row below.
    pub(crate) fn finish(&mut self, console: &mut Console, mark: &str) {
        self.move_to(console, self.line.len());
        console.print(mark);
        console.print("\n");
    }

    /// Show `tail` in place of all that stands behind the cursor, and leave the cursor at its end.
    fn replace_tail(&mut self, console: &mut Console, tail: &str) {
        let old_tail_width = width(&self.line[self.cursor..]);
        self.line.truncate(self.cursor);
        self.line.push_str(tail);
        self.cursor = self.line.len();
        match self.columns {
            Some(columns) => {
                if old_tail_width > 0 {
                    console.control(ERASE_BELOW);
                }
                console.print(tail);
                if self.position(self.cursor, columns).1 == 0 {
                    // A full row leaves the cursor hanging behind its last column; a space takes it to the next row.
                    console.control(" \r");
                }
            }
            None => {
                let left_over = old_tail_width.saturating_sub(width(tail));
                console.print(tail);
                console.control(
                    &repeat_n(' ', left_over).chain(repeat_n('\x08', left_over)).collect::<String>(),
                );
            }
        }
    }

    /// Move the terminal's cursor to the byte `target` of the line shown.
    fn move_to(&mut self, console: &mut Console, target: usize) {
        if target == self.cursor {
            return;
        }
        if let Some(columns) = self.columns {
            let (from_row, from_column) = self.position(self.cursor, columns);
            let (row, column) = self.position(target, columns);
            console.control(&step(row, from_row, 'B', 'A'));
            console.control(&step(column, from_column, 'C', 'D'));
        } else if target < self.cursor {
            let n_columns = width(&self.line[target..self.cursor]);
            console.control(&repeat_n('\x08', n_columns).collect::<String>());
        } else {
            console.print(&self.line[self.cursor..target]);
        }
        self.cursor = target;
    }

    /// Return row (from the prompt's) and column of the byte `index` on a screen that is `columns` wide.
    fn position(&self, index: usize, columns: usize) -> (usize, usize) {
        let mut row = 0;
        let mut column = width(self.prompt);
        for character in self.line[..index].chars() {
            let width = character_width(character);
            if column + width > columns {
                // A wide character does not fit into the last column.
                row += 1;
                column = 0;
            }
            column += width;
            if column == columns {
                row += 1;
                column = 0;
            }
        }
        (row, column)
    }
}

/// Return the sequence that moves the cursor from `from` to `to`, rows or columns.
fn step(to: usize, from: usize, forward: char, back: char) -> String {
    match to.abs_diff(from) {
        0 => String::new(),
        distance if to > from => format!("\x1b[{distance}{forward}"),
        distance => format!("\x1b[{distance}{back}"),
    }
}

/// Return how many bytes `a` and `b` have in common at their starts, in whole characters with the marks on them.
fn common_prefix(a: &str, b: &str) -> usize {
    let same = match b.starts_with(a) {
        true => a.len(), // by far the most frequent case, and a quick comparison
        false => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
    };
    let is_boundary = |text: &str, index| {
        text.is_char_boundary(index)
            && text[index..].chars().next().is_none_or(|next| character_width(next) > 0)
    };
    (0..=same).rev().find(|&index| is_boundary(a, index) && is_boundary(b, index)).unwrap_or(0)
}

/// Return how many columns `text` takes.
fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// Return how many columns `character` takes: 0 for marks that combine with the one before, 2 for most of CJK and emoji.
///
/// Characters by themselves, as terminals count (`wcwidth`), not the sequences of UAX #11's notes.
pub(crate) fn character_width(character: char) -> usize {
    character.width().unwrap_or(0)
}
