//! What a boot asks for in advance: the words `key=value` of a command line.
//!
//! A value with blanks stands in double quotes, as on Linux's command line: `prompt="Once upon a time"`; a backslash keeps
//! a quote or a backslash inside. Nothing here stops a boot: what is not understood is a warning.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::session::KvType;

use crate::nearest::nearest;
use crate::settings;

/// What a person wants before there is a prompt to say it at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The model to take: its number in the menu, its name, or that of its file.
    pub model: Option<String>,
    /// What to say to it first.
    pub prompt: Option<String>,
    /// Whether to leave after the answer to that.
    pub once: bool,
    /// The system message.
    pub system: Option<String>,
    /// Names of files, and the SHA-256 that each must have.
    pub sums: Vec<(String, String)>,
    /// The size of the context, in tokens.
    pub n_ctx: Option<usize>,
    /// Settings by their names in `/set`, with their values.
    pub settings: Vec<(String, String)>,
    /// Whether the terminal shows UTF-8; it is asked where this is left out.
    pub utf8: Option<bool>,
    /// Whether the other end of the terminal is a pipe: it gets text and no control sequences.
    pub pipe: bool,
    /// What was not understood, in sentences.
    pub warnings: Vec<String>,
}

/// The keys that are not settings.
const KEYS: [&str; 8] = ["model", "prompt", "once", "system", "n_ctx", "sha256", "utf8", "terminal"];

impl Options {
    /// Return the type that the context is to be kept in.
    pub(crate) fn kv(&self) -> KvType {
        let wanted = self.settings.iter().rev().find(|(name, _)| name == "kv");
        wanted.and_then(|(_, value)| settings::kv_type(value)).unwrap_or_default()
    }

    /// Return what `command_line` asks for. Words of the host's own, such as `selftest=cpu`, have one of the keys `host_keys`
    /// and are passed over.
    pub fn parse(command_line: &str, host_keys: &[&str]) -> Self {
        let mut options = Self::default();
        for (key, value) in words(command_line).map(key_and_value) {
            if host_keys.contains(&key) {
                continue;
            }
            if let Err(warning) = options.take(key, value.map(unquoted), host_keys) {
                options.warnings.push(warning);
            }
        }
        if options.once && options.prompt.is_none() {
            options.once = false;
            options.warnings.push("once does nothing without prompt=TEXT".to_string());
        }
        if command_line.bytes().filter(|&byte| byte == b'"').count() % 2 != 0 {
            options.warnings.push("a quote is not closed; what stands behind it is one word".to_string());
        }
        options
    }

    /// Take one word.
    ///
    /// # Errors
    /// A sentence, when it is not understood.
    fn take(&mut self, key: &str, value: Option<String>, host_keys: &[&str]) -> Result<(), String> {
        let text = |value: Option<String>| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{key} takes a value: {key}=..."))
        };
        match key {
            "model" => self.model = Some(text(value)?),
            "prompt" => self.prompt = Some(text(value)?),
            "system" => self.system = Some(text(value)?),
            "n_ctx" => {
                let n_ctx = text(value)?.parse().ok().filter(|n_ctx| *n_ctx > 0);
                self.n_ctx = Some(n_ctx.ok_or("n_ctx takes a number of tokens")?);
            }
            "sha256" => {
                let value = text(value)?;
                let (name, sum) = value
                    .rsplit_once(':')
                    .ok_or("sha256 takes a file's name and its sum: sha256=NAME:SUM")?;
                self.sums.push((name.to_string(), sum.to_string()));
            }
            "once" if value.is_none() => self.once = true,
            "once" => return Err("once takes no value".to_string()),
            "utf8" => match value.as_deref() {
                Some("on") => self.utf8 = Some(true),
                Some("off") => self.utf8 = Some(false),
                _ => return Err("utf8 takes on or off".to_string()),
            },
            "terminal" => match value.as_deref() {
                Some("screen") => self.pipe = false,
                Some("pipe") => self.pipe = true,
                _ => return Err("terminal takes screen or pipe".to_string()),
            },
            _ if settings::names().any(|name| name == key) => {
                self.settings.push((key.to_string(), text(value)?));
            }
            _ => {
                let mut known = host_keys.to_vec();
                known.extend(KEYS);
                settings::names().for_each(|name| known.push(name));
                return Err(match nearest(key, known.into_iter()) {
                    Some(near) => format!("there is no option {key}; did you mean {near}?"),
                    None => format!("there is no option {key}"),
                });
            }
        }
        Ok(())
    }
}

