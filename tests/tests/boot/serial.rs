//! The serial line is looked for where a PC may have it, and loses nothing that was typed before the kernel was there.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use boot_tests::{Core, Guest, machine, pvh_with};
use tools::qemu::{Console, Machine};

#[test]
fn the_line_is_found_where_the_only_port_is() {
    for (number, port) in [(2, "0x2f8"), (4, "0x2e8")] {
        let mut command = machine(pvh_with("")).command();
        command.args(["-global", &format!("isa-serial.iobase={port}"), "-global", "isa-serial.irq=3"]);
        let mut guest = Guest::start(command);
        guest.prompt();
        let log = guest.ask("/log");
        assert!(log.contains(&format!(" serial: COM{number}\n")), "{log}");
        assert!(log.contains(" serial: what is received ends a wait\n"), "{log}");
        guest.leave();
    }
}

/// Switching the port's queue on discards what it holds, by then the next byte of what is piped into QEMU. It depends on the host
/// whether it is there by then, so that QEMU's own account of what the kernel writes to the port has to show that it does not.
#[test]
fn what_is_piped_in_before_the_kernel_is_there_is_not_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("writes");
    let machine = Machine { console: Console::Pipe, ..machine(pvh_with("terminal=pipe")) };
    let mut command = machine.command();
    command.args(["-trace", "serial_write", "-D"]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let _core = Core::wait_for_one();
    let mut qemu = command.spawn().unwrap();
    qemu.stdin.take().unwrap().write_all(b"/version\n/exit\n").unwrap();
    let said = String::from_utf8(qemu.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(">>> /version\r\n") && said.contains(">>> /exit\r\n"), "{said}");
    let writes = fs::read_to_string(file).unwrap();
    // The registers' offsets: line control, which is written when the port is set up, and FIFO control.
    let n_writes = |register: u8| writes.matches(&format!("addr {register:#04x} ")).count();
    assert!(n_writes(3) > 0, "QEMU says nothing of what is written: {writes}");
    assert_eq!(n_writes(2), 0, "{writes}");
}
