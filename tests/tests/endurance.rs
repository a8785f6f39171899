//! A conversation that does not end: random messages, commands, keys and interrupts, one after another, over the serial line of one
//! machine. It takes no memory for good, the model says at the end what it said at the beginning, and nothing stops.
//!
//! `cargo test` holds a short one; `make test-endurance` one of 10,000 messages.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use boot_tests::{Core, LIMIT_MS, machine, pvh, workspace};
use tools::qemu::{Console, Machine};

/// How much is said for every day, and how much by `make test-endurance`.
const SHORT: usize = 100;
const LONG: usize = 10_000;

/// After how many messages it is looked whether all is as at the beginning.
const N_UNTIL_LOOK: usize = 500;

/// The seed of everything that is typed.
const SEED: u64 = 20_260;

/// Of markers: all have the same number of digits.
const FIRST_MARKER: usize = 1_000_000;

/// A program's standard input and output, as a line at whose end nobody shows anything.
struct Line {
    program: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What came and was not waited for.
    said: Vec<u8>,
    _core: Core,
}

impl Line {
    fn start(mut command: Command) -> Self {
        let core = Core::wait_for_one();
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, mut from) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        let (to, output) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                if to.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { program, input, output, said: Vec::new(), _core: core }
    }

    fn send(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).and_then(|()| self.input.flush()).unwrap();
    }

    /// Wait for `text` and return what came before it.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        let mut n_seen: usize = 0;
        loop {
            // What was waited for may have come in two parts.
            let from = n_seen.saturating_sub(text.len());
            if let Some(at) = self.said[from..].windows(text.len()).position(|bytes| bytes == text.as_bytes())
            {
                let rest = self.said.split_off(from + at + text.len());
                let said = std::mem::replace(&mut self.said, rest);
                return String::from_utf8_lossy(&said[..from + at]).into();
            }
            n_seen = self.said.len();
            match self.output.recv_timeout(Duration::from_millis(LIMIT_MS)) {
                Ok(bytes) => self.said.extend(bytes),
                Err(why) => {
                    let (said, status) = (String::from_utf8_lossy(&self.said), self.program.try_wait());
                    panic!("{text:?} does not come: {why}, status {status:?}, after:\n{said}")
                }
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// A linear congruential generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The high bits are the good ones.
        (self.0 >> 33) as usize % n
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn words(&mut self, n: usize) -> String {
        const WORDS: [&str; 12] =
            ["ROMEO:", "the", "king", "is", "dead", "love", "naïve", "12", "Ω", "and", "why?", "JULIET:"];
        (0..n).map(|_| self.one_of(&WORDS)).collect::<Vec<_>>().join(" ")
    }
}

/// Somebody who says anything.
struct Talker {
    line: Line,
    random: Random,
    n_messages: usize,
    n_markers: usize,
}

impl Talker {
    /// Do one thing, whatever it is, and wait until it is done.
    fn act(&mut self) {
        match self.random.below(100) {
            0..60 => self.say(),
            60..70 => self.interrupt(),
            70..74 => self.message("/regen\r"),
            74..78 => self.message("/continue\r"),
            78..82 => self.line.send("/undo\r"),
            82..90 => self.set(),
            90..93 => self.keys(),
            93..97 => self.command(),
            97..99 => self.line.send("/clear\r"),
            _ => self.other_model(),
        }
        self.wait();
    }

    /// Wait until all that was typed is done, and give the next answer a seed.
    #[track_caller]
    fn wait(&mut self) {
        let marker = FIRST_MARKER + self.n_markers;
        self.n_markers += 1;
        self.line.send(&format!("/set seed {marker}\r"));
        self.line.expect(&format!("seed = {marker}"));
    }

    /// Type what makes the model answer.
    fn message(&mut self, keys: &str) {
        self.n_messages += 1;
        self.line.send(keys);
    }

    /// Say some words, seldom very many, or several lines.
    fn say(&mut self) {
        let n_words = match self.random.below(50) {
            0 => 60,
            _ => 1 + self.random.below(8),
        };
        let words = self.random.words(n_words);
        match self.random.below(20) {
            0 => self.message(&format!("\"\"\"{words}\r{words}\"\"\"\r")),
            1 => self.message(&format!("\x1b[200~{words}\r{words}\x1b[201~\r")),
            _ => self.message(&format!("{words}\r")),
        }
    }

    /// Say something, and press Ctrl-C at some time.
    fn interrupt(&mut self) {
        self.line.send("/set max_tokens 100\r");
        self.say();
        thread::sleep(Duration::from_millis(self.random.below(300) as u64));
        self.line.send("\x03/set max_tokens 4\r");
    }

    /// Change a setting, or try to.
    fn set(&mut self) {
        let setting = self.random.one_of(&[
            "temp 0",
            "temp 1.5",
            "temp hot",
            "top_k 1",
            "top_k 0",
            "top_p 0.5",
            "min_p 0",
            "repeat 1.3",
            "repeat_last_n 7",
            "presence 1",
            "frequency -1",
            "no_repeat_ngram 2",
            "max_tokens 1",
            "max_tokens 12",
            "stop \"the\" \"\\n\"",
            "stop none",
            "n_ctx 64",
            "n_ctx 7",
            "kv f32",
            "kv q8_0",
            "kv f16",
            "speculative lookup",
            "speculative off",
        ]);
        self.line.send(&format!("/set {setting}\r"));
    }

    /// Edit a line, and give it up.
    fn keys(&mut self) {
        for _ in 0..self.random.below(30) {
            let key = self.random.one_of(&[
                "a", "é", " ", "\t", "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[3~", "\x7f", "\x01",
                "\x05", "\x0b", "\x15", "\x17", "\x19", "\x0c", "\x12", "\x1bb", "\x1bf", "\x1bd", "\"\"\"",
            ]);
            self.line.send(key);
        }
        // Once for a search, once for the line.
        self.line.send("\x03\x03");
    }

    fn command(&mut self) {
        let command = self.random.one_of(&[
            "/help",
            "/help set",
            "/history",
            "/stats",
            "/info",
            "/memory",
            "/log",
            "/cpu",
            "/template",
            "/tokens the king",
            "/logprobs 3",
            "/perplexity the king is dead",
            "/json on",
            "/json off",
            "/grammar root ::= [a-z]+",
            "/grammar off",
            "/system Be brief.",
            "/system none",
            "/frobnicate",
        ]);
        self.line.send(&format!("{command}\r"));
    }

    /// Talk to another model, or to the same one anew, by the menu or without it.
    fn other_model(&mut self) {
        let model = 1 + self.random.below(2);
        match self.random.below(2) {
            0 => self.line.send(&format!("/model {model}\r")),
            _ => self.line.send(&format!("/model\r{model}\r")),
        }
        self.wait();
        self.line.send("/set max_tokens 4\r");
    }

    /// Begin anew, and return what a model says that draws nothing, and what the memory is used for after that.
    #[track_caller]
    fn look(&mut self) -> [String; 2] {
        self.line.send("/model 1\r");
        self.wait();
        for setting in ["temp 0", "max_tokens 24"] {
            self.line.send(&format!("/set {setting}\r"));
        }
        self.wait();
        self.line.send("ROMEO:\r");
        self.line.expect("ROMEO:\r\n");
        let answer = self.line.expect(">>> ");
        self.line.send("/clear\r");
        self.line.expect("The conversation is forgotten.");
        self.line.send("/memory\r");
        self.line.expect("/memory\r\n");
        let memory = self.line.expect(">>> ");
        self.wait();
        self.line.send("/set max_tokens 4\r");
        [answer, memory]
    }
}

/// Say so many things to the kernel, and look now and then whether all is as at the beginning.
#[track_caller]
fn talk(n_messages: usize) {
    let dir = tempfile::tempdir().unwrap();
    // Of two architectures, and so small that little of the time is theirs.
    let models = ["tiny_llama.gguf", "tiny_gpt2.gguf"];
    let fixtures = workspace().join("engine/tests/fixtures");
    let boot = pvh(&models.map(|model| fixtures.join(model)), dir.path());
    // Little memory, so that what is lost is missed early.
    let machine = Machine { memory_mib: 64, console: Console::Pipe, ..machine(boot) };
    let mut line = Line::start(machine.command());
    line.expect("Which model? ");
    line.send("1\r");
    let mut talker = Talker { line, random: Random(SEED), n_messages: 0, n_markers: 0 };
    // Whatever is taken once is taken now.
    talker.line.expect(">>> ");
    for _ in 0..2 {
        talker.line.send("/model 2\r");
        talker.wait();
        talker.look();
    }
    let first = talker.look();
    let start = Instant::now();
    while talker.n_messages < n_messages {
        let until = n_messages.min(talker.n_messages + N_UNTIL_LOOK);
        while talker.n_messages < until {
            talker.act();
        }
        assert_eq!(talker.look(), first, "after {} messages", talker.n_messages);
        eprintln!("{} messages, {} s: as at the start", talker.n_messages, start.elapsed().as_secs());
    }
    let [answer, memory] = first;
    eprintln!("{answer}\n{memory}");
    talker.line.send("/exit\r");
    assert!(talker.line.program.wait().unwrap().success());
}

#[test]
fn a_random_conversation_leaves_the_machine_as_it_was() {
    talk(SHORT);
}

/// Takes half an hour on a host that is busy with other things as well.
#[test]
#[ignore = "`make test-endurance` runs it"]
fn ten_thousand_random_messages_leave_the_machine_as_it_was() {
    talk(LONG);
}
