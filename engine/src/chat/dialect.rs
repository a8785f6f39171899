//! The ways in which turns are written, each a value: what stands before, between and behind what people say.
//!
//! Each follows the template that its publisher put into `tokenizer_config.json`; the tests name the models.

use alloc::vec::Vec;

/// Stands in markup for the vocabulary's beginning-of-sequence token.
pub(super) const BOS: &str = "{bos}";
/// Stands in markup for the vocabulary's end-of-sequence token.
pub(super) const EOS: &str = "{eos}";

/// A part of what is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// The template's own words, in which marks such as `<|im_start|>` are control tokens.
    Markup(&'static str),
    /// What somebody said: text, whatever it spells.
    Text(&'a str),
}

/// Where the beginning-of-sequence token is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bos {
    Nowhere,
    FirstTurn,
    EveryTurn,
}

/// How a system message is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum System {
    /// In a turn of its own.
    Turn { before: &'static str, after: &'static str },
    /// In the first message, before what the person says.
    InMessage { before: &'static str, after: &'static str },
}

/// What loses the white space at its ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strip {
    Nothing,
    /// What the person says.
    Text,
    /// What the person says, and the system message.
    TextAndSystem,
    /// What the person says together with the system message before it.
    Message,
}

/// A way in which turns are written, with the name that people know it by; [`recognise`](super::recognise) adds where a model's own template differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) name: &'static str,
    pub(super) bos: Bos,
    pub(super) system: System,
    pub(super) before_text: &'static str,
    /// Up to where the answer begins.
    pub(super) after_text: &'static str,
    pub(super) end_of_answer: &'static str,
    /// What stands between the end of an answer and the next turn.
    pub(super) between: &'static str,
    pub(super) strip: Strip,
}

impl Dialect {
    /// No turns: the model continues the text.
    pub(super) const PLAIN: Self = Self {
        name: "none",
        bos: Bos::Nowhere,
        system: System::InMessage { before: "", after: "\n" },
        before_text: "",
        after_text: "",
        end_of_answer: "",
        between: "",
        strip: Strip::Nothing,
    };

    pub(super) const CHATML: Self = Self {
        name: "ChatML",
        bos: Bos::Nowhere,
        system: System::Turn { before: "<|im_start|>system\n", after: "<|im_end|>\n" },
        before_text: "<|im_start|>user\n",
        after_text: "<|im_end|>\n<|im_start|>assistant\n",
        end_of_answer: "<|im_end|>",
        between: "\n",
        strip: Strip::Nothing,
    };

    /// TinyLlama-Chat's as well.
    pub(super) const ZEPHYR: Self = Self {
        name: "Zephyr",
        bos: Bos::Nowhere,
        system: System::Turn { before: "<|system|>\n", after: "{eos}\n" },
        before_text: "<|user|>\n",
        after_text: "{eos}\n<|assistant|>\n",
        end_of_answer: "{eos}",
        between: "\n",
        strip: Strip::Nothing,
    };

    pub(super) const PHI_3: Self = Self {
        name: "Phi-3",
        bos: Bos::Nowhere,
        system: System::Turn { before: "<|system|>\n", after: "<|end|>\n" },
        before_text: "<|user|>\n",
        after_text: "<|end|>\n<|assistant|>\n",
        end_of_answer: "<|end|>",
        between: "\n",
        strip: Strip::Nothing,
    };

    pub(super) const LLAMA_2: Self = Self {
        name: "Llama 2",
        bos: Bos::Nowhere,
        system: System::InMessage { before: "<<SYS>>\n", after: "\n<</SYS>>\n\n" },
        before_text: "[INST] ",
        after_text: " [/INST]",
        end_of_answer: "{eos}",
        between: "",
        strip: Strip::Nothing,
    };

    /// Without a word for system messages, which therefore open the first message.
    pub(super) const LLAMA_2_NO_SYSTEM: Self = Self {
        name: "Llama 2 without system messages",
        system: System::InMessage { before: "", after: "\n" },
        ..Self::LLAMA_2
    };

    pub(super) const MISTRAL_V1: Self = Self {
        name: "Mistral v1",
        system: System::InMessage { before: "", after: "\n\n" },
        before_text: " [INST] ",
        ..Self::LLAMA_2
    };

