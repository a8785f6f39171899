//! From a USB keyboard's reports to keys.
//!
//! A report of the boot protocol says which keys are held, not what has changed (HID 1.11, appendix B.1): a byte of modifiers, a byte
//! without meaning, and up to six keys by their usage (HID Usage Tables 1.12, chapter 10). A USB keyboard repeats nothing by itself; that is
//! done here as well.

use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{HandleControl, KeyCode, KeyEvent, KeyState, UsbBootKeyboardReport};

use super::Keys;

/// How long a key is held before it is repeated, and how long after each time: 30 a second.
const REPEAT_DELAY_NS: u64 = 500_000_000;
const REPEAT_PERIOD_NS: u64 = 33_000_000;

/// The usages by which a keyboard says that it cannot tell which keys are held, or is broken.
const ERRORS: core::ops::RangeInclusive<u8> = 1..=3;

/// Japanese keys by their usages ("Keyboard International1" to 5), which the crate's table lacks.
const JAPANESE_KEYS: [(u8, KeyCode); 5] = [
    (0x87, KeyCode::Oem12),
    (0x88, KeyCode::Oem11),
    (0x89, KeyCode::Oem13),
    (0x8a, KeyCode::Oem10),
    (0x8b, KeyCode::Oem9),
];

/// A USB keyboard: which of its keys are held.
pub struct UsbKeyboard {
    /// Tells what has changed since the last report. What keys type is the business of [`Keys`].
    reports: pc_keyboard::UsbKeyboard<Us104Key>,
    /// The Japanese keys that are held, a bit for each.
    japanese: u8,
    /// The key that was pressed last, while it is held, and when it is repeated next.
    repeats: Option<(KeyCode, u64)>,
}

impl Default for UsbKeyboard {
    /// Return a keyboard of which no key is held.
    fn default() -> Self {
        let reports = pc_keyboard::UsbKeyboard::new(Us104Key, HandleControl::Ignore);
        Self { reports, japanese: 0, repeats: None }
    }
}

impl UsbKeyboard {
    /// Let `keys` know what has changed by a report that came now. One that is too short, or tells of an error, says nothing.
    pub fn report(&mut self, report: &[u8], now_ns: u64, keys: &mut Keys) {
        let &[modifiers, _, ref held @ ..] = report else { return };
        let Some(&held) = held.first_chunk::<6>() else { return };
        if held.iter().any(|usage| ERRORS.contains(usage)) {
            return;
        }
        for event in self.reports.handle_report_raw(&UsbBootKeyboardReport { modifiers, keys: held }) {
            Self::change(&mut self.repeats, event, now_ns, keys);
        }
        for (number, (usage, code)) in JAPANESE_KEYS.into_iter().enumerate() {
            let (was_held, is_held) = (self.japanese & 1 << number != 0, held.contains(&usage));
            if was_held != is_held {
                self.japanese ^= 1 << number;
                let state = if is_held { KeyState::Down } else { KeyState::Up };
                Self::change(&mut self.repeats, KeyEvent { code, state }, now_ns, keys);
            }
        }
    }

    /// Repeat the key that is held for long enough now.
    pub fn repeat(&mut self, now_ns: u64, keys: &mut Keys) {
        if let Some((code, due_ns)) = &mut self.repeats
            && now_ns >= *due_ns
        {
            // Counted from now: what nobody had time to repeat is not made up for.
            *due_ns = now_ns + REPEAT_PERIOD_NS;
            keys.take_in(KeyEvent { code: *code, state: KeyState::Down });
        }
    }

    /// Let go of all keys: the keyboard is not there any more.
    pub fn let_go(&mut self, keys: &mut Keys) {
        self.report(&[0; 8], 0, keys);
    }

    /// Let `keys` know of one change, and remember what is to be repeated.
    fn change(repeats: &mut Option<(KeyCode, u64)>, event: KeyEvent, now_ns: u64, keys: &mut Keys) {
        if event.state == KeyState::Down && can_repeat(event.code) {
            *repeats = Some((event.code, now_ns + REPEAT_DELAY_NS));
        } else if repeats.is_some_and(|(code, _)| code == event.code) {
            *repeats = None;
        }
        keys.take_in(event);
    }
}

