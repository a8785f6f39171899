//! Prompt and text as they stand on the screen, brought up to date with few bytes.
//!
//! A terminal at the other end of a serial line does not say what it is or how large. It gets text and the ECMA-48 sequences that
//! all terminal programs know (cursor up, down, left, right, erase to the end of line or screen; DEC's save and restore), and is asked for its size
//! at every prompt; nobody waits for the answer. A pipe gets the text alone, when it is complete.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt::Write;
use core::iter::repeat_n;
use core::mem::replace;

use unicode_segmentation::UnicodeSegmentation;

use super::layout::{Layout, lay_out};
use super::width::Widths;
use crate::ScreenSize;
use crate::console::Console;

/// Save the cursor, move it as far down and right as the screen goes, ask for its position (DSR 6), restore it.
const ASK_FOR_SIZE: &str = "\x1b7\x1b[999;999H\x1b[6n\x1b8";

/// Ask for the cursor's position.
const ASK_FOR_CURSOR: &str = "\x1b[6n";

/// Move to the top left corner and erase the screen.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[J";

const ERASE_BELOW: &str = "\x1b[J";
const ERASE_LINE: &str = "\x1b[K";

/// BEL: what was pressed makes no sense here.
const BELL: char = '\x07';

/// The VT100's size, until the terminal says another.
const USUAL_SIZE: (usize, usize) = (24, 80);

/// A screen with fewer rows or columns is not believed.
const MIN_SIZE: (usize, usize) = (4, 16);

/// Up to this many columns, backspaces are shorter than a sequence.
const BACKSPACES: usize = 3;

/// More questions are not asked of a terminal that does not answer.
const MAX_QUESTIONS: usize = 8;

/// Stands for a row that shows something unknown; no row of text is like it.
const UNKNOWN: &str = "\0";

/// What the terminal was asked and has not answered.
#[derive(Debug)]
enum Question {
    Size,
    /// How wide `cluster` is, which was shown in column `column`.
    Width {
        cluster: String,
        column: usize,
    },
}

/// What is on the screen of a prompt and the text behind it.
#[derive(Debug)]
pub(super) struct View {
    has_screen: bool,
    rows: usize,
    columns: usize,
    widths: Widths,
    questions: VecDeque<Question>,
    /// The rows on the screen; those above have left it.
    shown: VecDeque<String>,
    /// How many rows have left the screen at its top.
    n_above: usize,
    /// Row and column of the terminal's cursor, counted from the row of the prompt.
    at: (usize, usize),
    /// What is to be sent.
    out: String,
}

impl Default for View {
    fn default() -> Self {
        let (rows, columns) = USUAL_SIZE;
        Self {
            has_screen: false,
            rows,
            columns,
            widths: Widths::default(),
            questions: VecDeque::new(),
            shown: VecDeque::new(),
            n_above: 0,
            at: (0, 0),
            out: String::new(),
        }
    }
}

impl View {
    /// Show `prompt` in an empty row.
    pub(super) fn start(&mut self, console: &mut Console, prompt: &str) {
        self.forget(0);
        self.look_at_size(console);
        if self.has_screen {
            console.set_up_terminal();
            self.ask_for_size(console);
            self.draw(console, prompt, "", 0);
        } else {
            console.print(prompt);
        }
    }

    /// Bring the screen to `prompt` and `text` with the cursor before its byte `cursor`.
    pub(super) fn show(&mut self, console: &mut Console, prompt: &str, text: &str, cursor: usize) {
        self.look_at_size(console);
        if self.has_screen {
            self.draw(console, prompt, text, cursor);
        }
    }

    /// Show `text` for the last time, with `mark` at its end, and go on at the start of the row below.
    pub(super) fn finish(&mut self, console: &mut Console, prompt: &str, text: &str, mark: &str) {
        if self.has_screen {
            self.draw(console, prompt, text, text.len());
            console.print(mark);
        } else {
            // As on a screen that is wide enough.
            let Layout { rows, .. } = lay_out(&self.widths, usize::MAX, "", text, 0);
            for (number, row) in rows.iter().enumerate() {
                console.print(if number > 0 { "\n" } else { "" });
                console.print(row);
            }
            console.print(mark);
        }
        console.print("\n");
    }

