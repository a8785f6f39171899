//! How far a long piece of work is: a bar with speed and time left on a terminal, now and then a line where stderr is none.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressStyle};

/// How long nothing is said where there is no terminal.
const PLAIN_PAUSE: Duration = Duration::from_secs(10);

/// What is shown of a piece of work while it goes on; it is gone when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    unit: Unit,
    /// When the last line was said.
    said: Instant,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as kB, MB and GB.
    Bytes,
    /// Steps that all take about as long.
    Steps,
}

impl Progress {
    /// Return the progress of work that is called `name`, of which there is `length`, as far as that is known.
    pub fn new(name: &str, unit: Unit, length: Option<u64>) -> Self {
        let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = match (unit, length) {
            (Unit::Bytes, Some(_)) => {
                "{prefix} [{bar:24}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left"
            }
            (Unit::Bytes, None) => "{prefix} {decimal_bytes}, {decimal_bytes_per_sec}",
            (Unit::Steps, _) => "{prefix} [{bar:24}] {pos} of {len}, {eta} left {msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(name.to_string());
        Self { bar, unit, said: Instant::now() }
    }

    /// Count `n` more.
    pub fn advance(&mut self, n: u64) {
        self.bar.inc(n);
        self.say_now_and_then();
    }

    /// Begin at `position`, whether something was counted before or not: what lies before it took no time.
    pub fn begin_at(&mut self, position: u64) {
        self.bar.set_position(position);
        self.bar.reset_eta();
    }

    /// Show `message` behind the time that is left.
    pub fn tell(&mut self, message: String) {
        self.bar.set_message(message);
    }

    /// Print a line that stays.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn say_now_and_then(&mut self) {
        if self.bar.is_hidden() && self.said.elapsed() >= PLAIN_PAUSE {
            self.said = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    /// Return what the bar shows as a line of text.
    fn line(&self) -> String {
        let Self { bar, unit, .. } = self;
        let amount = |n: u64| match unit {
            Unit::Bytes => DecimalBytes(n).to_string(),
            Unit::Steps => n.to_string(),
        };
        let mut line = format!("{} {}", bar.prefix(), amount(bar.position()));
        if let Some(length) = bar.length() {
            line += &format!(" of {}, {} left", amount(length), HumanDuration(bar.eta()));
        }
        match bar.message() {
            message if message.is_empty() => line,
            message => format!("{line} {message}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_name_how_much_there_is_and_of_what() {
        let mut progress = Progress::new("a.gguf", Unit::Bytes, Some(98_362_432));
        progress.begin_at(49_000_000);
        progress.advance(181_216);
        assert!(progress.line().starts_with("a.gguf 49.18 MB of 98.36 MB, "), "{}", progress.line());

        let mut progress = Progress::new("chunks", Unit::Steps, Some(8));
        progress.advance(3);
        progress.tell("PPL 12.5".into());
        assert!(progress.line().starts_with("chunks 3 of 8, "), "{}", progress.line());
        assert!(progress.line().ends_with("left PPL 12.5"), "{}", progress.line());

        let mut progress = Progress::new("a.gguf", Unit::Bytes, None);
        progress.advance(1_500);
        assert_eq!(progress.line(), "a.gguf 1.50 kB");
    }
}
