//! Screens of every layout, looked at pixel by pixel; the terminal against another one (the `vt100` crate).

use core::fmt::Write;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

use crate::read::Reader;
use crate::{Channel, Layout, Report, Screen, Unsupported};

const fn channel(shift: u8, bits: u8) -> Channel {
    Channel { shift, bits }
}

/// Return a layout with red on top, as PCs have it, and 6 bytes between the lines.
fn layout(width: usize, height: usize, bits_per_pixel: usize) -> Layout {
    let (red, green, blue) = match bits_per_pixel {
        16 => (channel(11, 5), channel(5, 6), channel(0, 5)),
        _ => (channel(16, 8), channel(8, 8), channel(0, 8)),
    };
    Layout { width, height, pitch: width * bits_per_pixel / 8 + 6, bits_per_pixel, red, green, blue }
}

/// Write `text` on a new screen, and return its framebuffer.
fn shown(layout: Layout, text: &str) -> Vec<u8> {
    let mut framebuffer = vec![0; layout.bytes().unwrap()];
    Screen::new(layout, &mut framebuffer).unwrap().write(text);
    framebuffer
}

/// Write `text` on a new screen, and return the rows that a person reads, the cursor left out and empty ones at the end.
fn rows(layout: Layout, text: &str) -> Vec<String> {
    let mut rows = without_cursor(Reader::new(layout).unwrap().rows(&shown(layout, text)));
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

/// Return rows without the block that the cursor is behind the end of a row's text.
fn without_cursor(rows: Vec<String>) -> Vec<String> {
    rows.into_iter()
        .map(|row| row.strip_suffix('█').map_or(row.clone(), |row| row.trim_end().into()))
        .collect()
}

/// Return the pixel `(x, y)` as an integer.
fn pixel(layout: Layout, framebuffer: &[u8], x: usize, y: usize) -> u32 {
    let bytes = layout.bits_per_pixel / 8;
    let mut pixel = [0; 4];
    pixel[..bytes].copy_from_slice(&framebuffer[y * layout.pitch + x * bytes..][..bytes]);
    u32::from_le_bytes(pixel)
}

#[test]
fn writes_every_pixel_layout() {
    // A full block in the first cell shows the pure foreground, d0d4d8, beside the pure background, 121418.
    let rgb = layout(640, 480, 32);
    let bgr = Layout { red: rgb.blue, blue: rgb.red, ..rgb };
    let deep = Layout { red: channel(20, 10), green: channel(10, 10), blue: channel(0, 10), ..rgb };
    let high = Layout { red: channel(10, 5), green: channel(5, 5), ..layout(640, 480, 16) };
    for (layout, foreground, background) in [
        (rgb, 0xd0d4d8, 0x121418),
        (bgr, 0xd8d4d0, 0x181412),
        (deep, 0xd0 << 22 | 0xd4 << 12 | 0xd8 << 2, 0x12 << 22 | 0x14 << 12 | 0x18 << 2),
        (layout(640, 480, 24), 0xd0d4d8, 0x121418),
        (
            layout(640, 480, 16),
            0xd0 >> 3 << 11 | 0xd4 >> 2 << 5 | 0xd8 >> 3,
            0x12 >> 3 << 11 | 0x14 >> 2 << 5 | 0x18 >> 3,
        ),
        (high, 0xd0 >> 3 << 10 | 0xd4 >> 3 << 5 | 0xd8 >> 3, 0x12 >> 3 << 10 | 0x14 >> 3 << 5 | 0x18 >> 3),
    ] {
        let framebuffer = shown(layout, "█");
        for (x, y) in [(0, 0), (7, 0), (0, 15), (7, 15)] {
            assert_eq!(pixel(layout, &framebuffer, x, y), foreground, "({x}, {y}) of {layout:?}");
        }
        for (x, y) in [(16, 0), (0, 16), (639, 479)] {
            assert_eq!(pixel(layout, &framebuffer, x, y), background, "({x}, {y}) of {layout:?}");
        }
    }
}

#[test]
fn leaves_the_bytes_between_the_lines_and_behind_the_last_alone() {
    let layout = layout(645, 490, 24);
    let mut framebuffer = vec![0xaa; layout.bytes().unwrap() + 100];
    Screen::new(layout, &mut framebuffer).unwrap().write(&"█".repeat(80 * 31));
    let (lines, behind) = framebuffer.split_at(layout.bytes().unwrap());
    assert!(behind.iter().all(|&byte| byte == 0xaa));
    for line in lines.chunks(layout.pitch) {
        let (pixels, between) = line.split_at(layout.width * 3);
        assert!(pixels.iter().all(|&byte| byte != 0xaa));
        assert!(between.iter().all(|&byte| byte == 0xaa));
    }
}

#[test]
fn takes_the_size_of_its_letters_from_the_size_of_the_screen() {
    for (width, height, columns) in [
        (640, 480, 80),
        (800, 600, 100),
        (1024, 768, 128),
        (1280, 800, 106),
        (1920, 1080, 120),
        (3840, 2160, 240),
        (20, 20, 2),
    ] {
        let layout = layout(width, height, 32);
        let mut framebuffer = vec![0; layout.bytes().unwrap()];
        assert_eq!(Screen::new(layout, &mut framebuffer).unwrap().columns(), columns, "{width} x {height}");
    }
}

#[test]
fn shows_the_scripts_and_marks_that_it_has_glyphs_for() {
    let text = "The quick brown fox: ÄÖÜß éèçñ łőž\nΞεσκεπάζω Ψψ Ωω\nСъешь ещё ЖЩЫЭ Її\n┌─┬─┐ ╔═╗ ░▒▓█ ├┼┤\n✓ ✗ ✘ → ← ⇒ • … “”„ – — € ½ ² ≤ ≠ ∞";
    for layout in [layout(640, 480, 16), layout(1280, 800, 24), layout(1920, 1080, 32)] {
        // What looks the same reads as the first of them: Greek and Cyrillic capitals as Latin ones.
        let rows = rows(layout, text);
        let looks_latin = |c: char| "ΞΨΩЖЩЫЭ┌─═╗█✓✗→•…“„€½²≤≠∞ψωщжыэłőž".contains(c);
        for (row, line) in rows.iter().zip(text.lines()) {
            for (read, written) in row.chars().zip(line.chars()) {
                assert_ne!(read, '\u{fffd}', "{written:?} has no glyph");
                assert!(read == written || !looks_latin(written), "{written:?} reads as {read:?}");
            }
            assert_eq!(row.chars().count(), line.chars().count());
        }
    }
}

#[test]
fn shows_a_substitute_as_wide_as_what_it_has_no_glyph_for() {
    assert_eq!(
        rows(layout(640, 480, 32), "a日本b🦀c\u{5d0}d e\u{301}f"),
        ["a\u{fffd} \u{fffd} b\u{fffd} c\u{fffd}d ef"]
    );
}

#[test]
fn a_wide_character_does_not_begin_in_the_last_column() {
    let narrow = "x".repeat(79);
    assert_eq!(rows(layout(640, 480, 32), &format!("{narrow}日")), [&narrow, "\u{fffd}"]);
}

#[test]
fn box_drawings_meet() {
    for layout in [layout(640, 480, 32), layout(1280, 800, 32), layout(1920, 1080, 32)] {
        let framebuffer = shown(layout, "───\n\x1b[H\n│\n│\n│");
        let background = pixel(layout, &framebuffer, layout.width - 1, layout.height - 1);
        // Somewhere down the first row's cells there is a line all the way, and so across the next three rows' first cells.
        let width = if layout.width == 640 {
            8
        } else if layout.width == 1280 {
            12
        } else {
            16
        };
        let across =
            (0..width * 2).any(|y| (0..width * 3).all(|x| pixel(layout, &framebuffer, x, y) != background));
        let down = (0..width)
            .any(|x| (width * 2..width * 8).all(|y| pixel(layout, &framebuffer, x, y) != background));
        assert!(across && down, "{layout:?}");
    }
}

#[test]
fn colours_are_those_of_sgr_and_the_cursor_is_inverse() {
    let layout = layout(640, 480, 32);
    for (sequence, expected) in [
        ("", 0xd0d4d8),
        ("\x1b[31m", 0xd05050),
        ("\x1b[1;31m", 0xf08080),
        ("\x1b[92m", 0xa0e090),
        ("\x1b[31;39m", 0xd0d4d8),
        ("\x1b[1;7;44m\x1b[m", 0xd0d4d8),
        ("\x1b[34;7m", 0x121418),
        ("\x1b[38;5;1m", 0xd0d4d8),
    ] {
        let framebuffer = shown(layout, &format!("{sequence}█"));
        assert_eq!(pixel(layout, &framebuffer, 0, 0), expected, "{sequence:?}");
        let framebuffer = shown(layout, &format!("{sequence}█\r"));
        assert_ne!(pixel(layout, &framebuffer, 0, 0), expected, "the cursor on {sequence:?}");
    }
    assert_eq!(pixel(layout, &shown(layout, "\x1b[44m "), 0, 0), 0x6090d8);
}

#[test]
fn scrolls_and_shows_the_same_however_the_text_comes() {
    let layout = layout(640, 480, 32);
    let text: String = (0..100).map(|line| format!("line {line}: {}\n", "x".repeat(line))).collect();
    let at_once = shown(layout, &text);

    let mut bit_by_bit = vec![0; layout.bytes().unwrap()];
    let mut screen = Screen::new(layout, &mut bit_by_bit).unwrap();
    for character in text.chars() {
        screen.write(character.encode_utf8(&mut [0; 4]));
    }
    assert!(at_once == bit_by_bit);

    let rows = rows(layout, &text);
    // Line 99 takes two of the 30 rows, as all from 71 do, and the cursor stands in the last.
    assert_eq!(rows.last().unwrap(), &"x".repeat(99 - 71));
    assert!(rows[rows.len() - 2].starts_with("line 99: xxx"));
    assert_eq!(rows.len(), 29);
}

#[test]
fn answers_where_the_cursor_is() {
    let layout = layout(640, 480, 32);
    let mut framebuffer = vec![0; layout.bytes().unwrap()];
    let mut screen = Screen::new(layout, &mut framebuffer).unwrap();
    // As the line editor asks how wide the terminal is.
    screen.write(">>> \x1b7\x1b[999C\x1b[6n\x1b8x");
    let reply: Vec<u8> = core::iter::from_fn(|| screen.reply()).collect();
    assert_eq!(reply, b"\x1b[1;80R");
    assert_eq!(Reader::new(layout).unwrap().rows(&framebuffer)[0], ">>> x█");
}

/// What the line editor sends, and text.
const PARTS: [&str; 23] = [
    "a",
    "word ",
    "é",
    "\n",
    "\r",
    "\x08",
    "\t",
    " \r",
    "\x1b[A",
    "\x1b[2B",
    "\x1b[3C",
    "\x1b[999C",
    "\x1b[5D",
    "\x1b[H",
    "\x1b[3;7H",
    "\x1b[G",
    "\x1b[J",
    "\x1b[1J",
    "\x1b[2J",
    "\x1b[K",
    "\x1b[1K",
    "\x1b[31m",
    "\x07",
];

#[test]
fn does_what_another_terminal_does() {
    // 20 columns and 10 rows.
    let layout = layout(160, 160, 32);
    let reader = Reader::new(layout).unwrap();
    for seed in 0..200 {
        let mut rng = Pcg32::seed_from_u64(seed);
        let mut framebuffer = vec![0; layout.bytes().unwrap()];
        let mut screen = Screen::new(layout, &mut framebuffer).unwrap();
        let size = [10, 20].map(|n| core::num::NonZero::new(n).unwrap());
        let mut other = vt100::Parser::new(size[0], size[1], 0);
        let mut said = String::new();
        for _ in 0..100 {
            let part = PARTS[rng.next_u32() as usize % PARTS.len()];
            // Behind a full row, the other one is in a column that is not there; a VT100 is in the last.
            if part.starts_with(['\x08', '\x1b']) && other.screen().cursor_position().1 == 20 {
                continue;
            }
            said.push_str(part);
            screen.write(part);
            other.process(part.replace('\n', "\r\n").as_bytes());

            // Where the next character would go: a request does not move the cursor.
            screen.write("\x1b[6n");
            let reply: Vec<u8> = core::iter::from_fn(|| screen.reply()).collect();
            let (row, column) = other.screen().cursor_position();
            let expected = format!("\x1b[{};{}R", row + 1, column.min(19) + 1);
            assert_eq!(String::from_utf8(reply).unwrap(), expected, "{seed}: {said:?}");
        }
        // Out of the way, where it hides no text.
        screen.write("\x1b[10;20H");
        let read = without_cursor(reader.rows(&framebuffer));
        let expected = other.screen().rows(0, 20);
        for (row, expected) in read.iter().zip(expected) {
            assert_eq!(row, expected.trim_end(), "{seed}: {said:?}");
        }
    }
}

#[test]
fn takes_bytes_of_every_kind() {
    let layout = layout(160, 160, 16);
    let mut framebuffer = vec![0; layout.bytes().unwrap()];
    let mut screen = Screen::new(layout, &mut framebuffer).unwrap();
    let mut rng = Pcg32::seed_from_u64(1);
    for _ in 0..20_000 {
        let parts = [
            "\x1b", "[", ";", "9", "65535", "m", "J", "C", "H", "\u{9b}", "\x1b]0;", "\x1bP", "\u{301}",
            "日", "x", "?",
        ];
        screen.write(parts[rng.next_u32() as usize % parts.len()]);
    }
}

#[test]
fn a_report_covers_the_top_of_the_screen_and_no_more_than_the_screen() {
    let layout = layout(640, 480, 32);
    let mut framebuffer = shown(layout, &"chat\n".repeat(10));
    let before = framebuffer.clone();
    write!(Report::new(layout, &mut framebuffer).unwrap(), "\n*** a fault\n{}", "x".repeat(81)).unwrap();
    // Rows 0 to 2 are the report's over their whole width.
    assert_eq!(pixel(layout, &framebuffer, 639, 47), 0xd05050);
    assert!(framebuffer[48 * layout.pitch..] == before[48 * layout.pitch..]);
    let rows = Reader::new(layout).unwrap().rows(&framebuffer);
    assert_eq!(rows[..4], ["*** a fault", &"x".repeat(80), "x", "chat"]);

    write!(Report::new(layout, &mut framebuffer).unwrap(), "{}", "x\n".repeat(1000)).unwrap();
    assert_eq!(pixel(layout, &framebuffer, 639, 479), 0xd05050);
}

#[test]
fn refuses_layouts_that_it_cannot_write() {
    let good = layout(640, 480, 32);
    let bytes = good.bytes().unwrap();
    let bit = channel(32, 1);
    for (layout, bytes, expected) in [
        (Layout { bits_per_pixel: 8, ..good }, bytes, Unsupported::BitsPerPixel(8)),
        (Layout { red: bit, ..good }, bytes, Unsupported::Channel(bit)),
        (Layout { blue: channel(0, 0), ..good }, bytes, Unsupported::Channel(channel(0, 0))),
        (Layout { green: channel(255, 255), ..good }, bytes, Unsupported::Channel(channel(255, 255))),
        (good, bytes - 1, Unsupported::Size(good, bytes - 1)),
        (Layout { height: 15, ..good }, bytes, Unsupported::TooSmall { width: 640, height: 15 }),
    ] {
        assert_eq!(Screen::new(layout, &mut vec![0; bytes]).err(), Some(expected));
    }
    for layout in [
        Layout { pitch: 2559, ..good },
        Layout { height: usize::MAX, ..good },
        Layout { width: usize::MAX, ..good },
    ] {
        assert_eq!(Screen::new(layout, &mut vec![0; bytes]).err(), Some(Unsupported::Size(layout, bytes)));
    }
}
