//! The serial line is looked for where a PC may have it.

use boot_tests::{Guest, machine, pvh_with};

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
