//! From cells to the bytes of a framebuffer, in whatever layout it has.

use core::fmt;

use crate::font::Font;
use crate::grid::Cell;
use crate::style::{Rgb, Style};

/// Where one of the three colours lies in a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Its lowest bit, from the pixel's lowest.
    pub shift: u8,
    /// How many bits it has.
    pub bits: u8,
}

/// How a framebuffer is laid out. A pixel is a little-endian integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Pixels in a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Bytes from one line to the next.
    pub pitch: usize,
    /// Bits of a pixel, with those that show nothing.
    pub bits_per_pixel: usize,
    /// Where red lies.
    pub red: Channel,
    /// Where green lies.
    pub green: Channel,
    /// Where blue lies.
    pub blue: Channel,
}

/// Why a framebuffer cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// Pixels of 16, 24 and 32 bits can be written; this has others.
    BitsPerPixel(usize),
    /// A colour has no bits, or bits outside the pixel.
    Channel(Channel),
    /// Not one character fits onto it.
    TooSmall {
        /// Pixels in a line.
        width: usize,
        /// Lines.
        height: usize,
    },
    /// A line is longer than the pitch, or the lines do not fit into so many bytes.
    Size(Layout, usize),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitsPerPixel(bits) => {
                write!(f, "pixels of 16, 24 or 32 bits can be shown, and this screen has {bits}")
            }
            Self::Channel(Channel { shift, bits }) => {
                write!(f, "a colour of {bits} bits at bit {shift} is not in the screen's pixels")
            }
            Self::TooSmall { width, height } => {
                write!(f, "a screen of {width} x {height} pixels has no room for text")
            }
            Self::Size(Layout { width, height, pitch, .. }, bytes) => {
                write!(f, "{width} x {height} pixels in lines of {pitch} bytes do not fit into {bytes} bytes")
            }
        }
    }
}

impl Channel {
    /// Return a colour's 8 bits where they belong.
    fn place(self, value: u8) -> u32 {
        let value = u32::from(value);
        let scaled = if self.bits <= 8 { value >> (8 - self.bits) } else { value << (self.bits - 8) };
        scaled << self.shift
    }
}

impl Layout {
    /// Return how many bytes a framebuffer takes, without what may follow its last line; `None` if that is no number.
    pub fn bytes(&self) -> Option<usize> {
        self.height.checked_mul(self.pitch)
    }

    /// Return how many bytes a pixel takes.
    fn pixel_bytes(&self) -> usize {
        self.bits_per_pixel / 8
    }

    fn check(&self, bytes: usize) -> Result<(), Unsupported> {
        if ![16, 24, 32].contains(&self.bits_per_pixel) {
            return Err(Unsupported::BitsPerPixel(self.bits_per_pixel));
        }
        for channel in [self.red, self.green, self.blue] {
            let end = usize::from(channel.shift) + usize::from(channel.bits);
            if channel.bits == 0 || end > self.bits_per_pixel {
                return Err(Unsupported::Channel(channel));
            }
        }
        let Self { width, height, .. } = *self;
        let font = Font::for_screen(width, height);
        if width < font.width || height < font.height {
            return Err(Unsupported::TooSmall { width, height });
        }
        let line_fits = width.checked_mul(self.pixel_bytes()).is_some_and(|line| line <= self.pitch);
        if line_fits && self.bytes().is_some_and(|needed| needed <= bytes) {
            Ok(())
        } else {
            Err(Unsupported::Size(*self, bytes))
        }
    }

    fn pixel(&self, [red, green, blue]: Rgb) -> [u8; 4] {
        (self.red.place(red) | self.green.place(green) | self.blue.place(blue)).to_le_bytes()
    }
}

/// A framebuffer whose layout was checked: every cell within it can be drawn.
pub(crate) struct Surface<'f> {
    layout: Layout,
    bytes: &'f mut [u8],
}

impl<'f> Surface<'f> {
    pub(crate) fn new(layout: Layout, bytes: &'f mut [u8]) -> Result<Self, Unsupported> {
        layout.check(bytes.len())?;
        Ok(Self { layout, bytes })
    }

    /// Fill everything with the plain background.
    pub(crate) fn clear(&mut self) {
        let pixel = self.layout.pixel(Style::PLAIN.colours().0);
        let (pitch, width, pixel_bytes) = (self.layout.pitch, self.layout.width, self.layout.pixel_bytes());
        for line in self.bytes.chunks_exact_mut(pitch).take(self.layout.height) {
            for place in line[..width * pixel_bytes].chunks_exact_mut(pixel_bytes) {
                place.copy_from_slice(&pixel[..pixel_bytes]);
            }
        }
    }

    /// Draw one cell, which must lie on the surface.
    pub(crate) fn draw(&mut self, font: &Font, row: usize, column: usize, cell: Cell) {
        match self.layout.pixel_bytes() {
            2 => self.draw_pixels::<2>(font, row, column, cell),
            3 => self.draw_pixels::<3>(font, row, column, cell),
            _ => self.draw_pixels::<4>(font, row, column, cell),
        }
    }

    /// Draw one cell in pixels of `N` bytes.
    fn draw_pixels<const N: usize>(&mut self, font: &Font, row: usize, column: usize, cell: Cell) {
        let shades = self.shades::<N>(cell.style);
        let start = row * font.height * self.layout.pitch + column * font.width * N;
        let lines = self.bytes[start..].chunks_mut(self.layout.pitch);
        for (line, coverage) in lines.zip(font.glyph(cell.character)) {
            let (pairs, _) = line[..font.width * N].as_chunks_mut::<N>().0.as_chunks_mut::<2>();
            for ([left, right], &steps) in pairs.iter_mut().zip(coverage) {
                *left = shades[usize::from(steps >> 4)];
                *right = shades[usize::from(steps & 15)];
            }
        }
    }

    /// Return the pixels for no coverage to full coverage.
    fn shades<const N: usize>(&self, style: Style) -> [[u8; N]; 16] {
        let (background, foreground) = style.colours();
        core::array::from_fn(|step| {
            let step = step as u32;
            let mix = |from: u8, to: u8| ((u32::from(from) * (15 - step) + u32::from(to) * step) / 15) as u8;
            let pixel = self.layout.pixel(core::array::from_fn(|i| mix(background[i], foreground[i])));
            core::array::from_fn(|i| pixel[i])
        })
    }
}
