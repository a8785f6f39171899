//! What a person sees after every key, on the screen of a terminal emulator: the same as when prompt and text are written on
//! an empty screen, with the cursor put where it belongs.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::testing::random::Random;

/// A person at a terminal who waits after every key until the screen rests.
struct Person {
    terminal: Script,
    editor: LineEditor,
}

impl Person {
    fn at(mut terminal: Script) -> Self {
        let mut editor = editor();
        editor.begin(&mut Console::new(&mut terminal), PROMPT);
        let mut person = Self { terminal, editor };
        person.press("");
        person
    }

    /// Press `keys`, wait, and return how many bytes came of it.
    fn press(&mut self, keys: &str) -> usize {
        let before = self.terminal.output().len();
        let mut console = Console::new(&mut self.terminal);
        for byte in keys.bytes() {
            if self.editor.take(&mut console, byte).is_some() {
                self.editor.view.finish(&mut console, PROMPT, self.editor.text.as_str(), "");
                self.editor.begin(&mut console, PROMPT);
            }
        }
        loop {
            self.editor.show(&mut console);
            if !console.has_input() {
                break;
            }
            while console.has_input() {
                let reply = console.read().unwrap();
                assert_eq!(self.editor.take(&mut console, reply), None);
            }
        }
        drop(console);
        self.terminal.output().len() - before
    }

    /// Make sure that the screen shows `above` and then prompt and text, or the part around the cursor that has room.
    #[track_caller]
    fn check(&self, above: &[String], columns: usize, what: &dyn Fn() -> String) {
        let (text, cursor) = (self.editor.text.as_str(), self.editor.text.cursor());
        let (rows, (cursor_row, cursor_column)) = naive_rows(text, cursor, columns);
        let all: Vec<_> = above.iter().chain(&rows).map(|row| row.trim_end().to_string()).collect();
        let cursor = (above.len() + cursor_row, cursor_column);
        let screen = self.terminal.screen();
        let seen: Vec<_> = screen.split('\n').collect();
        let (row, column) = self.terminal.cursor();
        let first = cursor.0.checked_sub(row.into());
        let is_right = first.is_some_and(|first| {
            let mut expected = all[first..].iter().take(self.terminal.size().0.into()).collect::<Vec<_>>();
            while expected.len() > 1 && expected.last().is_some_and(|row| row.is_empty()) {
                expected.pop();
            }
            seen == expected
        });
        assert!(
            is_right && usize::from(column) == cursor.1,
            "{}\ncursor {:?}, expected column {}, screen:\n{screen}\nexpected (a part of):\n{}",
            what(),
            (row, column),
            cursor.1,
            all.join("\n"),
        );
    }
}

/// Return the rows of prompt and text, and row and column of the cursor: a cluster after the other, as long as the row has room.
fn naive_rows(text: &str, cursor: usize, columns: usize) -> (Vec<String>, (usize, usize)) {
    let mut rows = vec![String::from(PROMPT)];
    let mut column = PROMPT.len();
    let mut place = None;
    for (index, cluster) in text.grapheme_indices(true) {
        let shown = cluster.replace('\t', "    ").replace('\n', "");
        let width = width_in_emulator(&shown);
        if column + width > columns - 1 {
            rows.push(String::new());
            column = 0;
        }
        if index >= cursor && place.is_none() {
            place = Some((rows.len() - 1, column));
        }
        rows.last_mut().unwrap().push_str(&shown);
        column += width;
        if cluster == "\n" {
            rows.push("... ".into());
            column = 4;
        }
    }
    let end = (rows.len() - 1, column);
    (rows, place.unwrap_or(end))
}

/// Return the columns that the emulator gives `text`: it shows joined characters apart, and those before U+FE0F wide.
fn width_in_emulator(text: &str) -> usize {
    let mut width = 0;
    for character in text.chars() {
        width += match character {
            '\u{fe0f}' => 1,
            character => character.to_string().width(),
        };
    }
    width
}

const KEYS: [&str; 34] = [
    "a",
    "b ",
    "word",
    "漢",
    "字 ",
    "é",
    "e\u{301}",
    "ﬁ",
    "🦀",
    "👩\u{200d}🚀",
    "❤\u{fe0f}",
    "👍🏽",
    "\u{301}",
    "\t",
    LEFT,
    LEFT,
    RIGHT,
    HOME,
    END,
    UP,
    DOWN,
    CTRL_LEFT,
    CTRL_RIGHT,
    BACKSPACE,
    BACKSPACE,
    DELETE,
    ALT_BACKSPACE,
    "\x17",
    "\x0b",
    "\x15",
    "\x19",
    "\x1bd",
    "\x1b[200~p\nq r\x1b[201~",
    "a sentence that takes more than one row ",
];

