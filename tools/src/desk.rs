//! A screen and a keyboard before a virtual machine: types keys and reads what the screen shows, through QEMU's monitor.
//!
//! QEMU's manual, "QEMU Monitor": `sendkey` presses a key of the keyboard, `screendump` writes the screen as a picture. The
//! text is read from the pixels by the glyphs that the kernel draws with.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use screen::read::Reader;
use screen::{Channel, Layout};
use tempfile::TempDir;

use crate::process;
use crate::qemu::Machine;

/// How long a key is held, and how long nothing is pressed after it, in milliseconds: the keyboard's queue has room for a few keys, and a
/// guest that the host is slow to run takes them late.
const KEY_MS: u64 = 60;

/// How long it takes QEMU to write a picture, at the very most.
const DUMP_LIMIT: Duration = Duration::from_secs(60);

/// How often the screen is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The person's side of a machine that was started with [`crate::qemu::Console::Desk`]. Dropped, it ends the machine.
pub struct Desk {
    qemu: Child,
    monitor: ChildStdin,
    dumps: TempDir,
    n_dumps: usize,
    /// Reads screens of the size that the last one had.
    reader: Option<(Layout, Reader)>,
}

impl Desk {
    /// Start `machine`.
    pub fn boot(machine: &Machine) -> Result<Self> {
        Self::start(machine.command())
    }

    /// Start `qemu`, the command of such a machine with more devices than others.
    pub fn start(mut qemu: Command) -> Result<Self> {
        // The monitor repeats each letter of a command, which nobody needs to see.
        let mut qemu = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let monitor = qemu.stdin.take().expect("it was asked for");
        Ok(Self { qemu, monitor, dumps: tempfile::tempdir()?, n_dumps: 0, reader: None })
    }

    /// Type `text` on a keyboard from the United States; a line feed is Enter.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        text.chars().try_for_each(|character| self.press(&key(character)?))
    }

    /// Press a key or several at once, by QEMU's names: `ret`, `ctrl-c`, `shift-a`.
    pub fn press(&mut self, key: &str) -> Result<()> {
        self.command(&format!("sendkey {key} {KEY_MS}"))?;
        thread::sleep(Duration::from_millis(2 * KEY_MS));
        Ok(())
    }

    /// Wait until the screen shows `text` in one of its rows, and return all rows.
    ///
    /// # Errors
    /// With what the screen shows when `limit` is over or the machine has left.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<Vec<String>> {
        let start = Instant::now();
        loop {
            let rows = self.rows()?;
            if rows.iter().any(|row| row.contains(text)) {
                return Ok(rows);
            }
            ensure!(
                start.elapsed() < limit,
                "{text:?} is not on the screen:\n{}",
                rows.join("\n").trim_end()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Return the rows that the screen shows. A screen that the kernel did not draw reads as marks without meaning.
    pub fn rows(&mut self) -> Result<Vec<String>> {
        self.n_dumps += 1;
        let file = self.dumps.path().join(format!("{}.ppm", self.n_dumps));
        self.command(&format!("screendump {}", file.display()))?;
        let start = Instant::now();
        let (width, height, pixels) = loop {
            // The file is there before all of it is written.
            if let Some(picture) = fs::read(&file).ok().as_deref().and_then(parse_ppm) {
                break picture;
            }
            if let Some(status) = self.qemu.try_wait()? {
                bail!("QEMU ended with {status}");
            }
            ensure!(start.elapsed() < DUMP_LIMIT, "QEMU writes no picture of its screen");
            thread::sleep(Duration::from_millis(10));
        };
        fs::remove_file(&file)?;
        let layout = ppm_layout(width, height);
        let reader = match self.reader.take() {
            Some((known, reader)) if known == layout => reader,
            _ => Reader::new(layout).map_err(|why| anyhow::anyhow!("{why}"))?,
        };
        let rows = reader.rows(&pixels);
        self.reader = Some((layout, reader));
        Ok(rows)
    }

    /// Write what the screen shows to `png`.
    pub fn photograph(&mut self, png: &Path) -> Result<()> {
        let file = self.dumps.path().join("screen.png");
        self.command(&format!("screendump {} -f png", file.display()))?;
        let start = Instant::now();
        // What a PNG ends with (its specification, 11.2.5).
        while !fs::read(&file).is_ok_and(|bytes| bytes.ends_with(b"IEND\xaeB`\x82")) {
            ensure!(start.elapsed() < DUMP_LIMIT, "QEMU writes no PNG; 7.1 and later do");
            thread::sleep(Duration::from_millis(10));
        }
        fs::copy(&file, png).with_context(|| png.display().to_string())?;
        Ok(())
    }

    /// Wait until the machine has left, and return how.
    pub fn end(mut self, limit: Duration) -> Result<ExitStatus> {
        process::wait_within(&mut self.qemu, limit)?.context("the machine does not leave")
    }

    fn command(&mut self, command: &str) -> Result<()> {
        writeln!(self.monitor, "{command}").and_then(|()| self.monitor.flush()).context("QEMU's monitor")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Return the key that types `character`, by QEMU's name.
fn key(character: char) -> Result<String> {
    Ok(match character {
        'a'..='z' | '0'..='9' => character.into(),
        'A'..='Z' => format!("shift-{}", character.to_ascii_lowercase()),
        '\n' => "ret".into(),
        ' ' => "spc".into(),
        ',' => "comma".into(),
        ':' => "shift-semicolon".into(),
        '.' => "dot".into(),
        '/' => "slash".into(),
        '?' => "shift-slash".into(),
        '\'' => "apostrophe".into(),
        _ => bail!("no key is known for {character:?}"),
    })
}

/// Return how the pixels of a PPM lie: a byte each for red, green and blue.
fn ppm_layout(width: usize, height: usize) -> Layout {
    let channel = |shift| Channel { shift, bits: 8 };
    let (red, green, blue) = (channel(0), channel(8), channel(16));
    Layout { width, height, pitch: 3 * width, bits_per_pixel: 24, red, green, blue }
}

/// Return width, height and pixels of a whole PPM as QEMU writes it (magic number P6; no comments), `None` when it is not whole.
fn parse_ppm(bytes: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
    let mut parts = bytes.splitn(4, |&byte| byte == b'\n');
    let (magic, size, depth, pixels) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (width, height) = std::str::from_utf8(size).ok()?.split_once(' ')?;
    let (width, height) = (width.parse::<usize>().ok()?, height.parse::<usize>().ok()?);
    let whole =
        magic == b"P6" && depth == b"255" && pixels.len() == width.checked_mul(height)?.checked_mul(3)?;
    whole.then(|| (width, height, pixels.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_written_as_a_ppm_is_read_back() {
        let layout = ppm_layout(640, 480);
        let mut pixels = vec![0; layout.bytes().unwrap()];
        screen::Screen::new(layout, &mut pixels).unwrap().write(">>> Hello\nDobrý den, ✓");
        let file = [b"P6\n640 480\n255\n", &pixels[..]].concat();
        let (width, height, pixels) = parse_ppm(&file).unwrap();
        let rows = Reader::new(ppm_layout(width, height)).unwrap().rows(&pixels);
        assert_eq!(rows[..2], [">>> Hello", "Dobrý den, ✓█"]);
        assert_eq!(parse_ppm(&file[..file.len() - 1]), None);
    }
}
