//! USB keyboards, on machines that have no other: there when the machine starts, behind hubs, plugged in and pulled out later.
//!
//! Which devices there are is said through QEMU's monitor, and so are keys pressed; what they type shows on the serial line. Where
//! the screen is what a person looks at, see [`crate::screen`].

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use boot_tests::{Guest, LIMIT_MS, Monitor, machine, pvh, workspace};
use engine::testing::ChainModel;
use tools::qemu::Boot;

/// Return the command of a machine whose keyboards are on USB, with these devices there. What QEMU calls port 1 is the controller's
/// port 5, behind four for USB 3.
pub(crate) fn with_usb(mut qemu: Command, devices: &[&str]) -> Command {
    qemu.args(["-machine", "i8042=off", "-device", "qemu-xhci,id=xhci,p2=8"]);
    for device in devices {
        qemu.args(["-device", device]);
    }
    qemu
}

/// A machine on whose serial line a person reads, and types at keyboards.
struct Desk {
    guest: Guest,
    monitor: Monitor,
}

impl Desk {
    /// Start a machine, its files in `dir`, with these devices there.
    fn boot(boot: Boot, dir: &Path, devices: &[&str]) -> Self {
        let (guest, monitor) = Monitor::start(with_usb(machine(boot).command(), devices), dir);
        Self { guest, monitor }
    }

    /// Press these keys, one after another: QEMU's names.
    fn press(&mut self, keys: &[&str]) {
        // A prompt asks the terminal for its size. A key that comes into the middle of the answer is taken for a part of it, and a busy
        // machine takes its time over the answer.
        thread::sleep(Duration::from_millis(500));
        for key in keys {
            self.monitor.command(&format!("sendkey {key} 60"));
            thread::sleep(Duration::from_millis(150));
        }
    }

    /// Type "hi" and Enter at the keyboard, and check that the model answers.
    #[track_caller]
    fn converse(&mut self) {
        self.press(&["h", "i", "ret"]);
        assert_eq!(self.guest.prompt(), "hi\nfine\n\n");
    }

    /// Ask the kernel for its log until `line` is in it: what was plugged in is not there at once.
    #[track_caller]
    fn wait_for_log(&mut self, line: &str) {
        self.wait_for_log_of(1, line);
    }

    /// Ask for it until `line` is in it so often.
    #[track_caller]
    fn wait_for_log_of(&mut self, n: usize, line: &str) {
        let start = Instant::now();
        loop {
            let log = self.guest.ask("/log");
            if log.matches(line).count() == n {
                return;
            }
            assert!(start.elapsed() < Duration::from_millis(LIMIT_MS), "{line:?} is not in: {log}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Return how a machine boots whose model answers "fine", with that model in `dir`.
fn chain(dir: &Path) -> Boot {
    let model = dir.join("chain.gguf");
    fs::write(&model, ChainModel::answers("fine").file()).unwrap();
    pvh(&[model], dir)
}

#[test]
fn keyboards_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::boot(chain(dir.path()), dir.path(), &["usb-kbd,id=first,port=2"]);
    desk.guest.prompt();
    desk.wait_for_log("port 6: 0627:0001, High speed: keyboard");
    desk.converse();

    // One is plugged in behind a hub behind a hub, and the first one pulled out.
    desk.monitor.command("device_add usb-hub,id=near,port=3");
    desk.monitor.command("device_add usb-hub,id=far,port=3.5");
    desk.monitor.command("device_add usb-kbd,id=second,port=3.5.8");
    desk.wait_for_log("port 7.5.8: 0627:0001, Full speed: keyboard");
    desk.monitor.command("device_del first");
    desk.wait_for_log("port 6: gone");
    desk.converse();

    // Without any keyboard, and a hub pulled out with what is behind it, the machine goes on.
    desk.monitor.command("device_del near");
    desk.wait_for_log("port 7: gone");
    let log = desk.guest.ask("/log");
    let gone = ["port 7.5.8: gone", "port 7.5: gone", "port 7: gone"].map(|line| log.find(line));
    assert!(gone.iter().all(Option::is_some) && gone.is_sorted(), "{log}");
    assert_eq!(desk.guest.ask("hi"), "fine");

    // What is no keyboard is left alone. Any port will do, and as often as one likes.
    desk.monitor.command("device_add usb-mouse,id=mouse,port=1");
    desk.wait_for_log("port 5: 0627:0001, High speed: not used");
    for n in 1..=3 {
        desk.monitor.command("device_add usb-kbd,id=third,port=4");
        desk.wait_for_log_of(n, "port 8: 0627:0001, High speed: keyboard");
        desk.converse();
        desk.monitor.command("device_del third");
        desk.wait_for_log_of(n, "port 8: gone");
    }
    desk.guest.leave();
}

#[test]
fn a_usb_keyboard_edits_and_stops_answers() {
    let dir = tempfile::tempdir().unwrap();
    let boot = pvh(&[workspace().join("models/builtin.gguf")], dir.path());
    let devices = ["usb-hub,port=1", "usb-kbd,port=1.1"];
    let mut desk = Desk::boot(boot, dir.path(), &devices);
    let start = desk.guest.prompt();
    assert!(!start.contains("usb"), "{start}");

    // Arrows, Home, Delete, a control key, Shift and Caps Lock.
    desk.press(&["x", "o", "m", "o", "left", "e", "home", "delete", "caps_lock", "r", "ctrl-e"]);
    desk.press(&["z", "backspace", "shift-semicolon", "caps_lock", "ret"]);
    desk.guest.expect("\n");
    desk.guest.expect(" ");
    desk.press(&["ctrl-c"]);
    let rest = desk.guest.prompt();
    assert!(rest.ends_with("\n[stopped; /continue goes on]\n\n"), "{rest}");
    assert!(desk.guest.screen().contains("\n>>> Romeo:\n"), "{}", desk.guest.screen());

    // A key that stays held is repeated: for so long that a busy machine sees it, too. QEMU lets go of it before it presses the next one.
    desk.monitor.command("sendkey a 10000");
    desk.guest.expect("aaa");
    desk.press(&["ctrl-c"]);
    let rest = desk.guest.prompt();
    assert!(rest.ends_with("a^C\n"), "{rest}");
    desk.guest.leave();
}