#[test]
fn the_screen_follows_every_key() {
    let sizes = [(100, 20), (100, 40), (100, 80), (6, 20), (24, 80)];
    for (round, (rows, columns)) in sizes.into_iter().cycle().take(60).enumerate() {
        let kind = [Kind::Vt100, Kind::Local][round % 2];
        let mut random = Random::new(round);
        let mut person = Person::at(Script::of_size(kind, rows, columns));
        person.press("an older text\\\rof two lines\ran old one\r");
        let above = [">>> an older text", "... of two lines", ">>> an old one"].map(String::from);
        // Rows that are too short for the older texts are not what is tested.
        let mut above = above.to_vec();
        above.iter_mut().for_each(|row| assert!(row.len() < columns.into()));
        let mut pressed = String::new();
        for _ in 0..80 {
            let key = KEYS[random.below(KEYS.len())];
            pressed += key;
            person.press(key);
            person.check(&above, columns.into(), &|| {
                format!("{rows} x {columns}: {pressed:?}\n{:?}", person.terminal.output())
            });
        }
        above.clear();
    }
}

#[test]
fn a_person_who_types_fast_sees_the_same_in_the_end() {
    for round in 0..30 {
        let mut random = Random::new(1000 + round);
        let mut person = Person::at(Script::new(Kind::Vt100, 40));
        for _ in 0..20 {
            let burst: String = (0..random.below(20)).map(|_| KEYS[random.below(KEYS.len())]).collect();
            person.press(&burst);
            person.check(&[], 40, &|| format!("{burst:?}"));
        }
    }
}

#[test]
fn a_terminal_that_joins_emoji_is_believed() {
    let mut person = Person::at(Script::new(Kind::Joining, 40));
    for key in ["ab", "👩\u{200d}🚀", "x", LEFT, LEFT, BACKSPACE, END, "y", "👩\u{200d}🚀", LEFT, "z"]
    {
        person.press(key);
    }
    assert_eq!(person.terminal.screen(), ">>> a合xyz合");
    assert_eq!(person.terminal.cursor(), (0, 4 + 6));
}

#[test]
fn a_silent_terminal_is_taken_for_one_of_80_columns() {
    let mut person = Person::at(Script::new(Kind::Silent, 80));
    let mut pressed = String::new();
    let mut random = Random::new(7);
    for _ in 0..300 {
        let key = KEYS[random.below(KEYS.len())];
        // Only an answer tells how wide joined emoji are.
        if !["👩\u{200d}🚀", "❤\u{fe0f}", "👍🏽"].contains(&key) {
            pressed += key;
            person.press(key);
            person.check(&[], 80, &|| format!("{pressed:?}"));
        }
    }
}

#[test]
fn the_line_follows_the_size_of_the_window() {
    let mut person = Person::at(Script::new(Kind::Local, 80));
    person.press(&"one two three four five ".repeat(6));
    for columns in [60, 100, 30, 31, 30, 80] {
        person.terminal.resize(100, columns);
        person.press(LEFT);
        person.check(&[], columns.into(), &|| format!("{columns} columns"));
    }
}

#[test]
fn an_answer_that_comes_late_is_used() {
    let mut person = Person::at(Script::new(Kind::Silent, 30));
    person.press(&"x".repeat(20));
    person.press("\x1b[100;30R");
    person.press(&"y".repeat(30));
    person.check(&[], 30, &|| "30 columns".into());
    // An answer that makes no sense is not.
    person.press("\x1b[1;1R\x1b[R");
    person.press("z");
    person.check(&[], 30, &|| "30 columns".into());
}

/// At 9600 baud a byte takes about a millisecond.
#[test]
fn few_bytes_are_sent_for_a_key() {
    let mut person = Person::at(Script::new(Kind::Vt100, 80));
    person.press("");
    for character in "What is the capital of France? 漢é🦀".chars() {
        assert_eq!(person.press(&character.to_string()), character.len_utf8(), "{character}");
    }
    for (key, at_most) in [
        (BACKSPACE, 5),
        (BACKSPACE, 4),
        (LEFT, 2),
        (RIGHT, 4),
        (HOME, 5),
        (END, 5),
        (CTRL_LEFT, 4),
        (CTRL_RIGHT, 4),
    ] {
        let sent = person.press(key);
        assert!(sent <= at_most, "{key:?}: {sent} bytes");
    }
    // In the middle, the rest of the row is sent again.
    person.press(HOME);
    let sent = person.press("x");
    assert!(sent <= 1 + "What is the capital of France? 漢".len() + 5, "{sent} bytes");
    // A key in the middle of a long text sends the rest of its line, but not of the lines below.
    person.press(END);
    person.press(&"\\\rfour".repeat(10));
    person.press(&UP.repeat(5));
    for key in ["x", BACKSPACE, "\x17", "\x19"] {
        let sent = person.press(key);
        assert!(sent <= 10, "{key:?}: {sent} bytes");
    }
}