/// Return whether a key does the same each time; those that are held for others or switch something do not.
fn can_repeat(code: KeyCode) -> bool {
    use KeyCode::*;
    !matches!(
        code,
        LShift
            | RShift
            | LControl
            | RControl
            | LAlt
            | RAltGr
            | LWin
            | RWin
            | CapsLock
            | NumpadLock
            | ScrollLock
    )
}

#[cfg(test)]
mod tests {
    use super::{Keys, UsbKeyboard};

    const CTRL: u8 = 1 << 0;
    const SHIFT: u8 = 1 << 1;
    const ALT: u8 = 1 << 2;
    const MS: u64 = 1_000_000;

    fn typed(keys: &mut Keys) -> String {
        String::from_utf8(core::iter::from_fn(|| keys.typed()).collect()).unwrap()
    }

    /// What is typed by reports of these modifiers and keys, one millisecond apart, and then one without any.
    fn typed_by(keymap: &str, reports: &[(u8, &[u8])]) -> String {
        let (mut keys, mut keyboard) = (Keys::new(keymap).unwrap(), UsbKeyboard::default());
        for (number, (modifiers, held)) in reports.iter().chain([&(0, &[][..])]).enumerate() {
            let mut report = [0; 8];
            report[0] = *modifiers;
            report[2..2 + held.len()].copy_from_slice(held);
            keyboard.report(&report, number as u64 * MS, &mut keys);
        }
        typed(&mut keys)
    }

    #[test]
    fn types_the_characters_of_the_layout() {
        // The keys that read Q, Y, ; and 2 in the United States, then with Shift, as in the test of scancodes.
        let keys: [(u8, &[u8]); 8] = [
            (0, &[0x14]),
            (0, &[0x1c]),
            (0, &[0x33]),
            (0, &[0x1f]),
            (SHIFT, &[0x14]),
            (SHIFT, &[0x1c]),
            (SHIFT, &[0x33]),
            (SHIFT, &[0x1f]),
        ];
        for (keymap, expected) in
            [("us", "qy;2QY:@"), ("uk", "qy;2QY:\""), ("de", "qzö2QZÖ\""), ("fr", "ayméAYM2")]
        {
            assert_eq!(typed_by(keymap, &keys), expected, "{keymap}");
        }
        // Both keys that a keyboard from Japan has more than others, plain and with Shift.
        assert_eq!(typed_by("jp", &[(0, &[0x87]), (0, &[]), (SHIFT, &[0x87]), (0, &[0x89])]), "\\_¥");
    }

    #[test]
    fn types_what_a_terminal_sends() {
        for (report, expected) in [
            ((0, &[0x28][..]), "\r"),
            ((0, &[0x58]), "\r"),
            ((0, &[0x2a]), "\x08"),
            ((0, &[0x2b]), "\t"),
            ((0, &[0x29]), "\x1b"),
            ((0, &[0x4c]), "\x1b[3~"),
            ((0, &[0x52]), "\x1b[A"),
            ((0, &[0x51]), "\x1b[B"),
            ((0, &[0x4f]), "\x1b[C"),
            ((0, &[0x50]), "\x1b[D"),
            ((0, &[0x4a]), "\x1b[H"),
            ((0, &[0x4d]), "\x1b[F"),
            ((0, &[0x60]), "8"),
            ((CTRL, &[0x06]), "\x03"),
            ((ALT, &[0x05]), "\x1bb"),
            ((CTRL, &[0x50]), "\x1b[1;5D"),
            // F1; a key that no table has.
            ((0, &[0x3a]), ""),
            ((0, &[0xa5]), ""),
        ] {
            assert_eq!(typed_by("us", &[report]), expected, "{report:x?}");
        }
    }

    #[test]
    fn a_key_that_stays_held_is_typed_once_and_others_in_the_order_of_their_reports() {
        let rolling: [(u8, &[u8]); 4] = [(0, &[0x04]), (0, &[0x04, 0x05]), (0, &[0x05]), (0, &[0x06, 0x05])];
        assert_eq!(typed_by("us", &rolling), "abc");
        // Shift comes with the key that it is for, in one report.
        assert_eq!(typed_by("us", &[(0, &[0x04]), (SHIFT, &[0x05])]), "aB");
    }

