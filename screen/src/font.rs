//! Glyphs: DejaVu Sans Mono in a few sizes, drawn when this crate was built (see `build.rs`).

/// The glyphs of one size.
pub(crate) struct Font {
    /// The width of a cell in pixels, an even number.
    pub(crate) width: usize,
    /// The height of a cell in pixels.
    pub(crate) height: usize,
    /// `(CHARACTERS.len(), height, width / 2)`: coverage in 16 steps, two pixels to a byte, the left one in the high half.
    glyphs: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/glyphs.rs"));

/// A screen should have so many columns and rows before its text gets larger than need be: enough for a line and an answer.
const COMFORTABLE: (usize, usize) = (100, 30);

impl Font {
    /// Return the largest font with which a screen of so many pixels has a comfortable number of rows and columns, else the smallest.
    pub(crate) fn for_screen(width: usize, height: usize) -> &'static Self {
        let (columns, rows) = COMFORTABLE;
        let is_comfortable = |font: &&Self| width / font.width >= columns && height / font.height >= rows;
        FONTS.iter().rev().find(is_comfortable).unwrap_or(&FONTS[0])
    }

    /// Return the lines of a character's glyph, `width / 2` bytes each; those of U+FFFD where there is none.
    pub(crate) fn glyph(&self, character: char) -> impl Iterator<Item = &'static [u8]> {
        let bytes = self.width / 2 * self.height;
        let index = CHARACTERS
            .binary_search(&character)
            .or_else(|_| CHARACTERS.binary_search(&char::REPLACEMENT_CHARACTER))
            .unwrap_or_default();
        self.glyphs[index * bytes..][..bytes].chunks_exact(self.width / 2)
    }
}

/// Return all characters that have glyphs, in ascending order.
pub(crate) fn characters() -> impl Iterator<Item = char> {
    CHARACTERS.iter().copied()
}
