//! What is beside the words: tokens with a meaning of their own, and the chat template.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Config, Piece};
use crate::checkpoint::read_json;
use crate::gguf::Header;

/// The tokens with a meaning of their own.
#[derive(Debug, Default)]
pub(super) struct Special {
    bos: Option<u32>,
    eos: Option<u32>,
    /// Ends a turn, where that is another one.
    eot: Option<u32>,
    pad: Option<u32>,
    adds_bos: bool,
    adds_eos: bool,
    /// What tokenizer.json puts before and behind a text, where it says so.
    before: Option<Vec<String>>,
    behind: Option<Vec<String>>,
    chat_template: Option<String>,
}

/// tokenizer_config.json, as far as it matters here.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    bos_token: Option<Text>,
    eos_token: Option<Text>,
    pad_token: Option<Text>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    chat_template: Option<Template>,
}

/// A token's text, alone or among what else is known about it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Alone(String),
    Within { content: String },
}

/// A chat template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    One(String),
    Several(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// generation_config.json, as far as it matters here.
#[derive(Default, Deserialize)]
struct GenerationConfig {
    eos_token_id: Option<Json>,
}

impl Special {
    /// Return those of a SentencePiece model, which was trained on texts behind the first of them.
    pub(super) fn of_spm(bos: Option<u32>, eos: Option<u32>, pad: Option<u32>) -> Self {
        Self { bos, eos, pad, adds_bos: true, ..Self::default() }
    }

    /// Note what tokenizer.json's `post_processor` puts around a text.
    pub(super) fn read_post_processor(&mut self, post_processor: Option<&Json>) {
        let Some(post_processor) = post_processor else { return };
        for step in post_processor.get("processors").and_then(Json::as_array).into_iter().flatten() {
            self.read_post_processor(Some(step));
        }
        if post_processor.get("type").and_then(Json::as_str) != Some("TemplateProcessing") {
            return;
        }
        let Some(parts) = post_processor.get("single").and_then(Json::as_array) else { return };
        let (mut before, mut behind, mut has_text) = (Vec::new(), Vec::new(), false);
        for part in parts {
            match part.get("SpecialToken").and_then(|token| token.get("id")?.as_str()) {
                Some(token) if has_text => behind.push(token.to_string()),
                Some(token) => before.push(token.to_string()),
                None => has_text = true,
            }
        }
        (self.before, self.behind) = (Some(before), Some(behind));
    }

    /// Complete what is known by the other files in `dir`, for the tokens `pieces`.
    pub(super) fn read(&mut self, dir: &Path, config: &Config, pieces: &[Piece]) -> Result<()> {
        let file = dir.join("tokenizer_config.json");
        let json: TokenizerConfig =
            if file.is_file() { read_json(&file)? } else { TokenizerConfig::default() };
        let id = |text: &Option<Text>| {
            let (Text::Alone(text) | Text::Within { content: text }) = text.as_ref()?;
            pieces.iter().position(|piece| piece.text == *text).map(|token| token as u32)
        };
        // A file may name a token that the tokenizer does not have.
        let known = |token: &u32| (*token as usize) < pieces.len();
        self.bos = id(&json.bos_token).or(self.bos).or(config.bos.filter(known));
        self.eos = id(&json.eos_token).or(self.eos).or(config.eos.first().copied().filter(known));
        self.pad = id(&json.pad_token).or(self.pad).or(config.pad.filter(known));

        let file = dir.join("generation_config.json");
        let generation: GenerationConfig =
            if file.is_file() { read_json(&file)? } else { GenerationConfig::default() };
        let others = match &generation.eos_token_id {
            Some(Json::Array(ids)) => ids.iter().filter_map(Json::as_u64).collect(),
            Some(Json::Number(id)) => id.as_u64().into_iter().collect(),
            _ => Vec::new(),
        };
        let others = others
            .into_iter()
            .filter_map(|token| u32::try_from(token).ok())
            .chain(config.eos.iter().copied());
        self.eot = others.filter(known).find(|&token| Some(token) != self.eos);

        let text =
            |token: Option<u32>| token.and_then(|token| pieces.get(token as usize)).map(|piece| &piece.text);
        let has = |around: &Option<Vec<String>>, token| {
            Some(text(token).is_some_and(|text| around.as_ref().is_some_and(|around| around.contains(text))))
                .filter(|_| around.is_some())
        };
        // What tokenizer.json does is what happens; the settings are what a slower tokenizer would have done.
        self.adds_bos = has(&self.before, self.bos).or(json.add_bos_token).unwrap_or(self.adds_bos);
        self.adds_eos = has(&self.behind, self.eos).or(json.add_eos_token).unwrap_or(false);
        self.chat_template = chat_template(dir, json.chat_template)?;
        Ok(())
    }

    /// Return the tokens with a meaning of their own.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> + use<> {
        [self.bos, self.eos, self.eot, self.pad].into_iter().flatten()
    }

    /// Write this into `header`.
    pub(super) fn describe(&self, header: &mut Header) {
        let ids = [("bos", self.bos), ("eos", self.eos), ("eot", self.eot), ("padding", self.pad)];
        for (name, token) in ids {
            if let Some(token) = token {
                header.set(&format!("tokenizer.ggml.{name}_token_id"), token);
            }
        }
        header.set("tokenizer.ggml.add_bos_token", self.adds_bos && self.bos.is_some());
        header.set("tokenizer.ggml.add_eos_token", self.adds_eos && self.eos.is_some());
        if let Some(template) = &self.chat_template {
            header.set("tokenizer.chat_template", template.as_str());
        }
    }
}

/// Return the chat template: a file of its own, or the one in tokenizer_config.json.
fn chat_template(dir: &Path, in_config: Option<Template>) -> Result<Option<String>> {
    let file = dir.join("chat_template.jinja");
    if file.is_file() {
        return Ok(Some(fs::read_to_string(&file).with_context(|| file.display().to_string())?));
    }
    Ok(match in_config {
        None => None,
        Some(Template::One(template)) => Some(template),
        Some(Template::Several(templates)) => {
            templates.into_iter().find(|named| named.name == "default").map(|named| named.template)
        }
    })
}
