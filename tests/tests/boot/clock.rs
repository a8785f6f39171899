//! What a machine knows of time: how fast its counter is beside another timer, and which date it is.

use std::process::Command;

use boot_tests::{Guest, iso, machine, pvh_with};
use regex::Regex;
use tools::qemu::{Boot, Machine, Medium};

/// Return what a machine shows before its prompt, which QEMU gets `arguments` for.
fn start(machine: &Machine, arguments: [&str; 2]) -> String {
    let mut command: Command = machine.command();
    command.args(arguments);
    let mut guest = Guest::start(command);
    let start = guest.prompt();
    guest.leave();
    start
}

#[test]
fn the_counter_is_measured_beside_the_timer_that_there_is() {
    for (timers, source) in
        [("pit=on", "PIT"), ("pit=off", "HPET"), ("pit=off,hpet=off", "a guess: times are wrong")]
    {
        let said = start(&machine(pvh_with("")), ["-machine", timers]);
        let rate = Regex::new(&format!(r"; clock \d+ MHz \({source}\)\n")).unwrap();
        assert!(rate.is_match(&said), "{timers}: {said}");
    }
}

#[test]
fn the_date_is_the_machines() {
    let date = Regex::new(r"\ndate       2028-02-29 12:\d\d:\d\d\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let image = iso(dir.path(), "", &[], "the date by Limine");
    let by_limine = image.map(|image| Boot::Image { image, medium: Medium::Cd, ovmf: None });
    for boot in [Some(pvh_with("")), by_limine].into_iter().flatten() {
        let said = start(&machine(boot), ["-rtc", "base=2028-02-29T12:00:00,clock=vm"]);
        assert!(date.is_match(&said), "{said}");
    }
}
