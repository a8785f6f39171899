//! From a model file to a conversation: open it, see whether it fits into the machine, load it, say how long that took.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::Error;
use engine::chat::ChatTemplate;
use engine::cpu::Kernels;
use engine::format::Found;
use engine::format::gguf::Gguf;
use engine::model::{HParams, Model};
use engine::session::{self, KvType, Session};
use engine::tokenizer::{self, Tokenizer};

use crate::chat::Chat;
use crate::console::Console;
use crate::units::{megabytes, parameters, seconds};
use crate::{Machine, Options};

/// Nobody who does not ask for it gets a context larger than this, even where the model and the memory have room for more:
/// every core walks through all of it for every token.
const MAX_N_CTX: usize = 2048;

/// A conversation in less is none: a question and an answer take a few hundred tokens.
const MIN_N_CTX: usize = 256;

/// How finely the context is fitted to the memory, in tokens.
const N_CTX_STEP: usize = 64;

/// Memory that a context leaves free: the sampler's candidates (12 bytes for each token of the vocabulary, 3 MB for the
/// largest vocabularies), messages, lines, and what the allocator loses between its pieces.
pub(crate) const RESERVE_BYTES: u64 = 8_000_000;

/// A model file that can be run.
pub(crate) struct Candidate<'f> {
    file_name: &'f str,
    /// Where the files that hold it stand among all.
    files: Vec<usize>,
    /// What the catalog says about it.
    known: Option<&'static catalog::Model>,
    gguf: Gguf<'f>,
    model: Model<'f>,
}

/// The memory that a conversation takes.
pub(crate) struct Needed {
    pub(crate) bytes: u64,
    /// Whether there is so much.
    pub(crate) fits: bool,
}

impl<'f> Candidate<'f> {
    /// Return the model that was found.
    ///
    /// # Errors
    /// The file's name, and why the engine cannot run it.
    pub(crate) fn open(found: Found<'f>) -> Result<Self, (&'f str, Error)> {
        let Found { name: file_name, files, model } = found;
        let known = catalog::of_file(file_name);
        let open = |gguf: Gguf<'f>| Ok(Self { file_name, files, known, model: Model::load(&gguf)?, gguf });
        model.and_then(open).map_err(|error| (file_name, error))
    }

