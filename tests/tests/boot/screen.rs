//! A machine with a screen and a keyboard and nothing else, as most machines are: a person types, and reads the answer. The keyboard
//! is a PS/2 one, unless a test says otherwise.
//!
//! What the screen shows is read from its pixels. Where Limine is not at hand, this says SKIPPED and why.

use std::path::PathBuf;
use std::time::Duration;

use boot_tests::{Core, LIMIT_MS, iso, machine, model, ovmf};
use tools::desk::Desk;
use tools::qemu::{Boot, Console, Machine, Medium, Ovmf};

use crate::keyboard::with_usb;
use crate::menu::models;

const LIMIT: Duration = Duration::from_millis(LIMIT_MS);

/// Return a machine without a serial port that boots from `iso`, by UEFI if it is given.
fn desk(iso: PathBuf, ovmf: Option<Ovmf>) -> Machine {
    let boot = Boot::Image { image: iso, medium: Medium::Cd, ovmf };
    Machine { memory_mib: 1024, console: Console::Desk, ..machine(boot) }
}

/// Start such a machine by BIOS.
fn boot(iso: PathBuf) -> Desk {
    Desk::boot(&desk(iso, None)).unwrap()
}

#[test]
fn a_question_typed_at_the_keyboard_is_answered_on_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    let Some(iso) = iso(dir.path(), "", &[model().into()], "conversation at the keyboard") else { return };
    let _core = Core::wait_for_one();
    ask_and_leave(boot(iso));
}

/// The firmware has used the controller before, and the keyboard with it.
#[test]
fn a_question_typed_at_a_usb_keyboard_behind_a_hub_is_answered_on_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    let test = "conversation at a USB keyboard";
    let Some(iso) = iso(dir.path(), "", &[model().into()], test) else { return };
    let Some(ovmf) = ovmf(dir.path(), test) else { return };
    let _core = Core::wait_for_one();
    let devices = ["usb-hub,port=1", "usb-kbd,port=1.3"];
    ask_and_leave(Desk::start(with_usb(desk(iso, Some(ovmf)).command(), &devices)).unwrap());
}

/// Type a question at the prompt, read the answer, and leave.
#[track_caller]
fn ask_and_leave(mut desk: Desk) {
    let start = desk.wait_for(">>> █", LIMIT).unwrap();
    assert!(start[0].starts_with("bootlm "), "{start:?}");
    assert!(start.iter().any(|row| row.contains("by Limine ")), "{start:?}");

    // Mended on the way by the arrow keys, Home, Delete and a control key.
    desk.type_text("xhat is the capital of Franc?").unwrap();
    for key in ["left", "e", "home", "delete", "shift-w", "ctrl-e"] {
        desk.press(key).unwrap();
    }
    desk.wait_for(">>> What is the capital of France?█", LIMIT).unwrap();
    desk.type_text("\n").unwrap();
    let rows = desk.wait_for(">>> █", LIMIT).unwrap();
    let asked = rows.iter().position(|row| row == ">>> What is the capital of France?").unwrap();
    assert_eq!(rows[asked + 1..asked + 4], ["The capital of France is Paris.", "", ">>> █"]);

    desk.type_text("/exit\n").unwrap();
    assert!(desk.end(LIMIT).unwrap().success());
}

#[test]
fn a_model_is_chosen_at_the_keyboard() {
    let dir = tempfile::tempdir().unwrap();
    let Some(iso) = iso(dir.path(), "", &models(dir.path()), "menu at the keyboard") else { return };
    let _core = Core::wait_for_one();
    let mut desk = boot(iso);
    let menu = desk.wait_for("Which model? [", LIMIT).unwrap();
    assert!(menu.iter().any(|row| row.starts_with("✓  2 chain ")), "{menu:?}");
    desk.press("down").unwrap();
    desk.type_text("\n").unwrap();
    let rows = desk.wait_for(">>> █", LIMIT).unwrap();
    assert!(rows.iter().any(|row| row.starts_with("two.gguf: llama ")), "{rows:?}");
    desk.type_text("/poweroff\n").unwrap();
    assert!(desk.end(LIMIT).unwrap().success());
}

/// Return what a machine shows whose kernel is started with these words, as soon as it shows `text`.
fn shown_with(words: &str, text: &str) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let iso = iso(dir.path(), words, &[], &format!("what {words} shows"))?;
    let _core = Core::wait_for_one();
    Some(boot(iso).wait_for(text, LIMIT).unwrap())
}

#[test]
fn a_fault_is_reported_on_the_screen() {
    let Some(rows) = shown_with("selftest=page-fault", "heap: ") else { return };
    assert!(rows[0].starts_with("*** exception 14: page fault at 0x"), "{rows:?}");
    assert_eq!(rows[1], "reading 0x00000000deadb000: the page is not mapped");
}

#[test]
fn a_keymap_that_is_not_known_is_said_with_those_that_are() {
    let Some(rows) = shown_with("keymap=klingon", ">>> █") else { return };
    let said = "keymap=klingon is not known; there are: us uk de fr ";
    assert!(rows.iter().any(|row| row.contains(said)), "{rows:?}");
}
