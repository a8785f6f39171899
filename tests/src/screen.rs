//! The screen that a person would see at the other end of the serial line, made of the bytes that come over it.

use vt100::Parser;

/// DSR 6 (ECMA-48): the terminal types where its cursor is.
const ASK_FOR_CURSOR: &str = "\x1b[6n";

/// A VT100 of 80 columns, with so many rows that no conversation scrolls.
pub(crate) struct Screen {
    terminal: Parser,
    /// Row and column up to which was looked.
    seen: (u16, u16),
}

impl Default for Screen {
    fn default() -> Self {
        let [rows, columns] = [999, 80].map(|n| u16::try_into(n).expect("neither is zero"));
        Self { terminal: Parser::new(rows, columns, 0), seen: (0, 0) }
    }
}

impl Screen {
    /// Show what came over the line, and return what the terminal types in answer.
    pub(crate) fn show(&mut self, bytes: &str) -> String {
        let mut answers = String::new();
        for (number, part) in bytes.split(ASK_FOR_CURSOR).enumerate() {
            if number > 0 {
                let (row, column) = self.cursor();
                answers += &format!("\x1b[{};{}R", row + 1, column + 1);
            }
            self.terminal.process(part.as_bytes());
        }
        answers
    }

    /// Return what stands between where this was asked last and the cursor. Rows that the terminal wrapped are one line.
    pub(crate) fn news(&mut self) -> String {
        let (row, column) = self.cursor();
        // Who clears the screen begins again at its top.
        let (from_row, from_column) = if self.seen <= (row, column) { self.seen } else { (0, 0) };
        self.seen = (row, column);
        self.terminal.screen().contents_between(from_row, from_column, row, column)
    }

    /// Return all that is on the screen.
    pub(crate) fn text(&self) -> String {
        self.terminal.screen().contents()
    }

    fn cursor(&self) -> (u16, u16) {
        self.terminal.screen().cursor_position()
    }
}

#[cfg(test)]
mod tests {
    use super::Screen;

    #[test]
    fn shows_lines_as_they_were_edited_and_answers_where_the_cursor_is() {
        let mut screen = Screen::default();
        assert_eq!(screen.show("one\r\n>>> \x1b7\x1b[999;999H\x1b[6n\x1b8"), "\x1b[999;80R");
        assert_eq!(screen.news(), "one\n>>> ");
        assert_eq!(screen.show("abd\x08\x1b[Kc\r\nyes\r\n\r\n>>> "), "");
        assert_eq!(screen.news(), "abc\nyes\n\n>>> ");
        screen.show(&format!("{}\x1b[6n\r\n", "x".repeat(100)));
        assert_eq!(screen.news(), format!("{}\n", "x".repeat(100)));
        screen.show("\x1b[H\x1b[Jtop");
        assert_eq!(screen.news(), "top");
        assert_eq!(screen.text(), "top");
    }
}
