//! From keys to what a terminal would send for them: text, control characters, and the sequences of xterm.
//!
//! Keys come as scancodes of set 1, as a PC's keyboard controller translates them, or from USB keyboards as the reports of
//! [`usb_keyboard`]. Dead keys come as the mark alone.

mod usb_keyboard;

use alloc::collections::VecDeque;
use core::fmt;

use pc_keyboard::layouts::{
    AnyLayout, Azerty, Colemak, DVP104Key, De105Key, Dvorak104Key, FiSe105Key, Jis109Key, No105Key, Uk105Key,
    Us104Key,
};
use pc_keyboard::{
    DecodedKey, EventDecoder, HandleControl, KeyCode, KeyEvent, KeyState, ScancodeSet, ScancodeSet1,
};

pub use usb_keyboard::UsbKeyboard;

/// The layouts by their names, the usual one first.
const KEYMAPS: [(&str, AnyLayout); 11] = [
    ("us", AnyLayout::Us104Key(Us104Key)),
    ("uk", AnyLayout::Uk105Key(Uk105Key)),
    ("de", AnyLayout::De105Key(De105Key)),
    ("fr", AnyLayout::Azerty(Azerty)),
    ("se", AnyLayout::FiSe105Key(FiSe105Key)),
    ("fi", AnyLayout::FiSe105Key(FiSe105Key)),
    ("no", AnyLayout::No105Key(No105Key)),
    ("jp", AnyLayout::Jis109Key(Jis109Key)),
    ("dvorak", AnyLayout::Dvorak104Key(Dvorak104Key)),
    ("dvp", AnyLayout::DVP104Key(DVP104Key)),
    ("colemak", AnyLayout::Colemak(Colemak)),
];

/// There is no keyboard layout of this name; its text names those that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKeymap<'a>(pub &'a str);

impl fmt::Display for UnknownKeymap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keymap={} is not known; there are:", self.0)?;
        KEYMAPS.iter().try_for_each(|(name, _)| write!(f, " {name}"))
    }
}

/// Turns what is done with the keys of all keyboards into typed bytes.
pub struct Keys {
    scancodes: ScancodeSet1,
    decoder: EventDecoder<AnyLayout>,
    shift: bool,
    alt: bool,
    ctrl: bool,
    caps_lock: bool,
    num_lock: bool,
    typed: VecDeque<u8>,
}

impl Default for Keys {
    /// Return the keys of a keyboard from the United States.
    fn default() -> Self {
        Self::with(AnyLayout::Us104Key(Us104Key))
    }
}

