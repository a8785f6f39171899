//! What a person has who types `make run`: `bootlm run` at a terminal and behind a pipe.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use boot_tests::{Core, Guest, bootlm, linked_kernel, machine, model, pvh_with};
use regex::Regex;
use tempfile::TempDir;

/// Return `bootlm run` with the default model; what it builds on the way goes into `build_dir`.
fn bootlm_run(build_dir: &TempDir) -> Command {
    let mut run = Command::new(bootlm());
    run.args(["run", "--accel=tcg", "--smp=1", "--boot=pvh", "--kernel"]).arg(linked_kernel());
    run.arg("--build-dir").arg(build_dir.path()).arg(model());
    run
}

#[test]
fn a_person_at_a_terminal_holds_a_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::start(bootlm_run(&dir));
    let start = guest.prompt();
    let first_lines = Regex::new(concat!(
        r"(?m)^bootlm \S+, a language model on bare metal\n",
        r"processor  .+\ncores      1, computing with .+\nmemory     \S+ [MG]B, \S+ [MG]B of it free\n",
        r"boot       by PVH in \d+\.\d\d s; clock \d+ MHz \(.+\)\n",
        r"date       \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n\n",
        r"SmolLM2-135M-Instruct\.Q4_1\.gguf: llama 135M Q4_1, 98\.4 MB, context 2048 of 8192\n",
        r"ready in (\d+\.\d\d) s: memory (\d+\.\d\d), model (\d+\.\d\d), tokenizer (\d+\.\d\d), context (\d+\.\d\d)\n",
        r"/help lists the commands, /demo what to try; Ctrl-C stops, /exit leaves\.\n\n$"
    ));
    let seconds = first_lines.unwrap().captures(&start).unwrap_or_else(|| panic!("{start}"));
    let seconds: Vec<f64> =
        seconds.iter().skip(1).flatten().map(|seconds| seconds.as_str().parse().unwrap()).collect();
    let (total, parts) = seconds.split_first().unwrap();
    assert!((total - parts.iter().sum::<f64>()).abs() < 0.03, "the parts do not add up: {start}");

    assert_eq!(guest.ask("What is the capital of France?"), "The capital of France is Paris.");
    let stats = guest.ask("/stats");
    let numbers = Regex::new(concat!(
        r"^prefill: (\d+) tokens, \d+\.\d\d s, \d+\.\d tokens/s; 0 reused\n",
        r"decode: (\d+) tokens, \d+\.\d\d s, \d+\.\d tokens/s\n",
        r"context: (\d+) of 2048 tokens\n"
    ));
    let numbers = numbers.unwrap().captures(&stats).unwrap_or_else(|| panic!("{stats}"));
    let [prefill, decode, context] = [1, 2, 3].map(|i| numbers[i].parse::<usize>().unwrap());
    // Seven tokens of text; the end of the turn is sampled and not shown.
    assert_eq!((decode, context), (7, prefill + decode), "{stats}");

    // Without the first turn, this question would not be about capitals.
    assert_eq!(guest.ask("And Germany?"), "The capital of Germany is Berlin.");

    let refusal = guest.ask("/frobnicate");
    assert!(refusal.contains("unknown command /frobnicate"), "{refusal}");

    // Ctrl-C stops an answer that would be long, and only the answer.
    guest.send("Write a long story about a dog.\r");
    guest.expect("dog.");
    guest.expect("\n");
    guest.expect(" "); // the first word is there
    guest.send("\x03");
    let rest = guest.prompt();
    assert!(rest.ends_with("\n[stopped; /continue goes on]\n\n"), "{rest}");
    // Ctrl-A is the line editor's and not QEMU's: it goes to the line's start. What is mistyped is mended, and Up brings it back.
    guest.send("statz\x7fs\x01/\x1b[C\x1b[3~S\x08t\r");
    let stats = guest.prompt();
    assert!(stats.starts_with("/stats\nprefill: ") && stats.contains("\ndecode: "), "{stats}");
    guest.send("\x1b[A\r");
    assert_eq!(guest.prompt(), stats);
    // A message of several lines, typed and pasted, then given up.
    guest.send("\"\"\"one\r\x1b[200~two\rthree\x1b[201~\x03");
    assert_eq!(guest.prompt(), "\"\"\"one\n... two\n... three^C\n");
    assert!(
        guest
            .screen()
            .contains("\n\n>>> And Germany?\nThe capital of Germany is Berlin.\n\n>>> /frobnicate\n")
    );
    guest.leave();
}

#[test]
fn a_pipe_chooses_from_the_menu_is_answered_on_two_processors_and_left_at_its_end() {
    let _core = Core::wait_for_one();
    let dir = tempfile::tempdir().unwrap();
    let mut run = bootlm_run(&dir);
    // The same model a second time makes it two in an archive.
    run.args(["--smp=2"]).arg(model()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = run.spawn().unwrap();
    // Neither a new line nor /exit at the end: both are `bootlm run`'s to add.
    run.stdin.take().unwrap().write_all(b"2\nWhat is the capital of France?").unwrap();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    let conversation = [
        "\ncores      2, computing with ",
        "\n✓  2 SmolLM2-135M-Instruct     98.4 MB    135M   Q4_1 llama     8192 ",
        " are free.\nWhich model? [1] 2\nSmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB, context ",
        ">>> What is the capital of France?\nThe capital of France is Paris.\n\n>>> ",
    ];
    for part in conversation {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(output.status.success(), "{}\n{said}", output.status);
}

#[test]
fn the_serial_line_ends_a_wait() {
    let mut guest = Guest::boot(&machine(pvh_with("log=info")));
    let said = guest.prompt();
    assert!(said.contains("serial: what is received ends a wait\n"), "{said}");
    guest.leave();
}

#[test]
fn a_reader_who_goes_away_ends_the_machine() {
    let _core = Core::wait_for_one();
    let dir = tempfile::tempdir().unwrap();
    let mut run = bootlm_run(&dir);
    run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    // Stdin stays open, so that nothing but the closed stdout is a reason to end.
    let (_stdin, stderr) = (run.stdin.take(), run.stderr.take().unwrap());
    drop(run.stdout.take());
    // QEMU has the same stderr, so its end is the end of both.
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(io::read_to_string(stderr)));
    let said = end.recv_timeout(Duration::from_secs(300)).expect("QEMU ends with bootlm").unwrap();
    assert!(!said.contains("stdout"), "{said}");
    assert_eq!(run.wait().unwrap().code(), Some(0));
}
