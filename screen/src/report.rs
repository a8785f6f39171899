//! Text on a framebuffer when nothing else can be relied upon: no allocation, no memory of what is shown, no way back.

use core::fmt;

use crate::font::Font;
use crate::grid::Cell;
use crate::pixels::{Layout, Surface, Unsupported};
use crate::style::Style;

/// A report of failure over whatever the screen shows, from its top. What does not fit onto it is lost.
pub struct Report<'f> {
    surface: Surface<'f>,
    font: &'static Font,
    rows: usize,
    columns: usize,
    /// The row being written; none of them yet.
    row: Option<usize>,
    column: usize,
}

impl<'f> Report<'f> {
    /// Return an empty report, which shows nothing.
    ///
    /// # Errors
    /// What is unusual about the layout, when it is one that cannot be written.
    pub fn new(layout: Layout, framebuffer: &'f mut [u8]) -> Result<Self, Unsupported> {
        let surface = Surface::new(layout, framebuffer)?;
        let font = Font::for_screen(layout.width, layout.height);
        let (rows, columns) = (layout.height / font.height, layout.width / font.width);
        Ok(Self { surface, font, rows, columns, row: None, column: 0 })
    }

    /// Begin the next row, empty over its whole width.
    fn next_row(&mut self) {
        let row = self.row.map_or(0, |row| row + 1);
        self.row = Some(row);
        for column in 0..self.columns {
            self.put(row, column, ' ');
        }
        self.column = 0;
    }

    fn put(&mut self, row: usize, column: usize, character: char) {
        if row < self.rows && column < self.columns {
            self.surface.draw(self.font, row, column, Cell { character, style: Style::REPORT });
        }
    }
}

impl fmt::Write for Report<'_> {
    fn write_char(&mut self, character: char) -> fmt::Result {
        if self.row.is_none() || character == '\n' || self.column == self.columns {
            self.next_row();
        }
        if let (Some(row), false) = (self.row, character == '\n') {
            self.put(row, self.column, character);
            self.column += 1;
        }
        Ok(())
    }

    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }
}