impl Keys {
    /// Return the keys of a keyboard with the layout of this name.
    ///
    /// # Errors
    /// The name, when no layout has it.
    pub fn new(keymap: &str) -> Result<Self, UnknownKeymap<'_>> {
        let (_, layout) =
            KEYMAPS.into_iter().find(|(name, _)| *name == keymap).ok_or(UnknownKeymap(keymap))?;
        Ok(Self::with(layout))
    }

    fn with(layout: AnyLayout) -> Self {
        Self {
            scancodes: ScancodeSet1::new(),
            decoder: EventDecoder::new(layout, HandleControl::MapLettersToUnicode),
            shift: false,
            alt: false,
            ctrl: false,
            caps_lock: false,
            num_lock: true, // as the decoder begins
            typed: VecDeque::new(),
        }
    }

    /// Take in a byte from the keyboard behind the PC's keyboard controller.
    pub fn press(&mut self, scancode: u8) {
        // Neither a key that is not known nor the middle of a key's code is anything to act upon.
        if let Ok(Some(event)) = self.scancodes.advance_state(scancode) {
            self.take_in(event);
        }
    }

    /// Take in that a key was pressed or let go.
    fn take_in(&mut self, event: KeyEvent) {
        let held = event.state == KeyState::Down;
        match event.code {
            KeyCode::CapsLock => self.caps_lock ^= held,
            KeyCode::NumpadLock => self.num_lock ^= held,
            KeyCode::LShift | KeyCode::RShift => self.shift = held,
            KeyCode::LControl | KeyCode::RControl => self.ctrl = held,
            // The right one is AltGr, which makes characters.
            KeyCode::LAlt => self.alt = held,
            _ => {}
        }
        match self.decoder.process_keyevent(event) {
            // Alone among the keys of the cursor block, the layouts take it for a character.
            Some(DecodedKey::Unicode('\x7f')) => self.sequence("3", "~"),
            Some(DecodedKey::Unicode('\n')) => self.character('\r'),
            Some(DecodedKey::Unicode(character)) => self.character(character),
            Some(DecodedKey::RawKey(key)) => self.raw(key),
            None => {}
        }
    }

    /// Return which lights of a keyboard are to be on: bit 0 for Num Lock, bit 1 for Caps Lock (HID 1.11, B.1).
    pub fn lights(&self) -> u8 {
        u8::from(self.num_lock) | u8::from(self.caps_lock) << 1
    }

    /// Return the next byte that was typed.
    pub fn typed(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }

    /// Type a character; with Alt, behind an ESC.
    fn character(&mut self, character: char) {
        if self.alt {
            self.typed.push_back(b'\x1b');
        }
        self.typed.extend(character.encode_utf8(&mut [0; 4]).bytes());
    }

    /// Type what a key sends that is no character, if it sends anything.
    fn raw(&mut self, key: KeyCode) {
        match key {
            KeyCode::ArrowUp | KeyCode::Numpad8 => self.sequence("", "A"),
            KeyCode::ArrowDown | KeyCode::Numpad2 => self.sequence("", "B"),
            KeyCode::ArrowRight | KeyCode::Numpad6 => self.sequence("", "C"),
            KeyCode::ArrowLeft | KeyCode::Numpad4 => self.sequence("", "D"),
            KeyCode::Home | KeyCode::Numpad7 => self.sequence("", "H"),
            KeyCode::End | KeyCode::Numpad1 => self.sequence("", "F"),
            KeyCode::PageUp | KeyCode::Numpad9 => self.sequence("5", "~"),
            KeyCode::PageDown | KeyCode::Numpad3 => self.sequence("6", "~"),
            _ => {}
        }
    }

    /// Type a control sequence with a number, if it has one, and the modifiers that are held (xterm's control sequences,
    /// "PC-Style Function Keys").
    fn sequence(&mut self, number: &str, last: &str) {
        let modifiers = u8::from(self.shift) + 2 * u8::from(self.alt) + 4 * u8::from(self.ctrl);
        let sequence = match modifiers {
            0 => alloc::format!("\x1b[{number}{last}"),
            _ => {
                let number = if number.is_empty() { "1" } else { number };
                alloc::format!("\x1b[{number};{}{last}", 1 + modifiers)
            }
        };
        self.typed.extend(sequence.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    const CTRL: u8 = 0x1d;
    const LEFT_SHIFT: u8 = 0x2a;
    const LEFT_ALT: u8 = 0x38;
    /// What is added to a code when its key is let go.
    const UP: u8 = 0x80;

    fn typed(keymap: &str, scancodes: &[u8]) -> String {
        let mut keys = Keys::new(keymap).unwrap();
        scancodes.iter().for_each(|&scancode| keys.press(scancode));
        String::from_utf8(core::iter::from_fn(|| keys.typed()).collect()).unwrap()
    }

    #[test]
    fn types_the_characters_of_the_layout() {
        // The keys that read Q, Y, ; and 2 in the United States, then with Shift.
        let keys = [0x10, 0x15, 0x27, 0x03];
        let shifted: Vec<u8> = [&[LEFT_SHIFT][..], &keys, &[LEFT_SHIFT | UP]].concat();
        for (keymap, plain, with_shift) in
            [("us", "qy;2", "QY:@"), ("uk", "qy;2", "QY:\""), ("de", "qzö2", "QZÖ\""), ("fr", "aymé", "AYM2")]
        {
            assert_eq!(typed(keymap, &keys), plain, "{keymap}");
            assert_eq!(typed(keymap, &shifted), with_shift, "{keymap}");
        }
    }

    #[test]
    fn types_what_a_terminal_sends() {
        for (scancodes, expected) in [
            (&[0x1c][..], "\r"),
            (&[0x0e], "\x08"),
            (&[0x0f], "\t"),
            (&[0x01], "\x1b"),
            (&[0xe0, 0x53], "\x1b[3~"),
            (&[0xe0, 0x48], "\x1b[A"),
            (&[0xe0, 0x50], "\x1b[B"),
            (&[0xe0, 0x4d], "\x1b[C"),
            (&[0xe0, 0x4b], "\x1b[D"),
            (&[0xe0, 0x47], "\x1b[H"),
            (&[0xe0, 0x4f], "\x1b[F"),
            (&[CTRL, 0x2e], "\x03"),
            (&[CTRL, 0x2e, 0x2e | UP, CTRL | UP, 0x2e], "\x03c"),
            (&[0xe0, CTRL, 0x20], "\x04"),
            (&[LEFT_ALT, 0x30], "\x1bb"),
            (&[LEFT_ALT, 0x30, LEFT_ALT | UP, 0x30], "\x1bbb"),
            (&[CTRL, 0xe0, 0x4b], "\x1b[1;5D"),
            (&[LEFT_ALT, 0xe0, 0x53], "\x1b[3;3~"),
            // Caps Lock, then the letter; F1; a code that no key has.
            (&[0x3a, 0x3a | UP, 0x1e], "A"),
            (&[0x3b], ""),
            (&[0x7f, 0x1e], "a"),
        ] {
            assert_eq!(typed("us", scancodes), expected, "{scancodes:x?}");
        }
    }

    #[test]
    fn names_the_keymaps_when_asked_for_another() {
        let error = Keys::new("klingon").err().unwrap().to_string();
        assert!(error.starts_with("keymap=klingon is not known; there are: us uk de fr "), "{error}");
    }
}