    /// Return the file's name.
    pub(crate) fn file_name(&self) -> &'f str {
        self.file_name
    }

    /// Return where the files that hold it stand among all.
    pub(crate) fn files(&self) -> &[usize] {
        &self.files
    }

    /// Return whether `kernels` would be faster with its weights in another order.
    pub(crate) fn is_worth_interleaving(&self, kernels: &Kernels) -> bool {
        self.gguf.is_worth_interleaving(kernels)
    }

    /// Return the model's name: the catalog's, else the one that its file gives, else the file's.
    pub(crate) fn name(&self) -> &str {
        let own_name = || self.gguf.str("general.name").ok().flatten().filter(|name| !name.trim().is_empty());
        self.known.map(|known| known.name).or_else(own_name).unwrap_or(self.file_name)
    }

    /// Return what the catalog says about it.
    pub(crate) fn known(&self) -> Option<&'static catalog::Model> {
        self.known
    }

    /// Return the model.
    pub(crate) fn model(&self) -> &Model<'f> {
        &self.model
    }

    /// Return what a conversation takes on `machine`, beside the file: with the context that it would get there, or with
    /// the smallest one where none fits.
    pub(crate) fn memory_needed(&self, machine: &Machine) -> Needed {
        let (hparams, n_workers) = (self.model.hparams(), machine.workers.count());
        let tokenizer_bytes = tokenizer::memory_required(&self.gguf);
        let free_bytes = (machine.free_memory)();
        let fitting = fitting_n_ctx(hparams, n_workers, tokenizer_bytes, free_bytes, MAX_N_CTX);
        let n_ctx = fitting.as_ref().copied().unwrap_or(hparams.n_ctx_train.min(MIN_N_CTX));
        let context_bytes = session::memory_required(hparams, n_ctx, KvType::default(), n_workers);
        Needed { bytes: context_bytes.saturating_add(tokenizer_bytes), fits: fitting.is_ok() }
    }

    /// Return name, kind and size: `SmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB`.
    pub(crate) fn describe(&self) -> String {
        let Self { file_name, model, .. } = self;
        let (n_params, size) = (parameters(model.n_params()), megabytes(model.size_bytes()));
        format!("{file_name}: {} {n_params} {}, {size}", model.architecture(), model.file_type())
    }

    /// Load the model, say so, hold `conversation` with it, and return what came of that. `times` tell what took how long
    /// until here, in nanoseconds.
    ///
    /// # Errors
    /// A sentence for the person, when the model cannot be loaded or does not fit into the memory.
    pub(crate) fn start<T>(
        &self,
        console: &mut Console,
        machine: &Machine<'_>,
        mut times: Vec<(&str, u64)>,
        options: &Options,
        conversation: impl FnOnce(&mut Console, &mut Chat<'_>) -> T,
    ) -> Result<T, String> {
        let hparams = self.model.hparams();
        let n_workers = machine.workers.count();
        let now_ns = || machine.clock.now_ns();
        let fitting = |other_bytes| {
            let most = options.n_ctx.unwrap_or(MAX_N_CTX);
            fitting_n_ctx(hparams, n_workers, other_bytes, (machine.free_memory)(), most)
        };

        let begin = |what| machine.keeper.begin(format_args!("{}: {what}", self.file_name));
        let start_ns = now_ns();
        begin("making the tokenizer");
        fitting(tokenizer::memory_required(&self.gguf))?;
        let tokenizer = Tokenizer::load(&self.gguf).map_err(|error| error.to_string())?;
        let template = ChatTemplate::of(&self.gguf, &tokenizer).map_err(|error| error.to_string())?;
        times.push(("tokenizer", now_ns() - start_ns));

        let start_ns = now_ns();
        begin("making the context");
        let n_ctx = fitting(0)?;
        let Machine { workers, kernels, .. } = *machine;
        let session = Session::with_kernels(&self.model, workers, n_ctx, KvType::default(), kernels)
            .map_err(|error| error.to_string())?;
        times.push(("context", now_ns() - start_ns));

        writeln!(console, "{}, context {n_ctx} of {}", self.describe(), hparams.n_ctx_train);
        // Not the clock, which also counts how long a person looked at the menu.
        let total_ns = times.iter().map(|(_, ns)| ns).sum();
        let times: Vec<_> = times.iter().map(|(what, ns)| format!("{what} {}", seconds(*ns))).collect();
        writeln!(console, "ready in {} s: {}", seconds(total_ns), times.join(", "));
        begin("waiting for a person");
        let mut chat =
            Chat::new(machine, self.file_name, &self.gguf, &self.model, &tokenizer, template, session);
        self.set_up(console, &mut chat, options);
        Ok(conversation(console, &mut chat))
    }

    /// Give `chat` the settings that suit the model, and those that the person asked for in advance.
    fn set_up(&self, console: &mut Console, chat: &mut Chat<'_>, options: &Options) {
        for (name, value) in self.known.iter().flat_map(|known| known.sampling) {
            // The tests of the menu see to it that every value is one.
            let _ = chat.set(&format!("{name} {value}"));
        }
        for (name, value) in &options.settings {
            if let Err(reason) = chat.set(&format!("{name} {value}")) {
                writeln!(console, "command line: {reason}");
            }
        }
        chat.set_system(options.system.clone());
        chat.demos = self.known.map_or(&[], |known| known.demos);
    }
}

