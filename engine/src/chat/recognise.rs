//! Which dialect a jinja template writes, by what it contains: mostly the marks by which llama.cpp knows it
//! (`llm_chat_detect_template` in llama-chat.cpp), and stricter where those would take one template for another.

use alloc::string::String;

use super::dialect::{Bos, Dialect, Strip};

/// The dialects, as an error names them.
pub(super) const KNOWN: &str = "ChatML, Zephyr (TinyLlama), Llama 2, Llama 3, Mistral, Gemma, Phi-3";

/// Return the dialect of the jinja program `template`, and the system message that it writes by itself.
pub(super) fn recognise(template: &str) -> Option<(Dialect, Option<String>)> {
    // Some publishers write a line feed into a text, others its escape.
    let template = &template.replace("\\n", "\n");
    let has = |text: &str| template.contains(text);
    let mut default_system = None;
    let dialect = if has("<|im_start|>") {
        // Phi-4 and SmolVLM have the mark for turns of another form.
        if has("<|im_sep|>") || has("<end_of_utterance>") {
            return None;
        }
        default_system = system_between(template, "<|im_start|>system\n", "<|im_end|>");
        Dialect::CHATML
    } else if has("[INST]") {
        with_inst(template)
    } else if has("<|assistant|>") && has("<|end|>") {
        // Phi-4-mini has no line feeds behind the roles.
        if has("'|>' + message['content']") {
            return None;
        }
        Dialect::PHI_3
    } else if has("<|user|>\n' + message['content'] + eos_token") {
        Dialect::ZEPHYR
    } else if has("<start_of_turn>") {
        Dialect::GEMMA
    } else if has("<|start_header_id|>") && has("<|end_header_id|>") {
        if has("Cutting Knowledge Date: December 2023\n") && has("26 Jul 2024") {
            default_system = Some(String::new());
            Dialect::LLAMA_3_1
        } else {
            Dialect::LLAMA_3
        }
    } else {
        return None;
    };
    let bos = match () {
        () if has("bos_token + '[INST]") => Bos::EveryTurn,
        () if has("bos_token") => Bos::FirstTurn,
        () => Bos::Nowhere,
    };
    Some((Dialect { bos, ..dialect }, default_system))
}

/// Return the dialect of a template that writes `[INST]`: Mistral's versions (their own names), Llama 2 and its like.
fn with_inst(template: &str) -> Dialect {
    let has = |text: &str| template.contains(text);
    if has("[SYSTEM_PROMPT]") {
        return if has("[INST] ") { Dialect::MISTRAL_V7 } else { Dialect::MISTRAL_V7_TEKKEN };
    }
    if has("' [INST] ' + system_message") || has("[AVAILABLE_TOOLS]") {
        return match () {
            () if has(" [INST]") => Dialect::MISTRAL_V1,
            () if has("\"[INST]\"") => Dialect::MISTRAL_V3_TEKKEN,
            () => Dialect::MISTRAL_V3,
        };
    }
    let dialect = if has("<<SYS>>") { Dialect::LLAMA_2 } else { Dialect::LLAMA_2_NO_SYSTEM };
    let strip = if has("content.strip()") { Strip::Message } else { Strip::Nothing };
    Dialect { strip, ..dialect }
}

/// Return the system message that `template` spells between `before` and `after`.
fn system_between(template: &str, before: &str, after: &str) -> Option<String> {
    template.match_indices(before).find_map(|(at, _)| {
        let (message, _) = template[at + before.len()..].split_once(after)?;
        match template[..at].chars().next_back() {
            Some(quote @ ('\'' | '"')) => unquote(message, quote),
            // Text between the program's parts: it goes on with one where the message is not the template's own.
            _ => (!message.contains("{{") && !message.contains("{%")).then(|| String::from(message)),
        }
    })
}

/// Return what `text` of a jinja string in `quote`s says; nothing where the string ends in it.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ if c == quote => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}