    /// Keep no memory of what was shown, once it was shown for the last time.
    pub(super) fn let_go(&mut self) {
        (self.shown, self.out) = (VecDeque::new(), String::new());
    }

    /// Clear the screen; what was shown moves to its top.
    pub(super) fn clear_screen(&mut self, console: &Console) {
        if self.has_screen {
            self.out.push_str(CLEAR_SCREEN);
            self.forget(0);
            self.ask_for_size(console);
        }
    }

    /// Ring the terminal's bell, as often as that may be, once.
    pub(super) fn ring(&mut self) {
        if self.has_screen && !self.out.contains(BELL) {
            self.out.push(BELL);
        }
    }

    /// Take the terminal's answer: where its cursor is, counted from 1.
    pub(super) fn answer(&mut self, row: usize, column: usize) {
        match self.questions.pop_front() {
            Some(Question::Size) => self.resize(row, column),
            Some(Question::Width { cluster, column: start }) => {
                let n_columns = column.saturating_sub(1).saturating_sub(start);
                if (1..=self.widths.of(&cluster)).contains(&n_columns) {
                    self.learn(cluster, n_columns);
                }
            }
            None => {}
        }
    }

    fn learn(&mut self, cluster: String, n_columns: usize) {
        if n_columns != self.widths.of(&cluster) {
            // What stands in these rows, the cursor too, is not where it was thought to be.
            self.shown.iter_mut().filter(|row| row.contains(&cluster)).for_each(|row| *row = UNKNOWN.into());
            self.out.push('\r');
            self.at.1 = 0;
        }
        self.widths.learn(cluster, n_columns);
    }

    fn ask_for_size(&mut self, console: &Console) {
        if console.screen_size() == ScreenSize::Unknown {
            self.out.push_str(ASK_FOR_SIZE);
            // One answer is enough.
            self.questions.retain(|question| matches!(question, Question::Width { .. }));
            self.questions.push_back(Question::Size);
        }
    }

    /// Follow what the host knows of the screen.
    fn look_at_size(&mut self, console: &Console) {
        let size = console.screen_size();
        self.has_screen = size != ScreenSize::NoScreen;
        if let ScreenSize::Known { rows, columns } = size {
            self.resize(rows, columns);
        }
    }

    fn resize(&mut self, rows: usize, columns: usize) {
        if rows < MIN_SIZE.0 || columns < MIN_SIZE.1 {
            return;
        }
        if columns < self.columns && !self.shown.is_empty() {
            // Rows may have been cut off or wrapped.
            self.erase(0);
        }
        (self.rows, self.columns) = (rows, columns);
        self.leave_room();
    }

    /// Bring the screen up to date.
    fn draw(&mut self, console: &mut Console, prompt: &str, text: &str, cursor: usize) {
        let layout = lay_out(&self.widths, self.columns, prompt, text, cursor);
        let (cursor_row, cursor_column) = layout.cursor;
        if cursor_row < self.n_above {
            self.erase(cursor_row.saturating_sub(self.rows / 2));
        }
        let end = layout.rows.len().min((self.n_above + self.rows).max(cursor_row + 1));
        for (number, row) in layout.rows.into_iter().enumerate().take(end).skip(self.n_above) {
            self.draw_row(number, row);
        }
        if self.n_above + self.shown.len() > end {
            self.move_to(end, 0);
            self.out.push_str(ERASE_BELOW);
            self.shown.truncate(end - self.n_above);
        }
        self.move_to(cursor_row, cursor_column);
        console.control(&self.out);
        self.out.clear();
    }

