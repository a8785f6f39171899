//! `/set speculative`: where an answer's drafts come from, and the other model at work that makes them.

use alloc::format;
use alloc::string::{String, ToString};

use engine::format::gguf::Gguf;
use engine::model::Model;
use engine::session::Session;
use engine::speculative::Speculation;

use super::Chat;
use crate::Machine;
use crate::settings::LOOKUP;
use crate::start::Candidate;

impl<'m> Chat<'m> {
    /// Return the drafter that the settings ask for, with an empty context.
    ///
    /// # Errors
    /// A sentence for the person, when the model that the settings name cannot draft, or has no context such as the conversation's.
    pub(super) fn drafter(&self) -> Result<Option<Speculation<'m>>, String> {
        if let Some(drafting) = self.draft_model()? {
            return Ok(Some(Speculation::draft_model(self.draft_session(drafting.model())?)));
        }
        Ok(self.settings.speculation().map(|_| Speculation::lookup()))
    }

    /// Return the model that the settings name as the one that drafts.
    ///
    /// # Errors
    /// A sentence for the person, when there is no such model, or when it has another vocabulary.
    pub(super) fn draft_model(&self) -> Result<Option<&'m Candidate<'m>>, String> {
        let Some(name) = self.settings.speculation().filter(|&name| name != LOOKUP) else { return Ok(None) };
        let shelf = self.shelf;
        let found = shelf.find(name);
        let index = found.map_err(|reason| format!("speculative takes off, lookup or a model. {reason}"))?;
        let other = &shelf.models[index];
        let n_vocab = (self.model.hparams().n_vocab, other.model().hparams().n_vocab);
        same_vocabulary((self.gguf, n_vocab.0), (other.gguf(), n_vocab.1)).map_err(|difference| {
            format!("{} has another vocabulary than {}: {difference}", other.file_name(), self.file_name)
        })?;
        Ok(Some(other))
    }

    /// Return a session of `model` with a context as long as the conversation's, or as long as the model knows.
    fn draft_session(&self, model: &'m Model<'m>) -> Result<Session<'m>, String> {
        let (n_ctx, kv) = self.settings.context();
        let n_ctx = n_ctx.min(model.hparams().n_ctx_train).min(model.n_ctx_max());
        let Machine { workers, kernels, .. } = *self.machine;
        Session::with_kernels(model, workers, n_ctx, kv, kernels).map_err(|error| error.to_string())
    }
}

/// Return an error that names the first difference between the vocabularies of two files, each with the rows of its embedding: the one
/// that is expected, and the one that there is.
fn same_vocabulary(
    (expected, n_expected): (&Gguf<'_>, usize),
    (found, n_found): (&Gguf<'_>, usize),
) -> Result<(), String> {
    if n_found != n_expected {
        return Err(format!("expected {n_expected} tokens, and it has {n_found}"));
    }
    for (token, (expected, found)) in tokens(expected)?.zip(tokens(found)?).enumerate() {
        if expected != found {
            let [expected, found] = [expected, found].map(|text| String::from_utf8_lossy(text).into_owned());
            return Err(format!("expected {expected:?} as token {token}, and it has {found:?}"));
        }
    }
    Ok(())
}

/// Return the vocabulary of a file.
fn tokens<'f>(gguf: &Gguf<'f>) -> Result<impl Iterator<Item = &'f [u8]> + use<'f>, String> {
    let texts = gguf.strings("tokenizer.ggml.tokens").map_err(|error| error.to_string())?;
    Ok(texts.iter())
}
