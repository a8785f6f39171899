//! The line editor on scripted terminals: what the keys make of a text, and what comes over the line.

mod screen;

use crate::console::Console;
use crate::editor::text::MAX_BYTES;
use crate::editor::{Entered, LineEditor};
use crate::testing::script::{Kind, Script};

const PROMPT: &str = ">>> ";

pub(super) const LEFT: &str = "\x1b[D";
pub(super) const RIGHT: &str = "\x1b[C";
pub(super) const UP: &str = "\x1b[A";
pub(super) const DOWN: &str = "\x1b[B";
pub(super) const HOME: &str = "\x1b[H";
pub(super) const END: &str = "\x1b[F";
pub(super) const DELETE: &str = "\x1b[3~";
pub(super) const BACKSPACE: &str = "\x7f";
pub(super) const CTRL_LEFT: &str = "\x1b[1;5D";
pub(super) const CTRL_RIGHT: &str = "\x1b[1;5C";
pub(super) const ALT_BACKSPACE: &str = "\x1b\x7f";

/// An editor that knows the words `/set`, `/stats` and `/system`.
fn editor() -> LineEditor {
    LineEditor::new(["/set", "/stats", "/system", "/help"].map(String::from).into())
}

/// Return what is entered, up to the end of the input, and the terminal afterwards.
fn enter(mut terminal: Script) -> (Vec<Entered>, Script) {
    let mut editor = editor();
    let mut console = Console::new(&mut terminal);
    let mut all = Vec::new();
    loop {
        let entered = editor.read_line(&mut console, PROMPT);
        if entered == Entered::End {
            drop(console);
            return (all, terminal);
        }
        all.push(entered);
    }
}

/// Return the messages that come of `typed`, after making sure that it does not matter at which terminal.
#[track_caller]
fn messages(typed: &str) -> Vec<String> {
    let on = |kind, columns| -> Vec<String> {
        let (entered, _) = enter(Script::new(kind, columns).types(typed));
        let message = |entered| match entered {
            Entered::Line(line) => line,
            other => panic!("{typed:?} came to {other:?}"),
        };
        entered.into_iter().map(message).collect()
    };
    let messages = on(Kind::Dumb, 80);
    for (kind, columns) in [(Kind::Vt100, 80), (Kind::Silent, 20), (Kind::Local, 20)] {
        assert_eq!(on(kind, columns), messages, "{typed:?}");
    }
    messages
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
        (format!("one, two!{CTRL_LEFT}x{CTRL_LEFT}{CTRL_LEFT}y\r"), "yone, xtwo!"),
        ("one, two!\x1bbx\x1bb\x1bby\r".to_string(), "yone, xtwo!"),
        (format!("one, two!{HOME}{CTRL_RIGHT}x{CTRL_RIGHT}y{CTRL_RIGHT}z\r"), "onex, twoy!z"),
        (format!("one, two!{HOME}\x1bfx\x1bfy\r"), "onex, twoy!"),
        (format!("one, two!{ALT_BACKSPACE}x{ALT_BACKSPACE}{ALT_BACKSPACE}y\r"), "y"),
        (format!("one, two!{HOME}\x1bdx\x1bd\r"), "x!"),
        (format!("one, two!{HOME}\x1b[3;5~\r"), ", two!"),
        ("a\tb\r".to_string(), "a\tb"),
        // Keys that mean nothing here: F5, Insert, Page Up, Alt-x, Ctrl-T, Ctrl-G, Ctrl-Space.
        ("a\x1b[15~\x1b[2~\x1b[5~\x1bx\x14\x07\0b\r".to_string(), "ab"),
    ] {
        assert_eq!(messages(&typed), [line], "{typed:?}");
    }
}

#[test]
fn ctrl_y_brings_back_what_was_cut_out() {
    assert_eq!(messages("one two\x17\x19 \x19\r"), ["one two two"]);
    assert_eq!(messages(&format!("ab{LEFT}\x0b{HOME}\x19\r")), ["ba"]);
    // What is cut without another key in between comes back together, in both directions.
    assert_eq!(messages("one two three\x17\x17x\x19\r"), ["one xtwo three"]);
    assert_eq!(messages(&format!("one two three{HOME}\x1bd\x1bd\x05 \x19\r")), [" three one two"]);
    assert_eq!(messages("one two\x17x\x17\x19\r"), ["one x"]);
    assert_eq!(messages("a\x19\r"), ["a"]);
}

#[test]
fn lines_end_with_return_or_line_feed() {
    assert_eq!(messages("one\rtwo\nthree\r\nfour\r\r\n"), ["one", "two", "three", "four", ""]);
}

#[test]
fn the_last_line_of_a_pipe_needs_no_end() {
    assert_eq!(messages("one\ntwo"), ["one", "two"]);
    assert_eq!(messages("\"\"\"one\ntwo"), ["one\ntwo"]);
}

