//! Colours: the 16 of ANSI terminals, and how a cell uses them (ECMA-48 8.3.117, SGR).

/// Red, green and blue, 0 to 255.
pub(crate) type Rgb = [u8; 3];

/// The eight colours of ECMA-48, then the same brighter. Muted, and each legible on the first.
const PALETTE: [Rgb; 16] = [
    [0x12, 0x14, 0x18],
    [0xd0, 0x50, 0x50],
    [0x6c, 0xb0, 0x60],
    [0xd0, 0xa0, 0x50],
    [0x60, 0x90, 0xd8],
    [0xb0, 0x78, 0xc8],
    [0x58, 0xb0, 0xb0],
    [0xd0, 0xd4, 0xd8],
    [0x70, 0x78, 0x80],
    [0xf0, 0x80, 0x80],
    [0xa0, 0xe0, 0x90],
    [0xf0, 0xd0, 0x80],
    [0x90, 0xb8, 0xf8],
    [0xd8, 0xa8, 0xf0],
    [0x90, 0xe0, 0xe0],
    [0xff, 0xff, 0xff],
];

const BLACK: u8 = 0;
const RED: u8 = 1;
const WHITE: u8 = 7;
/// What is added to a colour to make it bright.
const BRIGHT: u8 = 8;

/// How a character is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    foreground: u8,
    background: u8,
    /// Shown in a brighter colour.
    bold: bool,
    /// Foreground and background change places.
    inverse: bool,
}

impl Style {
    /// The terminal's own style.
    pub(crate) const PLAIN: Self = Self { foreground: WHITE, background: BLACK, bold: false, inverse: false };
    /// The style of a report of failure.
    pub(crate) const REPORT: Self = Self { foreground: WHITE, background: RED, bold: true, inverse: false };

    /// Return every style on the terminal's own background.
    pub(crate) fn on_plain_background() -> impl Iterator<Item = Self> {
        (0..PALETTE.len() as u8).map(|foreground| Self { foreground, ..Self::PLAIN })
    }

    /// Return the style with foreground and background in each other's place.
    pub(crate) fn inverted(self) -> Self {
        Self { inverse: !self.inverse, ..self }
    }

    /// Return what is left of the style where a cell is erased.
    pub(crate) fn erased(self) -> Self {
        Self { background: self.background, ..Self::PLAIN }
    }

    /// Return the style after one parameter of SGR. One that is not known changes nothing.
    pub(crate) fn after(self, parameter: u16) -> Self {
        // Each arm bounds the digit.
        let digit = (parameter % 10) as u8;
        match parameter {
            0 => Self::PLAIN,
            1 => Self { bold: true, ..self },
            7 => Self { inverse: true, ..self },
            22 => Self { bold: false, ..self },
            27 => Self { inverse: false, ..self },
            30..=37 => Self { foreground: digit, ..self },
            39 => Self { foreground: WHITE, ..self },
            40..=47 => Self { background: digit, ..self },
            49 => Self { background: BLACK, ..self },
            90..=97 => Self { foreground: digit + BRIGHT, ..self },
            100..=107 => Self { background: digit + BRIGHT, ..self },
            _ => self,
        }
    }

    /// Return the colours of background and foreground.
    pub(crate) fn colours(self) -> (Rgb, Rgb) {
        let foreground = if self.bold { self.foreground | BRIGHT } else { self.foreground };
        let [background, foreground] = [self.background, foreground].map(|index| PALETTE[usize::from(index)]);
        if self.inverse { (foreground, background) } else { (background, foreground) }
    }
}