    /// A keyboard reports 1 in all places when too many keys are held to tell them apart.
    #[test]
    fn what_is_no_report_of_keys_changes_nothing() {
        let (mut keys, mut keyboard) = (Keys::default(), UsbKeyboard::default());
        keyboard.report(&[0, 0, 0x04, 0, 0, 0, 0, 0], 0, &mut keys);
        keyboard.report(&[0, 0, 1, 1, 1, 1, 1, 1], 0, &mut keys);
        for n_bytes in 0..8 {
            keyboard.report(&[0, 0, 5, 5, 5, 5, 5, 5][..n_bytes], 0, &mut keys);
        }
        keyboard.report(&[0, 0, 0x04, 0, 0, 0, 0, 0], 0, &mut keys);
        assert_eq!(typed(&mut keys), "a");
        // The same key several times, and then others in all places.
        keyboard.report(&[0, 0, 5, 5, 5, 5, 5, 5], 0, &mut keys);
        keyboard.report(&[0, 0, 6, 7, 8, 9, 10, 11, 12], 0, &mut keys);
        assert_eq!(typed(&mut keys), "bcdefgh");
    }

    #[test]
    fn a_key_that_is_held_is_repeated_30_times_a_second_after_half_a_second() {
        let (mut keys, mut keyboard) = (Keys::default(), UsbKeyboard::default());
        keyboard.report(&[SHIFT, 0, 0, 0, 0, 0, 0, 0], 0, &mut keys);
        keyboard.report(&[SHIFT, 0, 0x04, 0, 0, 0, 0, 0], 0, &mut keys);
        let typed_until = |keyboard: &mut UsbKeyboard, keys: &mut Keys, from_ms: u64, to_ms: u64| {
            (from_ms..to_ms).for_each(|ms| keyboard.repeat(ms * MS, keys));
            typed(keys)
        };
        assert_eq!(typed_until(&mut keyboard, &mut keys, 0, 500), "A");
        assert_eq!(typed_until(&mut keyboard, &mut keys, 500, 1500).len(), 31);
        // Nobody looked for ten seconds.
        assert_eq!(typed_until(&mut keyboard, &mut keys, 11_500, 11_510), "A");
        // Another key takes its place; the first, let go, does not end that; then the second is let go.
        keyboard.report(&[0, 0, 0x04, 0x05, 0, 0, 0, 0], 12_000 * MS, &mut keys);
        keyboard.report(&[0, 0, 0x05, 0, 0, 0, 0, 0], 12_001 * MS, &mut keys);
        assert_eq!(typed_until(&mut keyboard, &mut keys, 12_400, 12_534), "bbb");
        keyboard.report(&[0; 8], 12_540 * MS, &mut keys);
        assert_eq!(typed_until(&mut keyboard, &mut keys, 12_540, 14_000), "");
        // What switches or modifies is not repeated: Caps Lock is on then, and stays on.
        keyboard.report(&[0, 0, 0x39, 0, 0, 0, 0, 0], 14_000 * MS, &mut keys);
        assert_eq!(typed_until(&mut keyboard, &mut keys, 14_000, 16_000), "");
        assert_eq!(keys.lights(), 0b11);
    }

    #[test]
    fn a_keyboard_that_goes_lets_go_of_its_keys() {
        let (mut keys, mut keyboard) = (Keys::default(), UsbKeyboard::default());
        keyboard.report(&[SHIFT, 0, 0x04, 0, 0, 0, 0, 0], 0, &mut keys);
        keyboard.let_go(&mut keys);
        keyboard.repeat(u64::MAX, &mut keys);
        UsbKeyboard::default().report(&[0, 0, 0x05, 0, 0, 0, 0, 0], 0, &mut keys);
        assert_eq!(typed(&mut keys), "Ab");
    }

    #[test]
    fn lights_follow_the_locks() {
        let mut keys = Keys::default();
        let mut keyboard = UsbKeyboard::default();
        let mut lights_after = |usage| {
            keyboard.report(&[0, 0, usage, 0, 0, 0, 0, 0], 0, &mut keys);
            keyboard.let_go(&mut keys);
            keys.lights()
        };
        assert_eq!([0x39, 0x53, 0x39].map(&mut lights_after), [0b11, 0b10, 0b00]);
        // The numeric pad moves the cursor now, and Num Lock gives it back its digits.
        lights_after(0x60);
        lights_after(0x53);
        lights_after(0x60);
        assert_eq!(typed(&mut keys), "\x1b[A8");
    }
}