#[test]
fn edits_whole_characters() {
    assert_eq!(messages(&format!("né漢🦀{BACKSPACE}{BACKSPACE}{BACKSPACE}o\r")), ["no"]);
    assert_eq!(messages(&format!("漢字{LEFT}x{LEFT}{LEFT}{DELETE}y\r")), ["yx字"]);
    // A combining acute accent goes with its letter, and what is joined stays together.
    assert_eq!(messages(&format!("ae\u{301}b{LEFT}{LEFT}x{RIGHT}y{BACKSPACE}{BACKSPACE}\r")), ["axb"]);
    for emoji in ["👩\u{200d}🚀", "👍🏽", "🇫🇷", "❤\u{fe0f}", "👨\u{200d}👩\u{200d}👧\u{200d}👦"]
    {
        assert_eq!(
            messages(&format!("a{emoji}b{LEFT}{LEFT}x{RIGHT}y{LEFT}{BACKSPACE}\r")),
            ["axyb"],
            "{emoji}"
        );
        assert_eq!(messages(&format!("a{emoji}b{HOME}{RIGHT}{DELETE}\r")), ["ab"], "{emoji}");
    }
}

#[test]
fn up_and_down_walk_through_the_history() {
    assert_eq!(messages(&format!("one\rtwo\r{UP}{UP}\r")), ["one", "two", "one"]);
    assert_eq!(messages(&format!("one\rtwo\rdraft{UP}{UP}{UP}{DOWN}{DOWN}!\r"))[2], "draft!");
    assert_eq!(messages(&format!("one\r\x10 more\r{UP}{UP}\x0e\r"))[1..], ["one more", "one more"]);
    assert_eq!(messages(&format!("{DOWN}a\r")), ["a"]);
}

#[test]
fn ctrl_r_searches_the_history() {
    let older = "the first line\ra second one\rthe third line\r";
    for (typed, message) in [
        ("\x12line\r", "the third line"),
        ("\x12line\x12\r", "the first line"),
        ("\x12line\x12\x12\x12\r", "the first line"),
        ("\x12se\r", "a second one"),
        // What no entry has is not taken; Backspace searches anew.
        ("\x12sezzz\r", "a second one"),
        ("\x12fi\x7f\x7fthi\r", "the third line"),
        // The cursor stands where the text was found.
        ("\x12second\x02x\r", "ax second one"),
        ("\x12third\x1b[Cx\r", "the txhird line"),
        // The walk goes on from there.
        ("draft\x12second\x1b[B\x1b[B!\r", "draft!"),
        ("draft\x12second\x07!\r", "draft!"),
        ("draft\x12\r", "draft"),
        ("draft\x12\x12\x12zzz\r", "draft"),
    ] {
        assert_eq!(messages(&format!("{older}{typed}"))[3], message, "{typed:?}");
    }
    let (_, terminal) =
        enter(Script::new(Kind::Vt100, 80).types("one\rtwo\r\x12n").after("(search) n: one").types("\r"));
    assert_eq!(terminal.screen(), ">>> one\n>>> two\n>>> one\n>>>");
}

#[test]
fn quotes_and_backslashes_make_several_lines() {
    assert_eq!(messages("\"\"\"one\rtwo\r\"\"\"\rthree\r"), ["one\ntwo", "three"]);
    assert_eq!(messages("one \\\rtwo\\\r\rthree\r"), ["one \ntwo\n", "three"]);
    // A backslash between quotes is text; so is one that a space follows, or that is not at the line's end.
    assert_eq!(messages("\"\"\"a\\\rb\"\"\"\r"), ["a\\\nb"]);
    assert_eq!(messages("a\\ \r"), ["a\\ "]);
    assert_eq!(messages(&format!("a\\b{LEFT}\r")), ["a\\b"]);
    let (_, terminal) = enter(Script::piped("\"\"\"one\n\ntwo\"\"\"\nthree\\\nfour\n"));
    assert_eq!(terminal.output(), ">>> \"\"\"one\n... \n... two\"\"\"\n>>> three\n... four\n>>> \n");
}

#[test]
fn arrows_walk_through_the_lines_of_a_message() {
    let typed = "\"\"\"one\rtwo three\rx";
    assert_eq!(messages(&format!("{typed}{UP}!{UP}{UP}{DOWN}{DOWN}{END}\"\"\"\r")), ["one\nt!wo three\nx"]);
    assert_eq!(messages(&format!("{typed}\"\"\"{UP}{HOME}({END}){HOME}\x0b\x0b\r")), ["one\nx"]);
    assert_eq!(messages(&format!("{typed}\"\"\"{UP}{HOME}{BACKSPACE}, \r")), ["one, two three\nx"]);
    assert_eq!(messages(&format!("{typed}\"\"\"{UP}{HOME}\x15 \r")), ["one two three\nx"]);
}

#[test]
fn the_history_recalls_messages_of_several_lines() {
    assert_eq!(messages(&format!("\"\"\"one\rtwo\"\"\"\rthree\r{UP}{UP}\r"))[2], "one\ntwo");
    assert_eq!(messages(&format!("one\\\rtwo\r{UP}{UP}{UP}{DOWN}{DOWN}x\r")), ["one\ntwo", "x"]);
    assert_eq!(messages(&format!("one\\\rtwo\r{UP}{UP}!{DOWN}!\r"))[1], "one!\ntwo!");
}

