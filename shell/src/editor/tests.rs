//! The line editor on scripted terminals: a dumb one, and VT100s on which the line wraps.

use crate::Terminal;
use crate::console::Console;
use crate::editor::{Entered, LineEditor, MAX_LINE_BYTES};
use crate::testing::script::{Kind, Script};

const PROMPT: &str = ">>> ";

const LEFT: &str = "\x1b[D";
const RIGHT: &str = "\x1b[C";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[F";
const DELETE: &str = "\x1b[3~";
const BACKSPACE: &str = "\x7f";

/// Return what is entered, up to the end of the input, and the terminal afterwards.
fn enter(mut terminal: Script) -> (Vec<Entered>, Script) {
    let mut editor = LineEditor::default();
    let mut console = Console::new(&mut terminal);
    let mut all = Vec::new();
    loop {
        let entered = editor.read_line(&mut console, PROMPT);
        if entered == Entered::End {
            return (all, terminal);
        }
        all.push(entered);
    }
}

/// Return the lines that come of `typed`, after making sure that every terminal shows them as they were entered.
fn lines(typed: &str) -> Vec<String> {
    let mut first = None;
    for (kind, columns) in [(Kind::Dumb, 80), (Kind::Vt100, 80), (Kind::Vt100, 20)] {
        let (entered, terminal) = enter(Script::new(kind, columns).types(typed));
        let lines: Vec<_> = entered
            .iter()
            .map(|entered| match entered {
                Entered::Line(line) => line.clone(),
                other => panic!("{typed:?} came to {other:?}"),
            })
            .collect();
        let expected: String = lines.iter().map(|line| format!("{PROMPT}{line}\n")).collect();
        let mut fresh = Script::new(kind, columns);
        fresh.write(&format!("{expected}{PROMPT}"));
        assert_eq!(
            terminal.screen(),
            fresh.screen(),
            "{typed:?} on {columns} columns: {:?}",
            terminal.output()
        );
        assert_eq!(*first.get_or_insert(lines.clone()), lines);
    }
    first.unwrap()
}

#[test]
fn every_key_does_what_it_says() {
    for (typed, line) in [
        ("abc\r".to_string(), "abc"),
        (format!("abc{BACKSPACE}d\r"), "abd"),
        (format!("{BACKSPACE}a\x08\x08b\r"), "b"),
        (format!("abc{LEFT}{LEFT}x\r"), "axbc"),
        ("abc\x02\x02x\r".to_string(), "axbc"),
        (format!("{LEFT}abc{LEFT}{LEFT}{LEFT}{LEFT}x\r"), "xabc"),
        (format!("abc{LEFT}{LEFT}{RIGHT}x\r"), "abxc"),
        (format!("abc{HOME}\x06x{RIGHT}{RIGHT}{RIGHT}y\r"), "axbcy"),
        (format!("abc{HOME}x{END}y\r"), "xabcy"),
        ("abc\x01x\x05y\r".to_string(), "xabcy"),
        (format!("abc{HOME}{DELETE}\r"), "bc"),
        (format!("abc{DELETE}\r"), "abc"),
        (format!("abc{LEFT}\x04\r"), "ab"),
        (format!("abc{LEFT}{BACKSPACE}\r"), "ac"),
        (format!("abcd{LEFT}{LEFT}\x0b\r"), "ab"),
        (format!("abcd{LEFT}{LEFT}\x15\r"), "cd"),
        ("one two  \x17three\r".to_string(), "one three"),
        (format!("one two{LEFT}\x17\r"), "one o"),
        ("a\tb\r".to_string(), "a b"),
        // Keys that mean nothing here: F5, Insert, Alt-x, Ctrl-Left, Ctrl-T, Ctrl-Space.
        ("a\x1b[15~\x1b[2~\x1bx\x14\0b\r".to_string(), "ab"),
    ] {
        assert_eq!(lines(&typed), [line], "{typed:?}");
    }
}

#[test]
fn lines_end_with_return_or_line_feed() {
    assert_eq!(lines("one\rtwo\nthree\r\nfour\r\r\n"), ["one", "two", "three", "four", ""]);
}

#[test]
fn the_last_line_of_a_pipe_needs_no_end() {
    assert_eq!(enter(Script::piped("one\ntwo")).0, ["one", "two"].map(|line| Entered::Line(line.into())));
}

#[test]
fn edits_whole_characters() {
    assert_eq!(lines(&format!("né漢🦀{BACKSPACE}{BACKSPACE}{BACKSPACE}o\r")), ["no"]);
    assert_eq!(lines(&format!("漢字{LEFT}x{LEFT}{LEFT}{DELETE}y\r")), ["yx字"]);
    // A combining acute accent goes with its letter.
    assert_eq!(lines(&format!("ae\u{301}b{LEFT}{LEFT}x{RIGHT}y{BACKSPACE}{BACKSPACE}\r")), ["axb"]);
}

#[test]
fn up_and_down_walk_through_the_history() {
    assert_eq!(lines(&format!("one\rtwo\r{UP}{UP}\r")), ["one", "two", "one"]);
    assert_eq!(lines(&format!("one\rtwo\rdraft{UP}{UP}{UP}{DOWN}{DOWN}!\r"))[2], "draft!");
    assert_eq!(lines(&format!("one\r\x10 more\r{UP}{UP}\x0e\r"))[1..], ["one more", "one more"]);
    assert_eq!(lines(&format!("{DOWN}a\r")), ["a"]);
}

#[test]
fn ctrl_c_drops_the_line_and_tells_whether_there_was_one() {
    let (entered, terminal) = enter(Script::piped("half a li\x03\x03whole\r"));
    let interrupt = |line_was_empty| Entered::Interrupt { line_was_empty };
    assert_eq!(entered, [interrupt(false), interrupt(true), Entered::Line("whole".into())]);
    assert_eq!(terminal.screen().lines().next(), Some(">>> half a li^C"));
    // The walk through the history begins anew.
    let (entered, _) = enter(Script::piped(format!("one\rtwo\r{UP}{UP}\x03{UP}\r")));
    assert_eq!(entered[3], Entered::Line("two".into()));
}

#[test]
fn ctrl_d_leaves_only_an_empty_line() {
    assert_eq!(enter(Script::piped("a\x04\r\x04never\r")).0, [Entered::Line("a".into())]);
}

#[test]
fn ctrl_l_clears_the_screen_and_keeps_the_line() {
    let (entered, terminal) = enter(Script::new(Kind::Vt100, 80).types(format!("one\rtwo{LEFT}\x0cx\r")));
    assert_eq!(entered[1], Entered::Line("twxo".into()));
    assert_eq!(terminal.screen(), ">>> twxo\n>>>");
}

#[test]
fn sends_no_escape_sequence_to_a_terminal_that_sent_none() {
    let typed = "What is it?\rabc\x01\x06\x08x\x05y\x02\x0b\x17\x15\x10\x10\x0e!\r\x03\x04";
    let (_, terminal) = enter(Script::piped(typed));
    assert!(!terminal.output().contains('\x1b'), "{:?}", terminal.output());
}

#[test]
fn asks_a_vt100_for_its_width_once_per_line() {
    let (_, terminal) =
        enter(Script::new(Kind::Vt100, 80).types(format!("ab{LEFT}{LEFT}{RIGHT}\rcd{UP}{UP}\r")));
    assert_eq!(terminal.output().matches("\x1b[6n").count(), 2);
}

#[test]
fn typing_at_the_end_sends_only_what_is_typed() {
    let typed = "What is the capital of France, and how many people live in it? Answer in one word, please.";
    let (_, terminal) = enter(Script::piped(typed.to_string() + "\r"));
    assert_eq!(terminal.output(), format!("{PROMPT}{typed}\n{PROMPT}\n"));
}

#[test]
fn a_line_has_a_limit_and_rings_there() {
    let (entered, terminal) = enter(Script::piped(vec![b'x'; MAX_LINE_BYTES + 3]));
    assert_eq!(entered, [Entered::Line("x".repeat(MAX_LINE_BYTES))]);
    assert_eq!(terminal.output().matches('\x07').count(), 3);
}

/// Whatever is pressed, the screen shows the line as if it had just been typed, and the cursor where it belongs.
#[test]
fn the_screen_follows_random_keys() {
    let keys = [
        "a", "b ", "漢", "é", "e\u{301}", "xyz", LEFT, LEFT, RIGHT, HOME, END, BACKSPACE, DELETE, "\x17",
        "\x0b", "\x15", UP, DOWN,
    ];
    // Linear congruential generator (Knuth's MMIX constants); the high bits are the good ones.
    let mut state = 2026u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for round in 0..150 {
        let (kind, columns) = [(Kind::Dumb, 400), (Kind::Vt100, 80), (Kind::Vt100, 21)][round % 3];
        let mut terminal = Script::new(kind, columns).types("an older line that is long\ran old one\r");
        // The width is asked for at the first such key.
        terminal = terminal.types(RIGHT);
        let mut typed = String::new();
        for _ in 0..random(120) {
            typed += keys[random(keys.len())];
        }
        terminal = terminal.types(&typed);
        let mut editor = LineEditor::default();
        let mut console = Console::new(&mut terminal);
        for _ in 0..2 {
            editor.read_line(&mut console, PROMPT);
        }
        editor.begin(&mut console, PROMPT);
        while let Some(byte) = console.read() {
            assert_eq!(editor.take(&mut console, byte), None);
        }
        let (line, cursor) = (editor.line, editor.cursor);
        let mut fresh = Script::new(kind, columns);
        let older = format!("{PROMPT}an older line that is long\n{PROMPT}an old one\n{PROMPT}");
        fresh.write(&older);
        fresh.write(&line[..cursor]);
        let expected_cursor = fresh.cursor();
        fresh.write(&line[cursor..]);
        assert_eq!(
            terminal.screen(),
            fresh.screen(),
            "{typed:?} on {columns} columns: {:?}",
            terminal.output()
        );
        assert_eq!(
            terminal.cursor(),
            expected_cursor,
            "{typed:?} on {columns} columns: {:?}",
            terminal.output()
        );
    }
}
