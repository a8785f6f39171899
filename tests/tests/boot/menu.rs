//! The menu in the machine: two good models and a broken file; and what the kernel's command line asks for.

use std::fs;
use std::path::{Path, PathBuf};

use boot_tests::{Guest, machine, pvh};
use engine::testing::ChainModel;
use tools::qemu::Boot;

/// Write models into `dir` that answer "one" and "two", and a file that is none.
fn models(dir: &Path) -> [PathBuf; 3] {
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
