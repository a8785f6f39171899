//! From a model file to a conversation: open it, see whether it fits into the machine, load it, say how long that took.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

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
use crate::fit::Room;
use crate::shelf::Shelf;
use crate::units::{megabytes, parameters, seconds};
use crate::{Machine, Options};

/// Nobody who does not ask for it gets a context larger than this, even where the model and the memory have room for more:
/// every core walks through all of it for every token.
const MAX_N_CTX: usize = 2048;

/// A conversation in less is none: a question and an answer take a few hundred tokens.
const MIN_N_CTX: usize = 256;

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

    /// Return what its file says.
    pub(crate) fn gguf(&self) -> &Gguf<'f> {
        &self.gguf
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
        let room = self.room(machine, None, tokenizer::memory_required(&self.gguf));
        let (kv, sizes) = (KvType::default(), first_sizes(room.hparams, None));
        let fitting = room.largest(&sizes, kv);
        let n_ctx = fitting.unwrap_or(*sizes.start());
        let context_bytes = session::memory_required(room.hparams, n_ctx, kv, room.n_workers);
        Needed { bytes: context_bytes.saturating_add(room.other_bytes), fits: fitting.is_some() }
    }

    /// Return what there is for a context, where one of `draft_model` and `other_bytes` will be allocated beside it.
    fn room<'r>(&'r self, machine: &Machine, draft_model: Option<&'r Self>, other_bytes: u64) -> Room<'r> {
        Room {
            hparams: self.model.hparams(),
            draft_hparams: draft_model.map(|drafting| drafting.model.hparams()),
            n_workers: machine.workers.count(),
            other_bytes,
            free_bytes: (machine.free_memory)(),
        }
    }

    /// Return name, kind and size: `SmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB`.
    pub(crate) fn describe(&self) -> String {
        let Self { file_name, model, .. } = self;
        let (n_params, size) = (parameters(model.n_params()), megabytes(model.size_bytes()));
        format!("{file_name}: {} {n_params} {}, {size}", model.architecture(), model.file_type())
    }

    /// Load the model, one of `shelf`, say so, hold `conversation` with it, and return what came of that. `times` tell what took
    /// how long until here, in nanoseconds.
    ///
    /// # Errors
    /// A sentence for the person, when the model cannot be loaded or does not fit into the memory.
    pub(crate) fn start<T>(
        &self,
        console: &mut Console,
        machine: &Machine<'_>,
        shelf: &Shelf<'_>,
        mut times: Vec<(&str, u64)>,
        options: &Options,
        conversation: impl FnOnce(&mut Console, &mut Chat<'_>) -> T,
    ) -> Result<T, String> {
        let hparams = self.model.hparams();
        // A type that does not suit is refused where it is set.
        let kv = Some(options.kv()).filter(|kv| kv.suits(hparams)).unwrap_or_default();
        let now_ns = || machine.clock.now_ns();
        let sizes = first_sizes(hparams, options.n_ctx);
        let draft_model = shelf.draft_model(options).map(|index| &shelf.models[index]);
        let fitting = |room: &Room<'_>| {
            room.largest(&sizes, kv).ok_or_else(|| room.advice(*sizes.start(), kv, &self.model))
        };

        let begin = |what| machine.keeper.begin(format_args!("{}: {what}", self.file_name));
        let start_ns = now_ns();
        begin("making the tokenizer");
        fitting(&self.room(machine, draft_model, tokenizer::memory_required(&self.gguf)))?;
        let tokenizer =
            Tokenizer::load_with(&self.gguf, machine.workers).map_err(|error| error.to_string())?;
        let template = ChatTemplate::of(&self.gguf, &tokenizer).map_err(|error| error.to_string())?;
        times.push(("tokenizer", now_ns() - start_ns));

        let start_ns = now_ns();
        begin("making the context");
        let room = self.room(machine, draft_model, 0);
        let n_ctx = fitting(&room)?;
        let Machine { workers, kernels, .. } = *machine;
        let session = Session::with_kernels(&self.model, workers, n_ctx, kv, kernels)
            .map_err(|error| error.to_string())?;
        times.push(("context", now_ns() - start_ns));

        if options.n_ctx.is_some() && n_ctx < *sizes.end() {
            writeln!(console, "command line: {}; it has {n_ctx}", room.refusal(*sizes.end(), kv));
        }
        writeln!(console, "{}, context {n_ctx} of {}", self.describe(), hparams.n_ctx_train);
        // Not the clock, which also counts how long a person looked at the menu.
        let total_ns = times.iter().map(|(_, ns)| ns).sum();
        let times: Vec<_> = times.iter().map(|(what, ns)| format!("{what} {}", seconds(*ns))).collect();
        writeln!(console, "ready in {} s: {}", seconds(total_ns), times.join(", "));
        begin("waiting for a person");
        let mut chat = Chat::new(machine, shelf, self, &tokenizer, template, session);
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

/// Return the sizes that the first context may have, in tokens, where somebody asked for `wanted` or nobody did.
fn first_sizes(hparams: &HParams, wanted: Option<usize>) -> RangeInclusive<usize> {
    let most = hparams.n_ctx_train.min(wanted.unwrap_or(MAX_N_CTX));
    most.min(MIN_N_CTX)..=most
}

#[cfg(test)]
mod tests {
    use engine::model::HParams;

    use super::first_sizes;

    #[test]
    fn takes_what_the_model_was_trained_with_up_to_the_limit() {
        for (n_ctx_train, wanted, expected) in [
            (8192, None, 256..=2048),
            (1024, None, 256..=1024),
            (100, None, 100..=100),
            (8192, Some(8000), 256..=8000),
            (8192, Some(100), 100..=100),
            (1024, Some(8000), 256..=1024),
        ] {
            // SmolLM2-135M's shape.
            let hparams = HParams {
                n_ctx_train,
                n_embd: 576,
                n_layer: 30,
                n_head: 9,
                n_head_kv: 3,
                n_embd_head: 64,
                n_ff: 1536,
                n_vocab: 49_152,
            };
            assert_eq!(first_sizes(&hparams, wanted), expected, "{n_ctx_train} {wanted:?}");
        }
    }
}