/// Return the value of the first word `key=value`, as it stands there.
pub fn option<'a>(command_line: &'a str, key: &str) -> Option<&'a str> {
    words(command_line).map(key_and_value).find(|(name, _)| *name == key)?.1
}

/// Return the words, with their quotes.
fn words(command_line: &str) -> impl Iterator<Item = &str> {
    let mut rest = command_line;
    core::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut quoted = false;
        let mut escaped = false;
        let end = rest.find(|character: char| {
            let is_end = character.is_whitespace() && !quoted;
            quoted ^= character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            is_end
        });
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

fn key_and_value(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)))
}

/// Return `value` without its quotes, and without the backslashes that keep quotes and backslashes.
fn unquoted(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {}
            '\\' => text.push(characters.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\')),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Options, option};

    fn warnings(command_line: &str) -> Vec<String> {
        Options::parse(command_line, &["selftest"]).warnings
    }

    #[test]
    fn reads_every_option() {
        let line = "  model=SmolLM2 prompt=\"Say \\\"hi\\\" to C:\\\\ \" once system=Briefly. n_ctx=512 sha256=a:b.gguf:c0de temp=0.5\tseed=7 utf8=off terminal=pipe selftest=cpu ";
        let expected = Options {
            model: Some("SmolLM2".into()),
            prompt: Some("Say \"hi\" to C:\\ ".into()),
            once: true,
            system: Some("Briefly.".into()),
            n_ctx: Some(512),
            sums: vec![("a:b.gguf".into(), "c0de".into())],
            settings: vec![("temp".into(), "0.5".into()), ("seed".into(), "7".into())],
            utf8: Some(false),
            pipe: true,
            warnings: vec![],
        };
        assert_eq!(Options::parse(line, &["selftest"]), expected);
        assert_eq!(Options::parse("", &[]), Options::default());
    }

    #[test]
    fn a_key_inside_quotes_is_no_option() {
        assert_eq!(option("prompt=\"run selftest=cpu now\" log=debug", "selftest"), None);
        assert_eq!(option("prompt=\"run selftest=cpu now\" log=debug", "log"), Some("debug"));
        assert_eq!(option("once log", "log"), None);
    }

    #[test]
    fn what_is_not_understood_is_a_warning_and_the_rest_counts() {
        let options = Options::parse("tmep=1 temp=1", &[]);
        assert_eq!(options.warnings, ["there is no option tmep; did you mean temp?"]);
        assert_eq!(options.settings.len(), 1);
        assert_eq!(warnings("frobnicate"), ["there is no option frobnicate"]);
        assert_eq!(warnings("selftst=cpu"), ["there is no option selftst; did you mean selftest?"]);
        assert_eq!(warnings("model"), ["model takes a value: model=..."]);
        assert_eq!(warnings("prompt=\"\""), ["prompt takes a value: prompt=..."]);
        assert_eq!(warnings("n_ctx=0"), ["n_ctx takes a number of tokens"]);
        assert_eq!(warnings("utf8=maybe"), ["utf8 takes on or off"]);
        assert_eq!(warnings("terminal=vt100"), ["terminal takes screen or pipe"]);
        assert_eq!(warnings("prompt=x once=1"), ["once takes no value"]);
    }

    #[test]
    fn once_without_a_prompt_does_nothing() {
        let options = Options::parse("once", &[]);
        assert!(!options.once);
        assert_eq!(options.warnings, ["once does nothing without prompt=TEXT"]);
    }

    #[test]
    fn an_open_quote_ends_with_the_line_and_is_told() {
        let options = Options::parse("temp=1 prompt=\"Once upon a", &[]);
        assert_eq!(options.prompt.as_deref(), Some("Once upon a"));
        assert_eq!(options.warnings, ["a quote is not closed; what stands behind it is one word"]);
    }
}
