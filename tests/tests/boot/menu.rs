//! The menu in the machine: two good models and a broken file; and what the kernel's command line asks for.

use std::fs;
use std::path::{Path, PathBuf};

use boot_tests::{Guest, machine, model, pvh};
use engine::testing::ChainModel;
use regex::Regex;
use tools::qemu::{Boot, Machine};

/// Write models into `dir` that answer "one" and "two", and a file that is none.
pub(crate) fn models(dir: &Path) -> [PathBuf; 3] {
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    [
        write("one.gguf", &ChainModel::answers("one").file()),
        write("broken.gguf", b"GGUF and then nothing"),
        write("two.gguf", &ChainModel::answers("two").file()),
    ]
}

/// Return a machine with these models and `words` on the kernel's command line.
fn boot(dir: &Path, words: &str) -> Guest {
    let Boot::Pvh { kernel, initrd, .. } = pvh(&models(dir), dir) else { unreachable!("it is PVH") };
    Guest::boot(&machine(Boot::Pvh { kernel, initrd, command_line: words.into() }))
}

#[test]
fn a_person_goes_from_model_to_model_and_powers_the_machine_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = boot(dir.path(), "terminal=pipe log=info tmep=1");
    let start = guest.expect("Which model? [1] ");
    for part in [
        " brought by PVH, command line: terminal=pipe log=info tmep=1\n",
        "\nbootlm ",
        "\ncommand line: there is no option tmep; did you mean temp?\n",
        "\n✓  1 chain ",
        "\n✓  2 chain ",
        "\n✗    broken.gguf: cannot be used: ",
        "✗ TinyLlama-1.1B-Chat-v1.0",
    ] {
        assert!(start.contains(part), "{part:?} is not in: {start}");
    }
    guest.send("\x1b[B\r"); // down, Enter
    let two = guest.prompt();
    assert!(two.contains("\ntwo.gguf: llama 231K F32"), "{two}");
    assert_eq!(guest.ask("hi"), "two");
    assert!(guest.ask("/memory").contains("keys and values of 2048 tokens"));
    assert!(guest.ask("/log").contains(" module initrd: "));

    guest.send("/model\r");
    let menu = guest.expect("Which model? [1] ");
    assert!(menu.contains("\n✗    broken.gguf: cannot be used: "), "{menu}");
    guest.send("1\r");
    let one = guest.prompt();
    assert!(one.starts_with("1\none.gguf: llama 231K F32"), "{one}");
    assert_eq!(guest.ask("hi"), "one");
    guest.send("/poweroff\r");
    assert_eq!(guest.end(), ("/poweroff\n".into(), 0));
}

/// What a person sees who goes through [`a_conversation_looks_on_the_screen_as_it_was_held`].
const CONVERSATION: &str = r#"(?s)^bootlm .+
Which model\? \[1\] 1 *
SmolLM2-135M-Instruct\.Q4_1\.gguf: llama 135M Q4_1, 98\.4 MB, context 2048 of 8192
ready in .+
/help lists the commands, /demo what to try; Ctrl-C stops, /exit leaves\.

>>> What is the capital of France\?
The capital of France is Paris\.

>>> And Germany\?
The capital of Germany is Berlin\.

>>> /stats
prefill: 14 tokens, \d+\.\d\d s, \d+\.\d tokens/s; 23 reused
decode: 7 tokens, \d+\.\d\d s, \d+\.\d tokens/s
context: 44 of 2048 tokens
machine: .+

>>> /regen
The capital of Germany is Berlin\.

>>> /undo
Taken back: And Germany\?

>>> Write a long story about a dog\.
.+\[stopped; /continue goes on\]

>>> /history
you \(16 tokens\): What is the capital of France\?
model \(7 tokens\): The capital of France is Paris\.
you \(\d+ tokens\): Write a long story about a dog\.
model \(\d+ tokens\): .+

>>> /model
.+
Which model\? \[\d\] 2 *
two\.gguf: llama 231K F32, .+

>>> hi
two

>>> ?$"#;

#[test]
fn a_conversation_looks_on_the_screen_as_it_was_held() {
    let dir = tempfile::tempdir().unwrap();
    let [_, broken, two] = models(dir.path());
    let boot = pvh(&[model().into(), broken, two], dir.path());
    let mut guest = Guest::boot(&Machine { memory_mib: 1024, ..machine(boot) });
    // Any key stops the countdown.
    guest.expect("Which model? [1] (starts in ");
    guest.send("1\r");
    guest.prompt();
    for line in ["What is the capital of France?", "And Germany?", "/stats", "/regen", "/undo"] {
        guest.ask(line);
    }
    guest.send("Write a long story about a dog.\r");
    guest.expect("dog.");
    guest.expect("\n");
    guest.expect(" "); // the first word is there
    guest.send("\x03");
    guest.prompt();
    guest.ask("/history");
    guest.send("/model\r");
    guest.expect("Which model? [");
    guest.send("2\r");
    guest.prompt();
    guest.ask("hi");
    let screen = guest.screen();
    assert!(Regex::new(CONVERSATION).unwrap().is_match(&screen), "{screen}");
    guest.send("/poweroff\r");
    assert_eq!(guest.end(), ("/poweroff\n".into(), 0));
}

#[test]
fn a_machine_without_a_person_takes_the_default_after_the_countdown_and_reboots_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = boot(dir.path(), "model=two");
    guest.expect("Which model? [2] (starts in ");
    let two = guest.prompt();
    assert!(two.contains("\ntwo.gguf: llama 231K F32"), "{two}");
    // QEMU is told to end where a machine starts again.
    guest.send("/reboot\r");
    let (said, status) = guest.end();
    assert!(said.starts_with("/reboot\n") && status == 0, "{said}");
}

#[test]
fn the_command_line_generates_and_powers_off() {
    let dir = tempfile::tempdir().unwrap();
    let (said, status) = boot(dir.path(), "model=two prompt=\"selftest=cpu hi\" once").end();
    assert!(said.ends_with("\n>>> selftest=cpu hi\ntwo\n\n"), "{said}");
    assert_eq!(status, 0);
}
