//! What `/info` and `/template` say about the model.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use engine::chat::ChatTemplate;
use engine::quant::TensorType;

use super::Chat;
use crate::paragraph::cell;
use crate::units::{megabytes, parameters};

impl Chat<'_> {
    /// Return what `/info` shows: where the model comes from, its shape, its weights, its tokenizer, its template.
    pub(crate) fn info(&self) -> String {
        let Self { gguf, model, tokenizer, template, .. } = self;
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {value}", cell(name, 15));
        };
        let (n_params, size) = (parameters(model.n_params()), megabytes(model.size_bytes()));
        row("model", format!("{}, {} of {n_params} parameters, {size}", model.name(), model.architecture()));
        for key in ["general.license", "general.basename", "general.finetune"] {
            if let Ok(Some(value)) = gguf.str(key) {
                row(&key["general.".len()..], value.to_string());
            }
        }
        for (name, value) in model.hparams().named() {
            row(name, value.to_string());
        }
        let (n_ctx, kv) = self.settings.context();
        row("n_ctx", format!("{n_ctx}, kv {kv}"));
        row("tensors", self.tensor_types());
        let kind = gguf.str("tokenizer.ggml.model").ok().flatten().unwrap_or_default();
        let pre = gguf.str("tokenizer.ggml.pre").ok().flatten().map_or("none", |pre| pre);
        row("tokenizer", format!("{kind}, pre-tokenizer {pre}, {} tokens", tokenizer.n_vocab()));
        let marks = [("begins", tokenizer.bos()), ("ends", tokenizer.eos())];
        let marks = marks.map(|(what, token)| match token {
            Some(token) => format!("{what} with token {token}"),
            None => format!("{what} with no token"),
        });
        row("a sequence", marks.join(", "));
        row("template", template.name().to_string());
        text
    }

    /// Return how many tensors there are of each type: `F32 61, Q4_1 210`.
    fn tensor_types(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tensor in self.gguf.tensors() {
            *counts.entry(TensorType::ggml_name(tensor.ggml_type)).or_default() += 1;
        }
        let counts = counts.iter().map(|(name, count)| format!("{count} {name}"));
        counts.collect::<alloc::vec::Vec<_>>().join(", ")
    }

    /// Return the name of the template, and the text that the model came with.
    pub(crate) fn show_template(&self) -> String {
        let name = self.template.name();
        match self.gguf.str("tokenizer.chat_template").ok().flatten() {
            Some(text) => format!("turns as in: {name}\nthe model's own template:\n{text}\n"),
            None => format!("turns as in: {name}\nThe model has no template of its own.\n"),
        }
    }

    /// Take no template when `raw` says so, so that the model continues the text, else the model's own.
    ///
    /// # Errors
    /// A sentence for the person; nothing has changed then.
    pub(crate) fn set_template(&mut self, raw: bool) -> Result<(), String> {
        self.template = match raw {
            true => ChatTemplate::plain(self.tokenizer),
            false => ChatTemplate::of(self.gguf, self.tokenizer).map_err(|error| error.to_string())?,
        };
        Ok(())
    }
}
