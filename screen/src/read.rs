//! Reads text back from pixels, so that a test can say what a person sees. For hosts: the kernel remembers what it shows.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::iter;

use crate::font::{Font, characters};
use crate::grid::Cell;
use crate::pixels::{Layout, Surface, Unsupported};
use crate::style::Style;

/// Reads framebuffers of one layout.
pub struct Reader {
    layout: Layout,
    font: &'static Font,
    /// Every character in every colour, by the bytes of its cell.
    looks: BTreeMap<Vec<u8>, char>,
}

impl Reader {
    /// Return a reader for the framebuffers that a [`crate::Screen`] with this layout draws.
    ///
    /// # Errors
    /// What is unusual about the layout, when it is one that cannot be written.
    pub fn new(layout: Layout) -> Result<Self, Unsupported> {
        let font = Font::for_screen(layout.width, layout.height);
        let pitch = font.width * layout.bits_per_pixel / 8;
        let one_cell = Layout { width: font.width, height: font.height, pitch, ..layout };
        let mut looks = BTreeMap::new();
        // The report first: its blanks are not to read as blocks in its colour.
        let with_cursor = Style::on_plain_background().flat_map(|style| [style, style.inverted()]);
        for style in iter::once(Style::REPORT).chain(with_cursor) {
            for character in characters() {
                let mut bytes = vec![0; font.height * pitch];
                Surface::new(one_cell, &mut bytes)?.draw(font, 0, 0, Cell { character, style });
                looks.entry(bytes).or_insert(character);
            }
        }
        Ok(Self { layout, font, looks })
    }

    /// Return the rows of a screen, without the blanks at their ends.
    ///
    /// Other than in a report, a cell on a background of its own reads as U+FFFD, which also stands for every character without a glyph. The cursor reads as
    /// what it stands upon, and on a blank as the full block that it looks like. Of characters that look alike (Latin A, Greek
    /// Alpha), the first in Unicode is read.
    ///
    /// # Panics
    /// If the framebuffer is shorter than the layout says.
    pub fn rows(&self, framebuffer: &[u8]) -> Vec<String> {
        let (rows, columns) = (self.layout.height / self.font.height, self.layout.width / self.font.width);
        let row = |row| {
            let characters = (0..columns).map(|column| self.character(framebuffer, row, column));
            String::from(characters.collect::<String>().trim_end())
        };
        (0..rows).map(row).collect()
    }

    fn character(&self, framebuffer: &[u8], row: usize, column: usize) -> char {
        let line_bytes = self.font.width * self.layout.bits_per_pixel / 8;
        let start = row * self.font.height * self.layout.pitch + column * line_bytes;
        let lines = framebuffer[start..].chunks(self.layout.pitch).take(self.font.height);
        let look: Vec<u8> = lines.flat_map(|line| &line[..line_bytes]).copied().collect();
        self.looks.get(&look).copied().unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}
