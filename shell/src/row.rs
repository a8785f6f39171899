//! A row that changes where it stands: with backspaces alone, so that it does on every terminal.

use alloc::string::String;

use crate::console::Console;

/// One row of ASCII on the screen, brought up to date with few bytes.
pub(crate) struct Row {
    text: String,
    /// Where the terminal's cursor is, in columns from the start of `text`.
    cursor: usize,
}

impl Row {
    /// Begin an empty row behind `prompt`.
    pub(crate) fn start(console: &mut Console, prompt: &str) -> Self {
        console.print(prompt);
        Self { text: String::new(), cursor: 0 }
    }

    /// Bring the row to `text`, with the cursor before its byte `cursor`.
    pub(crate) fn show(&mut self, console: &mut Console, text: &str, cursor: usize) {
        let n_same = self.text.bytes().zip(text.bytes()).take_while(|(old, new)| old == new).count();
        if n_same < self.text.len().max(text.len()) {
            self.move_to(console, n_same);
            console.print(&text[n_same..]);
            let n_left_over = self.text.len().saturating_sub(text.len());
            console.control(&" ".repeat(n_left_over));
            console.control(&"\x08".repeat(n_left_over));
            self.text = text.into();
            self.cursor = text.len();
        }
        self.move_to(console, cursor);
    }

    fn move_to(&mut self, console: &mut Console, cursor: usize) {
        if cursor < self.cursor {
            console.control(&"\x08".repeat(self.cursor - cursor));
        } else {
            console.print(&self.text[self.cursor..cursor]);
        }
        self.cursor = cursor;
    }
}
