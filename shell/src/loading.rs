//! Putting the weights of the chosen model into the order that the inner loops want, with a bar where that takes long.

use alloc::format;
use alloc::vec::Vec;

use engine::format::gguf;
use engine::platform::Clock;

use crate::console::Console;
use crate::row::Row;
use crate::{Machine, ModelFile, ScreenSize};

/// Work that takes less is done without a bar.
const LONG_NS: u64 = 1_000_000_000;

/// How much of the work tells how long all of it takes.
const FIRST_LOOK_NS: u64 = 100_000_000;

/// Columns between the ends of the bar.
const WIDTH: usize = 40;

/// Interleave the weights in the `chosen` ones of `files`; those that may not be changed stay as they are.
pub(crate) fn interleave(
    console: &mut Console,
    machine: &Machine,
    files: &mut [ModelFile],
    chosen: &[usize],
) {
    let files = files.iter_mut().enumerate().filter(|(i, file)| file.may_change && chosen.contains(i));
    let mut files: Vec<_> = files.map(|(_, file)| file).collect();
    let all_bytes = files.iter().map(|file| file.bytes.len()).sum();
    let mut bar = Bar::start(console, machine.clock);
    let mut bytes_before = 0;
    for file in &mut files {
        let file_bytes = file.bytes.len();
        machine.keeper.set_writable(file.bytes, true);
        gguf::interleave(file.bytes, machine.workers, machine.kernels, &mut |done, all| {
            // Bytes times bytes are more than 64 bits.
            let done_bytes = (done as u128 * file_bytes as u128 / all.max(1) as u128) as usize;
            bar.update(bytes_before + done_bytes, all_bytes);
        });
        machine.keeper.set_writable(file.bytes, false);
        bytes_before += file_bytes;
    }
    bar.end();
}

/// A row that tells how much is done: `loading [##########----------]  50 %`. It is drawn with backspaces, for every terminal.
struct Bar<'b, 't> {
    console: &'b mut Console<'t>,
    clock: &'b dyn Clock,
    start_ns: u64,
    /// Nothing as long as the work may be short.
    row: Option<Row>,
}

impl<'b, 't> Bar<'b, 't> {
    fn start(console: &'b mut Console<'t>, clock: &'b dyn Clock) -> Self {
        let start_ns = clock.now_ns();
        Self { console, clock, start_ns, row: None }
    }

    /// Show that `done` of `all` is done, if that is worth showing.
    fn update(&mut self, done: usize, all: usize) {
        let share = done as f64 / all.max(1) as f64;
        if self.row.is_none() {
            let past_ns = self.clock.now_ns() - self.start_ns;
            let is_long = past_ns >= FIRST_LOOK_NS && past_ns as f64 > share * LONG_NS as f64;
            if !is_long || self.console.screen_size() == ScreenSize::NoScreen {
                return;
            }
        }
        let row = self.row.get_or_insert_with(|| Row::start(self.console, ""));
        let n_marks = (share * WIDTH as f64) as usize;
        let (marks, rest) = ("#".repeat(n_marks), "-".repeat(WIDTH - n_marks));
        let text = format!("loading [{marks}{rest}] {:>3} %", (share * 100.0) as usize);
        row.show(self.console, &text, text.len());
    }

    /// Take the row away.
    fn end(self) {
        if let Some(mut row) = self.row {
            row.show(self.console, "", 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use engine::platform::Clock;

    use engine::cpu::Kernels;
    use engine::quant::TensorType;
    use engine::testing::GgufWriter;

    use super::{Bar, interleave};
    use crate::ModelFile;
    use crate::console::Console;
    use crate::testing::script::{Kind, Script};
    use crate::tests::on_machine;

    /// A clock that somebody sets.
    struct SetClock(Cell<u64>);

    impl Clock for SetClock {
        fn now_ns(&self) -> u64 {
            self.0.get()
        }
    }

    /// Do work of `n_steps` that take 100 ms each, and return the rows that were seen after each, and the terminal.
    fn work(kind: Kind, n_steps: usize) -> (Vec<String>, Script) {
        let mut rows = Vec::new();
        let clock = SetClock(Cell::new(7));
        for n_done in 1..=n_steps {
            // Anew for each look, since the console has the terminal to itself.
            clock.0.set(7);
            let mut script = Script::new(kind, 80);
            let mut console = Console::new(&mut script);
            let mut bar = Bar::start(&mut console, &clock);
            for done in 1..=n_done {
                clock.0.set(clock.0.get() + 100_000_000);
                bar.update(done, n_steps);
            }
            drop(console);
            rows.push(script.screen());
        }
        let mut script = Script::new(kind, 80);
        let mut console = Console::new(&mut script);
        clock.0.set(7);
        let mut bar = Bar::start(&mut console, &clock);
        for done in 1..=n_steps {
            clock.0.set(clock.0.get() + 100_000_000);
            bar.update(done, n_steps);
        }
        bar.end();
        drop(console);
        (rows, script)
    }

    #[test]
    fn only_chosen_files_that_may_change_do() {
        if !Kernels::detect().interleaves(TensorType::Q8_0) {
            return println!("SKIPPED: this processor's inner loops take rows as they are");
        }
        let mut gguf = GgufWriter::default();
        let rows: Vec<u8> = (0..16 * 34).map(|i| (i % 120) as u8).collect();
        gguf.tensor("rows", &[32, 16], TensorType::Q8_0 as u32, &rows);
        let before = gguf.file();
        let mut copies = [before.clone(), before.clone(), before.clone()];
        let files = copies.iter_mut().zip([true, true, false]);
        let mut files: Vec<_> =
            files.map(|(bytes, may_change)| ModelFile { name: "", bytes, may_change }).collect();
        let mut script = Script::piped("");
        let mut console = Console::new(&mut script);
        on_machine(|machine| interleave(&mut console, machine, &mut files, &[1, 2]));
        assert_eq!(copies.map(|bytes| bytes != before), [false, true, false]);
    }

    #[test]
    fn work_of_more_than_a_second_has_a_bar_that_goes_away() {
        for kind in [Kind::Vt100, Kind::Silent] {
            let (rows, script) = work(kind, 20);
            assert_eq!(rows[0], format!("loading [##{}]   5 %", "-".repeat(38)));
            assert_eq!(rows[9], format!("loading [{}{}]  50 %", "#".repeat(20), "-".repeat(20)));
            assert_eq!(rows[19], format!("loading [{}] 100 %", "#".repeat(40)));
            assert_eq!(script.screen(), "");
            assert_eq!(script.cursor(), (0, 0));
        }
    }

    #[test]
    fn short_work_and_a_pipe_have_none() {
        assert_eq!(work(Kind::Vt100, 9).1.output(), "");
        assert_eq!(work(Kind::Dumb, 20).1.output(), "");
    }
}