/// Return the largest context, in tokens and of at most `most`, that fits into `free_bytes` beside `other_bytes` and the
/// reserve.
///
/// # Errors
/// A sentence for the person, when not even the smallest does.
fn fitting_n_ctx(
    hparams: &HParams,
    n_workers: usize,
    other_bytes: u64,
    free_bytes: u64,
    most: usize,
) -> Result<usize, String> {
    let most = hparams.n_ctx_train.min(most);
    let least = most.min(MIN_N_CTX);
    let required = |n_ctx| {
        let context_bytes = session::memory_required(hparams, n_ctx, KvType::default(), n_workers);
        context_bytes.saturating_add(other_bytes).saturating_add(RESERVE_BYTES)
    };
    let mut sizes = (least..=most).rev().step_by(N_CTX_STEP).chain([least]);
    sizes.find(|&n_ctx| required(n_ctx) <= free_bytes).ok_or_else(|| {
        let needed_bytes = required(least);
        format!(
            "a context of {least} tokens takes {} of memory and {} are free; give the machine at least {} more",
            megabytes(needed_bytes),
            megabytes(free_bytes),
            // Rounded up to what the number shows, so that so much is enough.
            megabytes((needed_bytes - free_bytes).next_multiple_of(100_000)),
        )
    })
}

#[cfg(test)]
mod tests {
    use engine::model::HParams;
    use engine::session::{KvType, memory_required};

    use super::{MAX_N_CTX, MIN_N_CTX, N_CTX_STEP, RESERVE_BYTES, fitting_n_ctx};

    /// SmolLM2-135M's shape.
    fn hparams(n_ctx_train: usize) -> HParams {
        HParams {
            n_ctx_train,
            n_embd: 576,
            n_layer: 30,
            n_head: 9,
            n_head_kv: 3,
            n_embd_head: 64,
            n_ff: 1536,
            n_vocab: 49_152,
        }
    }

    #[test]
    fn takes_what_the_model_was_trained_with_up_to_the_limit() {
        assert_eq!(fitting_n_ctx(&hparams(8192), 2, 0, 1 << 32, MAX_N_CTX), Ok(2048));
        assert_eq!(fitting_n_ctx(&hparams(1024), 2, 0, 1 << 32, MAX_N_CTX), Ok(1024));
        assert_eq!(fitting_n_ctx(&hparams(100), 2, 0, 1 << 32, MAX_N_CTX), Ok(100));
        assert_eq!(fitting_n_ctx(&hparams(8192), 2, 0, 1 << 40, 8000), Ok(8000));
        assert_eq!(fitting_n_ctx(&hparams(8192), 2, 0, 1 << 32, 100), Ok(100));
        assert_eq!(fitting_n_ctx(&hparams(1024), 2, 0, 1 << 32, 8000), Ok(1024));
    }

    #[test]
    fn takes_the_largest_context_that_leaves_the_reserve() {
        let hparams = hparams(8192);
        let other_bytes = 1_000_000;
        let required =
            |n_ctx| memory_required(&hparams, n_ctx, KvType::default(), 2) + other_bytes + RESERVE_BYTES;
        for n_ctx in [MIN_N_CTX, 512, 1984] {
            assert_eq!(fitting_n_ctx(&hparams, 2, other_bytes, required(n_ctx), MAX_N_CTX), Ok(n_ctx));
            if n_ctx > MIN_N_CTX {
                assert_eq!(
                    fitting_n_ctx(&hparams, 2, other_bytes, required(n_ctx) - 1, MAX_N_CTX),
                    Ok(n_ctx - N_CTX_STEP)
                );
            }
        }
    }

    #[test]
    fn says_what_is_needed_and_what_is_there() {
        let hparams = hparams(8192);
        let needed_bytes = memory_required(&hparams, MIN_N_CTX, KvType::default(), 1) + RESERVE_BYTES;
        let error = fitting_n_ctx(&hparams, 1, 0, needed_bytes - 2_500_000, MAX_N_CTX).unwrap_err();
        let needed = needed_bytes as f64 / 1e6;
        assert!(error.contains(&alloc::format!("256 tokens takes {needed:.1} MB")), "{error}");
        assert!(error.contains(&alloc::format!("{:.1} MB are free", needed - 2.5)), "{error}");
        assert!(error.contains("at least 2.5 MB more"), "{error}");
    }
}