    /// Bring the row `number`, or the one that is next below those on the screen, to `row`.
    fn draw_row(&mut self, number: usize, row: String) {
        let Some(old) = self.shown.get_mut(number - self.n_above) else {
            if !self.shown.is_empty() {
                self.move_to(number - 1, self.at.1);
                self.out.push('\n');
                self.at = (number, 0);
            }
            self.print(&row);
            self.shown.push_back(row);
            return self.leave_room();
        };
        if *old == row {
            return;
        }
        let old = replace(old, row.clone());
        let start = common_start(&self.widths, &old, &row);
        self.move_to(number, self.widths.of_all(&row[..start]));
        self.print(&row[start..]);
        if old == UNKNOWN || self.widths.of_all(&old) > self.at.1 {
            self.out.push_str(ERASE_LINE);
        }
    }

    /// Send `text`, and ask how wide it is where only the terminal knows.
    fn print(&mut self, text: &str) {
        for cluster in text.graphemes(true) {
            self.out.push_str(cluster);
            if self.widths.is_unsure(cluster) {
                self.ask_for_width(cluster);
            }
            self.at.1 += self.widths.of(cluster);
        }
    }

    /// Ask how wide `cluster` is, which was sent to where the cursor was.
    fn ask_for_width(&mut self, cluster: &str) {
        let is_asked = |question: &Question| matches!(question, Question::Width { cluster: asked, .. } if asked == cluster);
        if self.questions.len() < MAX_QUESTIONS && !self.questions.iter().any(is_asked) {
            self.out.push_str(ASK_FOR_CURSOR);
            self.questions.push_back(Question::Width { cluster: cluster.into(), column: self.at.1 });
        }
    }

    /// Let go of the rows that the last ones have pushed out of the screen.
    fn leave_room(&mut self) {
        while self.shown.len() > self.rows {
            self.shown.pop_front();
            self.n_above += 1;
        }
    }

    /// Erase all that is shown, and begin with the row `first` where the first one was.
    fn erase(&mut self, first: usize) {
        self.move_to(self.n_above, 0);
        self.out.push_str(ERASE_BELOW);
        self.forget(first);
    }

    /// Begin with the row `first` where the cursor is.
    fn forget(&mut self, first: usize) {
        self.shown.clear();
        self.n_above = first;
        self.at = (first, 0);
    }

    /// Move the terminal's cursor to a row and a column.
    fn move_to(&mut self, row: usize, column: usize) {
        let (old_row, old_column) = replace(&mut self.at, (row, column));
        self.step(row, old_row, 'B', 'A');
        match column {
            0 if old_column > 0 => self.out.push('\r'),
            _ => self.step(column, old_column, 'C', 'D'),
        }
    }

    /// Send what moves the cursor from `from` to `to`, rows or columns: `back` is short for one step.
    fn step(&mut self, to: usize, from: usize, forward: char, back: char) {
        let (distance, letter) = if to > from { (to - from, forward) } else { (from - to, back) };
        match (distance, letter) {
            (0, _) => {}
            (1..=BACKSPACES, 'D') => self.out.extend(repeat_n('\x08', distance)),
            (1, _) => self.out.extend(["\x1b[", letter.encode_utf8(&mut [0; 4])]),
            // Writing to a string cannot fail.
            _ => drop(write!(self.out, "\x1b[{distance}{letter}")),
        }
    }
}

/// Return how much of `new` is shown already where `old` is: whole clusters, with the marks that follow them.
fn common_start(widths: &Widths, old: &str, new: &str) -> usize {
    let begins_a_column = |cluster: Option<&str>| cluster.is_none_or(|cluster| widths.of(cluster) > 0);
    let (mut old, mut new) = (old.graphemes(true), new.graphemes(true));
    let (mut start, mut index) = (0, 0);
    loop {
        let next = (old.next(), new.next());
        if begins_a_column(next.0) && begins_a_column(next.1) {
            start = index;
        }
        match next {
            (Some(old), Some(new)) if old == new => index += new.len(),
            _ => return start,
        }
    }
}
