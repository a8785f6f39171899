//! The built-in model: it boots with nothing downloaded, and says in the machine what it says on this host.

use std::io::Write;
use std::process::{Command, Stdio};

use boot_tests::{Guest, bootlm, machine, pvh, workspace};

const SETTINGS: [&str; 2] = ["/set temp 0", "/set max_tokens 40"];

#[test]
fn the_built_in_model_says_in_the_machine_what_it_says_on_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::boot(&machine(pvh(&[workspace().join("models/builtin.gguf")], dir.path())));
    let start = guest.prompt();
    assert!(start.contains("\nbuiltin.gguf: llama 2M Q8_0, "), "{start}");
    for setting in SETTINGS {
        guest.ask(setting);
    }
    let answer = guest.ask("ROMEO:");
    assert!(answer.lines().count() > 2, "no dialogue: {answer}");
    guest.leave();

    let mut chat = Command::new(bootlm());
    chat.args(["chat", "models/builtin.gguf"]).current_dir(workspace());
    let mut chat = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let typed = [SETTINGS.as_slice(), &["ROMEO:", "/exit\n"]].concat().join("\n");
    chat.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let said = String::from_utf8(chat.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(&answer), "{answer:?} is not in: {said}");
}
