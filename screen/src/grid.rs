//! The terminal's memory: a grid of cells, a cursor, and what the bytes of a conversation do to them.
//!
//! Follows ECMA-48 and, where that leaves it open, the VT100: a character in the last column leaves the cursor there, and only the
//! next one wraps. Other than there, a line feed also returns to the first column, because the shell ends lines with it alone.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use unicode_width::UnicodeWidthChar;
use vte::{Params, Perform};

use crate::style::Style;

/// One place on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) character: char,
    pub(crate) style: Style,
}

impl Default for Cell {
    fn default() -> Self {
        Self { character: ' ', style: Style::PLAIN }
    }
}

/// Where the next character goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    row: usize,
    column: usize,
    /// The last column has just been written, and the next character belongs to the next row.
    wraps: bool,
}

/// What the screen shows, as text.
pub(crate) struct Grid {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Bytes that the terminal types in answer to requests.
    pub(crate) replies: VecDeque<u8>,
    /// `(rows, columns)`
    cells: Vec<Cell>,
    cursor: Cursor,
    saved: Cursor,
    style: Style,
}

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// What shows where a character would take two columns: none of the font's glyphs does.
const WIDE: char = char::REPLACEMENT_CHARACTER;

impl Grid {
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            replies: VecDeque::new(),
            cells: vec![Cell::default(); rows * columns],
            cursor: Cursor::default(),
            saved: Cursor::default(),
            style: Style::PLAIN,
        }
    }

    /// Return the cell as it looks, the cursor upon it included.
    pub(crate) fn visible(&self, row: usize, column: usize) -> Cell {
        let cell = self.cells[row * self.columns + column];
        if (self.cursor.row, self.cursor.column) == (row, column) {
            Cell { style: cell.style.inverted(), ..cell }
        } else {
            cell
        }
    }

    fn put(&mut self, character: char) {
        self.cells[self.cursor.row * self.columns + self.cursor.column] =
            Cell { character, style: self.style };
        if self.cursor.column + 1 == self.columns {
            self.cursor.wraps = true;
        } else {
            self.cursor.column += 1;
        }
    }

    /// Go to the start of the next row; at the end, everything moves up.
    fn line_feed(&mut self) {
        self.cursor.wraps = false;
        self.cursor.column = 0;
        if self.cursor.row + 1 < self.rows {
            self.cursor.row += 1;
        } else {
            self.cells.copy_within(self.columns.., 0);
            let (blank, last_row) = (self.blank(), self.cells.len() - self.columns);
            self.cells[last_row..].fill(blank);
        }
    }

    fn blank(&self) -> Cell {
        Cell { character: ' ', style: self.style.erased() }
    }

    /// Move to a place, or as near to it as the screen reaches.
    fn move_to(&mut self, row: usize, column: usize) {
        let (row, column) = (row.min(self.rows - 1), column.min(self.columns - 1));
        self.cursor = Cursor { row, column, wraps: false };
    }

    /// Erase a part of the cells `[start, end)` that the cursor is in: from it (0), up to it (1), or all (2).
    fn erase(&mut self, start: usize, end: usize, part: usize) {
        let at = self.cursor.row * self.columns + self.cursor.column;
        let blank = self.blank();
        match part {
            0 => self.cells[at..end].fill(blank),
            1 => self.cells[start..=at].fill(blank),
            2 => self.cells[start..end].fill(blank),
            _ => {}
        }
    }
}

impl Perform for Grid {
    fn print(&mut self, character: char) {
        // Marks that combine with the character before have no cell of their own, and are not shown.
        let width = character.width().unwrap_or(0).min(self.columns);
        if width == 0 {
            return;
        }
        if self.cursor.wraps || self.cursor.column + width > self.columns {
            self.line_feed();
        }
        if width == 2 {
            self.put(WIDE);
            self.put(' ');
        } else {
            self.put(character);
        }
    }

    fn execute(&mut self, control: u8) {
        let Cursor { row, column, .. } = self.cursor;
        match control {
            b'\n' => self.line_feed(),
            b'\r' => self.move_to(row, 0),
            b'\x08' => self.move_to(row, column.saturating_sub(1)),
            b'\t' => self.move_to(row, (column / TAB + 1) * TAB),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, parameters: &Params, intermediates: &[u8], ignore: bool, action: char) {
        // With intermediate bytes, the same letter means something else.
        if ignore || !intermediates.is_empty() {
            return;
        }
        let number = |index| usize::from(parameters.iter().nth(index).map_or(0, |parameter| parameter[0]));
        let distance = number(0).max(1);
        let Cursor { row, column, .. } = self.cursor;
        match action {
            'A' => self.move_to(row.saturating_sub(distance), column),
            'B' => self.move_to(row + distance, column),
            'C' => self.move_to(row, column + distance),
            'D' => self.move_to(row, column.saturating_sub(distance)),
            'G' => self.move_to(row, distance - 1),
            'H' => self.move_to(distance - 1, number(1).max(1) - 1),
            'J' => self.erase(0, self.cells.len(), number(0)),
            'K' => self.erase(row * self.columns, (row + 1) * self.columns, number(0)),
            'm' => {
                // 38 and 48 begin a colour that is none of the 16, in parameters that are no styles.
                let styles = parameters.iter().map(|parameter| parameter[0]);
                self.style =
                    styles.take_while(|style| ![38, 48].contains(style)).fold(self.style, Style::after);
            }
            'n' if number(0) == 6 => {
                self.replies.extend(alloc::format!("\x1b[{};{}R", row + 1, column + 1).bytes());
            }
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = self.cursor,
            ([], b'8') => self.cursor = self.saved,
            _ => {}
        }
    }
}