    pub(super) const MISTRAL_V3: Self =
        Self { name: "Mistral v3", before_text: "[INST] ", after_text: "[/INST]", ..Self::MISTRAL_V1 };

    pub(super) const MISTRAL_V3_TEKKEN: Self =
        Self { name: "Mistral v3 Tekken", before_text: "[INST]", ..Self::MISTRAL_V3 };

    pub(super) const MISTRAL_V7: Self = Self {
        name: "Mistral v7",
        system: System::Turn { before: "[SYSTEM_PROMPT] ", after: "[/SYSTEM_PROMPT]" },
        ..Self::MISTRAL_V3
    };

    pub(super) const MISTRAL_V7_TEKKEN: Self = Self {
        name: "Mistral v7 Tekken",
        system: System::Turn { before: "[SYSTEM_PROMPT]", after: "[/SYSTEM_PROMPT]" },
        ..Self::MISTRAL_V3_TEKKEN
    };

    pub(super) const LLAMA_3: Self = Self {
        name: "Llama 3",
        bos: Bos::Nowhere,
        system: System::Turn {
            before: "<|start_header_id|>system<|end_header_id|>\n\n",
            after: "<|eot_id|>",
        },
        before_text: "<|start_header_id|>user<|end_header_id|>\n\n",
        after_text: "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        end_of_answer: "<|eot_id|>",
        between: "",
        strip: Strip::TextAndSystem,
    };

    /// Llama 3.1 to 3.3: every system message tells the date that the templates name where no clock is at hand.
    pub(super) const LLAMA_3_1: Self = Self {
        name: "Llama 3.1",
        system: System::Turn {
            before: "<|start_header_id|>system<|end_header_id|>\n\n\
                     Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
            after: "<|eot_id|>",
        },
        ..Self::LLAMA_3
    };

    pub(super) const GEMMA: Self = Self {
        name: "Gemma",
        bos: Bos::Nowhere,
        system: System::InMessage { before: "", after: "\n\n" },
        before_text: "<start_of_turn>user\n",
        after_text: "<end_of_turn>\n<start_of_turn>model\n",
        end_of_answer: "<end_of_turn>",
        between: "\n",
        strip: Strip::Text,
    };

    /// Let the conversation begin with the beginning-of-sequence token.
    pub(super) fn begin_with_bos(&mut self) {
        if self.bos == Bos::Nowhere {
            self.bos = Bos::FirstTurn;
        }
    }

    /// Return the first turn.
    pub(super) fn first_turn<'a>(&self, system: Option<&'a str>, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        if self.bos != Bos::Nowhere {
            pieces.push(Piece::Markup(BOS));
        }
        let system = system.map(|system| match self.strip {
            Strip::TextAndSystem => system.trim_matches(is_space),
            _ => system,
        });
        match (self.system, system) {
            (_, None) => pieces.extend(self.message(text)),
            (System::Turn { before, after }, Some(system)) => {
                pieces.extend([Piece::Markup(before), Piece::Text(system), Piece::Markup(after)]);
                pieces.extend(self.message(text));
            }
            (System::InMessage { before, after }, Some(system)) => {
                let [before_text, stripped, after_text] = self.message(text);
                let (after, text) = match (self.strip, stripped) {
                    // The message begins with the system message: only at its end is there anything to strip.
                    (Strip::Message, Piece::Text("")) => (after.trim_end(), stripped),
                    (Strip::Message, _) => (after, Piece::Text(text.trim_end_matches(is_space))),
                    _ => (after, stripped),
                };
                pieces.push(before_text);
                pieces.extend([Piece::Markup(before), Piece::Text(system), Piece::Markup(after)]);
                pieces.extend([text, after_text]);
            }
        }
        pieces
    }

    /// Return a turn behind the end of an answer.
    pub(super) fn next_turn<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = alloc::vec![Piece::Markup(self.between)];
        if self.bos == Bos::EveryTurn {
            pieces.push(Piece::Markup(BOS));
        }
        pieces.extend(self.message(text));
        pieces
    }

    fn message<'a>(&self, text: &'a str) -> [Piece<'a>; 3] {
        let text = match self.strip {
            Strip::Nothing => text,
            _ => text.trim_matches(is_space),
        };
        [Piece::Markup(self.before_text), Piece::Text(text), Piece::Markup(self.after_text)]
    }
}

/// Return whether Python's `str.strip`, and so jinja's `trim`, takes `c` away.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
