//! Draws the glyphs of DejaVu Sans Mono once, in the sizes of the screen's cells, so that the kernel has only tables.
//!
//! A glyph is one cell of coverage in 16 steps, two pixels to a byte, the left one in the high half, row by row. Each axis is scaled for
//! itself, so that a cell is filled exactly and box drawings meet. Written: `glyphs.rs` with the characters in ascending order and
//! the fonts, and a file of glyphs in the same order for each font.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::{env, fs};

use ab_glyph::{Font, FontRef, GlyphId, PxScale};

/// Width and height of a cell, in pixels; the width is even.
const CELLS: [(usize, usize); 3] = [(8, 16), (12, 24), (16, 32)];

/// The blocks of Unicode that are drawn, as far as the font has them.
const BLOCKS: [RangeInclusive<char>; 14] = [
    ' '..='~',
    '\u{00a0}'..='\u{024f}', // Latin-1, Latin Extended-A and -B
    '\u{0370}'..='\u{052f}', // Greek, Cyrillic
    '\u{1e00}'..='\u{1eff}', // Latin Extended Additional
    '\u{2010}'..='\u{205e}', // punctuation
    '\u{2070}'..='\u{209c}', // superscripts and subscripts
    '\u{20a0}'..='\u{20bf}', // currencies
    '\u{2100}'..='\u{218f}', // letterlike symbols, fractions
    '\u{2190}'..='\u{22ff}', // arrows, mathematics
    '\u{2500}'..='\u{25ff}', // boxes, blocks, shapes
    '\u{2610}'..='\u{2612}', // ballot boxes
    '\u{2639}'..='\u{263b}', // faces
    '\u{2701}'..='\u{27bf}', // ticks, crosses, dingbats
    '\u{fffd}'..='\u{fffd}', // what stands for everything else
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let font = FontRef::try_from_slice(dejavu::sans_mono::regular()).expect("the font is a font");
    let characters: Vec<char> =
        BLOCKS.into_iter().flatten().filter(|&character| font.glyph_id(character) != GlyphId(0)).collect();

    let mut fonts = String::new();
    for (width, height) in CELLS {
        let glyphs: Vec<u8> =
            characters.iter().flat_map(|&character| glyph(&font, character, width, height)).collect();
        let name = format!("{width}x{height}.glyphs");
        fs::write(out.join(&name), glyphs).expect("OUT_DIR can be written");
        fonts += &format!("Font {{ width: {width}, height: {height}, glyphs: include_bytes!({name:?}) }}, ");
    }
    let source = format!(
        "static CHARACTERS: [char; {}] = {characters:?};\npub(crate) static FONTS: [Font; {}] = [{fonts}];\n",
        characters.len(),
        CELLS.len()
    );
    fs::write(out.join("glyphs.rs"), source).expect("OUT_DIR can be written");
}

/// Return one glyph, `(height, width / 2)` bytes. What reaches beyond the cell is cut off.
fn glyph(font: &FontRef, character: char, width: usize, height: usize) -> Vec<u8> {
    let id = font.glyph_id(character);
    // A scale is the height of the font's lines, also where it is meant for the other axis. All characters advance as far as a space.
    let width_for_height = font.h_advance_unscaled(font.glyph_id(' ')) / font.height_unscaled();
    let scale = PxScale { x: width as f32 / width_for_height, y: height as f32 };
    let baseline = height as f32 * font.ascent_unscaled() / font.height_unscaled();

    let mut bytes = vec![0; height * width / 2];
    let glyph = id.with_scale_and_position(scale, ab_glyph::point(0.0, baseline));
    if let Some(outline) = font.outline_glyph(glyph) {
        let corner = outline.px_bounds().min;
        outline.draw(|x, y, coverage| {
            let (x, y) = (x as i32 + corner.x as i32, y as i32 + corner.y as i32);
            if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
                let pixel = y as usize * width + x as usize;
                let step = (coverage.clamp(0.0, 1.0) * 15.0).round() as u8;
                bytes[pixel / 2] |= if pixel.is_multiple_of(2) { step << 4 } else { step };
            }
        });
    }
    bytes
}
