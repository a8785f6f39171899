//! What memory may not be used for, and what may not stay in it.

use std::fs;
use std::path::Path;

use boot_tests::{Guest, Monitor, machine, pvh, workspace};
use engine::testing::ChainModel;
use regex::Regex;
use tools::qemu::{Boot, Failure};

/// Return how the kernel boots with the built-in model and these words.
fn builtin_with(words: &str, dir: &Path) -> Boot {
    match pvh(&[workspace().join("models/builtin.gguf")], dir) {
        Boot::Pvh { kernel, initrd, command_line } => {
            Boot::Pvh { kernel, initrd, command_line: format!("{command_line} {words}") }
        }
        other => other,
    }
}

#[test]
fn what_is_not_for_it_can_neither_be_written_nor_run() {
    let dir = tempfile::tempdir().unwrap();
    for (name, access) in [
        ("write-text", r"writing 0xffffffff80\w+: the page does not allow it"),
        // The image is in the direct map by no address: else it could be written there.
        ("write-text-as-data", r"writing 0xffff80\w+: the page is not mapped"),
        ("write-model", r"writing 0xffff80\w+: the page does not allow it"),
        ("execute-heap", r"executing 0xffffc0\w+: the page does not allow it"),
    ] {
        let boot = builtin_with(&format!("selftest={name}"), dir.path());
        let (said, status) = Guest::boot(&machine(boot)).end();
        assert!(Regex::new(access).unwrap().is_match(&said), "{name}: {said}");
        assert_eq!(status, Failure::PageFault.status(), "{name}");
    }
}

/// Return whether `secret` is anywhere in the guest's memory.
fn memory_has(monitor: &mut Monitor, secret: &[u8], dir: &Path) -> bool {
    let file = dir.join("memory");
    monitor.command(&format!("pmemsave 0 {} \"{}\"", 512 << 20, file.display()));
    fs::read(file).unwrap().windows(secret.len()).any(|bytes| bytes == secret)
}

#[test]
fn nothing_that_was_said_is_in_memory_after_clear() {
    const SECRET: &str = "xq7 the word of the day is Rumpelstilzchen";
    let dir = tempfile::tempdir().unwrap();
    let boot = builtin_with("max_tokens=8", dir.path());
    let (mut guest, mut monitor) = Monitor::start(machine(boot).command(), dir.path());
    guest.prompt();
    // While the machine answers something else.
    guest.ask("/set max_tokens 100");
    guest.send("ROMEO:\r");
    guest.expect("\n");
    guest.send(&format!("{SECRET}\r"));
    guest.prompt();
    guest.prompt();
    assert!(memory_has(&mut monitor, SECRET.as_bytes(), dir.path()), "the test looks in the wrong place");
    assert_eq!(guest.ask("/clear"), "The conversation is forgotten.");
    assert!(!memory_has(&mut monitor, SECRET.as_bytes(), dir.path()));
    // And the machine goes on.
    guest.send("ROMEO:\r");
    guest.prompt();
    guest.leave();
}

#[test]
fn nothing_that_a_draft_model_read_is_in_memory_after_clear() {
    const SECRET: &str = "xq7 the word of the day is Rumpelstilzchen";
    // Every byte is a token of these models, and a context has its tokens as they are.
    let tokens: Vec<u8> = SECRET.bytes().flat_map(|byte| u32::from(byte).to_le_bytes()).collect();
    let dir = tempfile::tempdir().unwrap();
    let models = ["large.gguf", "small.gguf"].map(|name| dir.path().join(name));
    for path in &models {
        fs::write(path, ChainModel::answers("yes").file()).unwrap();
    }
    let (mut guest, mut monitor) = Monitor::start(machine(pvh(&models, dir.path())).command(), dir.path());
    guest.expect("Which model? [1] ");
    guest.send("1\r");
    guest.prompt();
    assert_eq!(guest.ask("/set speculative small"), "speculative = small");
    assert!(guest.ask("/memory").contains("  the same for the model that drafts\n"));
    assert_eq!(guest.ask(SECRET), "yes");
    let stats = guest.ask("/stats");
    assert!(
        Regex::new(r"\ndrafts: [1-9]\d* tokens, [1-9]\d* accepted, ").unwrap().is_match(&stats),
        "{stats}"
    );
    assert!(memory_has(&mut monitor, &tokens, dir.path()), "the test looks in the wrong place");
    assert_eq!(guest.ask("/clear"), "The conversation is forgotten.");
    assert!(!memory_has(&mut monitor, &tokens, dir.path()));
    assert_eq!(guest.ask("hi"), "yes");
    guest.leave();
}

#[test]
fn a_model_is_written_to_only_while_its_weights_are_interleaved() {
    let dir = tempfile::tempdir().unwrap();
    // A processor that does not say that it is emulated computes with interleaved weights.
    let mut command = machine(builtin_with("temp=0 max_tokens=8", dir.path())).command();
    command.args(["-smp", "2", "-cpu", "max,hypervisor=off"]);
    let mut guest = Guest::start(command);
    let start = guest.prompt();
    assert!(start.contains("computing with AVX2\n"), "{start}");
    assert!(guest.ask("ROMEO:").contains("I am a man"));
    guest.leave();
}
