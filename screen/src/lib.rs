//! A terminal on pixels: what a machine's framebuffer shows of a conversation, and what its keyboards type.
//!
//! 1. **Everything is a slice.** The framebuffer is bytes with a [`Layout`]; where they come from is the caller's business. So all
//!    of this is tested on the host, pixel by pixel.
//! 2. **The framebuffer is written, never read:** on real machines a read takes a microsecond. What it shows is remembered as
//!    text, and only cells that differ are drawn.
//! 3. **It understands what the shell says** (ECMA-48 cursor movement, erasing, colours, the cursor position request) and passes over
//!    the rest in silence, as a VT100 does.
//!
//! It knows no hardware and no conversation.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod font;
mod grid;
mod keys;
mod pixels;
pub mod read;
mod report;
mod style;
#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

pub use keys::{Keys, UnknownKeymap, UsbKeyboard};
pub use pixels::{Channel, Layout, Unsupported};
pub use report::Report;

use font::Font;
use grid::{Cell, Grid};
use pixels::Surface;

/// A terminal that shows itself in a framebuffer.
pub struct Screen<'f> {
    surface: Surface<'f>,
    font: &'static Font,
    parser: vte::Parser,
    grid: Grid,
    /// What the framebuffer shows, row by row.
    shown: Vec<Cell>,
}

impl<'f> Screen<'f> {
    /// Return an empty screen over a framebuffer, which is cleared.
    ///
    /// # Errors
    /// What is unusual about the layout, when it is one that cannot be written.
    pub fn new(layout: Layout, framebuffer: &'f mut [u8]) -> Result<Self, Unsupported> {
        let mut surface = Surface::new(layout, framebuffer)?;
        let font = Font::for_screen(layout.width, layout.height);
        let (rows, columns) = (layout.height / font.height, layout.width / font.width);
        surface.clear();
        Ok(Self {
            surface,
            font,
            parser: vte::Parser::new(),
            grid: Grid::new(rows, columns),
            shown: vec![Cell::default(); rows * columns],
        })
    }

    /// Show `text`, which may steer the terminal. A line feed goes to the start of the next row.
    pub fn write(&mut self, text: &str) {
        self.parser.advance(&mut self.grid, text.as_bytes());
        self.draw();
    }

    /// Return the next byte that the terminal itself types, in answer to a request.
    pub fn reply(&mut self) -> Option<u8> {
        self.grid.replies.pop_front()
    }

    /// Return how many rows there are.
    pub fn rows(&self) -> usize {
        self.grid.rows
    }

    /// Return how many columns there are.
    pub fn columns(&self) -> usize {
        self.grid.columns
    }

    /// Bring the framebuffer up to date.
    fn draw(&mut self) {
        let places =
            (0..self.grid.rows).flat_map(|row| (0..self.grid.columns).map(move |column| (row, column)));
        for ((row, column), shown) in places.zip(&mut self.shown) {
            let cell = self.grid.visible(row, column);
            if *shown != cell {
                self.surface.draw(self.font, row, column, cell);
                *shown = cell;
            }
        }
    }
}