#[test]
fn a_paste_is_one_message() {
    let paste = |text: &str| format!("\x1b[200~{text}\x1b[201~");
    assert_eq!(
        messages(&format!("Explain: {}.\r", paste("fn a() {\r\tb();\r}\r"))),
        ["Explain: fn a() {\n\tb();\n}\n."]
    );
    assert_eq!(messages(&format!("{}\r", paste("one\ntwo\r\nthree"))), ["one\ntwo\nthree"]);
    // Its backslashes and quotes are text.
    assert_eq!(messages(&format!("{}\r", paste("a \\\nb"))), ["a \\\nb"]);
    assert_eq!(messages(&format!("{}\r", paste("s = \"\"\"doc\ndoc\"\"\""))), ["s = \"\"\"doc\ndoc\"\"\""]);
    // Its keys do nothing.
    assert_eq!(messages(&format!("{}\r", paste("a\x03b\x04\x15\x1b[Ac\x1b[2Jd\x07\x1b]0;e"))), ["abcd0;e"]);
}

#[test]
fn ten_kilobytes_can_be_pasted() {
    let line = "All work and no play makes Jack a dull boy; 漢字 and 🦀 too.\n";
    let text = line.repeat(10_240 / line.len() + 1);
    for (kind, columns) in [(Kind::Vt100, 80), (Kind::Local, 40), (Kind::Dumb, 80)] {
        let script = Script::of_size(kind, 24, columns).types(format!("\x1b[200~{text}\x1b[201~\r/x\r"));
        let (entered, terminal) = enter(script);
        assert_eq!(entered, [Entered::Line(text.clone()), Entered::Line("/x".into())]);
        assert!(terminal.screen().ends_with("too.\n...\n>>> /x\n>>>"), "{}", terminal.screen());
        let n_rows = text.lines().count() * 2 + 4;
        assert!(terminal.output().len() < text.len() + 6 * n_rows + 100, "{} bytes", terminal.output().len());
    }
}

#[test]
fn tab_completes_commands() {
    assert_eq!(messages("/h\tset\r"), ["/help set"]);
    assert_eq!(messages("/st\t\r"), ["/stats "]);
    assert_eq!(messages("/\thelp\r"), ["/help"]);
    assert_eq!(messages("/s\ty\tx\r"), ["/system x"]);
    assert_eq!(messages("/nothing\t\r"), ["/nothing"]);
    assert_eq!(messages("/help \tx\r"), ["/help \tx"]);
    let (_, terminal) = enter(Script::new(Kind::Vt100, 80).types("/s").after("/s").types("\tt\t\r"));
    assert_eq!(terminal.screen(), ">>> /s\n/set  /stats  /system\n>>> /stats\n>>>");
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
fn a_pipe_gets_the_text_and_no_control_sequence() {
    let typed = "What is it?\rabc\x01\x06\x08x\x05y\x02\x0b\x17\x15\x10\x10\x0e!\r\x03\x12W\x0c\t\r\x04";
    let (_, terminal) = enter(Script::piped(typed));
    assert_eq!(terminal.output(), ">>> What is it?\n>>> !\n>>> ^C\n>>>     What is it?\n>>> \n");
}

#[test]
fn pastes_are_marked_from_the_first_prompt_to_the_end() {
    let (_, terminal) = enter(Script::new(Kind::Local, 80).types("one\r"));
    assert_eq!(terminal.output(), "\x1b[?2004h\x1b[?7h>>> one\n\x1b[?2004h\x1b[?7h>>> \n\x1b[?2004l");
}

#[test]
fn the_size_is_asked_for_at_every_prompt_where_the_host_does_not_know_it() {
    let count = |kind| enter(Script::new(kind, 80).types("one\rtwo\r")).1.output().matches("\x1b[6n").count();
    assert_eq!([Kind::Dumb, Kind::Local, Kind::Vt100, Kind::Silent].map(count), [0, 0, 3, 3]);
}

#[test]
fn a_text_has_a_limit_and_rings_there() {
    let (entered, terminal) = enter(Script::new(Kind::Vt100, 80).types(vec![b'x'; MAX_BYTES + 3]));
    assert_eq!(entered, [Entered::Line("x".repeat(MAX_BYTES))]);
    assert_eq!(terminal.output().matches('\x07').count(), 1);
}

#[test]
fn what_is_typed_ahead_is_taken_in_order() {
    let (entered, terminal) = enter(Script::new(Kind::Vt100, 40).types("one\rtwo\x7fx\r\x1b[A\r"));
    assert_eq!(entered, ["one", "twx", "twx"].map(|line| Entered::Line(line.into())));
    assert_eq!(terminal.screen(), ">>> one\n>>> twx\n>>> twx\n>>>");
}
