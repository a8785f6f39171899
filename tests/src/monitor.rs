//! QEMU's monitor on a line of its own, so that what it says does not come between what the guest says.
//!
//! QEMU's manual, "QEMU Machine Protocol (QMP)": an object of JSON in each line; `human-monitor-command` takes what a person would type.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Guest, LIMIT_MS};

/// A person's end of it.
pub struct Monitor {
    line: BufReader<UnixStream>,
}

impl Monitor {
    /// Start `qemu` with a monitor, whose socket is in `dir`.
    pub fn start(mut qemu: Command, dir: &Path) -> (Guest, Self) {
        let socket = dir.join("monitor");
        qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        let guest = Guest::start(qemu);
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => panic!("QEMU's monitor: {error}"),
            }
            assert!(start.elapsed() < Duration::from_millis(LIMIT_MS), "QEMU opens no monitor");
            thread::sleep(Duration::from_millis(10));
        };
        let mut monitor = Self { line: BufReader::new(stream) };
        monitor.execute(&json!({"execute": "qmp_capabilities"}));
        (guest, monitor)
    }

    /// Have it do `command`, and wait until it is done or has ended QEMU.
    #[track_caller]
    pub fn command(&mut self, command: &str) {
        let said = self
            .execute(&json!({"execute": "human-monitor-command", "arguments": {"command-line": command}}));
        assert!(said.is_empty(), "{command}: {said}");
    }

    /// Return what it says to `request`.
    #[track_caller]
    fn execute(&mut self, request: &Value) -> String {
        // Nothing follows the object: QEMU does what it says at its end, and may be gone after it.
        self.line.get_mut().write_all(request.to_string().as_bytes()).unwrap();
        loop {
            let mut line = String::new();
            if self.line.read_line(&mut line).unwrap() == 0 {
                return String::new();
            }
            // Between greetings and events.
            let answer: Value = serde_json::from_str(&line).unwrap();
            assert!(answer.get("error").is_none(), "{request}: {answer}");
            if let Some(said) = answer.get("return") {
                return said.as_str().unwrap_or_default().into();
            }
        }
    }
}
