//! What a person can set about an answer, and the reading of `/set`.

mod values;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use engine::sampler::SamplerParams;
use engine::session::KvType;

use crate::nearest::nearest;
pub(crate) use values::{LOOKUP, OFF, number, quote};
use values::{NONE, RANDOM, texts};

/// The smallest context that is still one: a question and an answer of a few words.
const MIN_N_CTX: usize = 64;

/// How an answer is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// All but the seed, which [`Settings::sampler`] fills in.
    sampler: SamplerParams,
    /// `None`: another one for every answer.
    seed: Option<u64>,
    max_tokens: usize,
    stop: Vec<String>,
    n_ctx: usize,
    kv: KvType,
    /// What drafts answers: [`LOOKUP`], or the name of a model.
    speculation: Option<String>,
    /// The largest context that the model knows.
    n_ctx_max: usize,
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Temp,
    TopK,
    TopP,
    MinP,
    Repeat,
    RepeatLastN,
    Presence,
    Frequency,
    NoRepeatNgram,
    Seed,
    MaxTokens,
    Stop,
    NCtx,
    Kv,
    Speculative,
}

/// A setting as a person knows it.
struct Setting {
    key: Key,
    name: &'static str,
    /// What values there are; empty where that depends on the model.
    takes: &'static str,
    does: &'static str,
}

const fn setting(key: Key, name: &'static str, takes: &'static str, does: &'static str) -> Setting {
    Setting { key, name, takes, does }
}

/// All settings, in the order of `/set`.
const SETTINGS: [Setting; 15] = [
    setting(Key::Temp, "temp", "0 to 2", "how freely to draw; 0 takes the likeliest token"),
    setting(Key::TopK, "top_k", "0 to 1000000", "draw from so many of the likeliest; 0 is off"),
    setting(Key::TopP, "top_p", "0 to 1", "draw from the likeliest up to this sum; 1 is off"),
    setting(Key::MinP, "min_p", "0 to 1", "leave out below this share of the likeliest"),
    setting(Key::Repeat, "repeat", "0.1 to 10", "divide the logits of what was there; 1 is off"),
    setting(Key::RepeatLastN, "repeat_last_n", "0 to 1000000", "how far back the three penalties look"),
    setting(Key::Presence, "presence", "-2 to 2", "take from what was there, once; 0 is off"),
    setting(Key::Frequency, "frequency", "-2 to 2", "take from what was there, each time; 0 is off"),
    setting(Key::NoRepeatNgram, "no_repeat_ngram", "0 to 64", "never say so many tokens twice; 0 is off"),
    setting(Key::Seed, "seed", "0 to 2^64 - 1, or random", "the same seed draws the same"),
    setting(Key::MaxTokens, "max_tokens", "1 to 1000000", "where an answer stops; /continue goes on"),
    setting(
        Key::Stop,
        "stop",
        "\"TEXT\" \"TEXT\" ..., or none",
        "texts that end an answer; \\n is a new line",
    ),
    setting(Key::NCtx, "n_ctx", "", "how many tokens the context holds"),
    setting(Key::Kv, "kv", "f16, f32 or q8_0", "what the context is kept in"),
    setting(
        Key::Speculative,
        "speculative",
        "off, lookup or a model",
        "read ahead what came last time, or a model drafts",
    ),
];

/// Return the names of all settings.
pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
    SETTINGS.iter().map(|setting| setting.name)
}

/// Return the type of a context that is called `name`.
pub(crate) fn kv_type(name: &str) -> Option<KvType> {
    KvType::ALL.into_iter().find(|kv| kv.to_string() == name)
}

impl Settings {
    /// Return the settings of models that ask for no others, llama.cpp's (`common_params_sampling`), with a context of
    /// `n_ctx` tokens of at most `n_ctx_max` in `kv`.
    pub(crate) fn new(n_ctx: usize, kv: KvType, n_ctx_max: usize) -> Self {
        let sampler = SamplerParams {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            ..SamplerParams::default()
        };
        Self {
            sampler,
            seed: None,
            max_tokens: 512,
            stop: Vec::new(),
            n_ctx,
            kv,
            speculation: None,
            n_ctx_max,
        }
    }

    /// Return the longest answer, in tokens.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Return the texts that end an answer.
    pub(crate) fn stop(&self) -> &[String] {
        &self.stop
    }

    /// Return size and type of the context.
    pub(crate) fn context(&self) -> (usize, KvType) {
        (self.n_ctx, self.kv)
    }

    /// Return what shall draft answers, if anything: [`LOOKUP`], or the name of a model.
    pub(crate) fn speculation(&self) -> Option<&str> {
        self.speculation.as_deref()
    }

    /// Return what the sampler needs; `random` is the seed where none is set.
    pub(crate) fn sampler(&self, random: u64) -> SamplerParams {
        SamplerParams { seed: self.seed.unwrap_or(random), ..self.sampler.clone() }
    }

    /// Do what `/set arguments` asks for and return the text to show.
    ///
    /// # Errors
    /// A sentence for the person; nothing has changed then.
    pub(crate) fn set(&mut self, arguments: &str) -> Result<String, String> {
        let (name, value) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
        if name.is_empty() {
            let line = |setting: &Setting| {
                format!("{:<15} = {:<8}  {}\n", setting.name, self.value(setting.key), setting.does)
            };
            return Ok(SETTINGS.iter().map(line).collect());
        }
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            match nearest(name, SETTINGS.iter().map(|setting| setting.name)) {
                Some(near) => format!("there is no setting {name}; did you mean {near}?"),
                None => format!("there is no setting {name}; /set lists them"),
            }
        })?;
        let value = value.trim();
        let takes = match setting.key {
            Key::NCtx => format!("{} to {}", self.n_ctx_min(), self.n_ctx_max),
            _ => setting.takes.to_string(),
        };
        if value.is_empty() {
            return Ok(format!("{name} = {}\n{takes}: {}\n", self.value(setting.key), setting.does));
        }
        match self.change(setting.key, value) {
            Some(()) => Ok(format!("{name} = {}\n", self.value(setting.key))),
            None => {
                let kept = self.value(setting.key);
                Err(format!("{name} takes {takes}, not \"{value}\"; it stays {kept}"))
            }
        }
    }

    fn n_ctx_min(&self) -> usize {
        MIN_N_CTX.min(self.n_ctx_max)
    }

    /// Return a setting's value as it is typed.
    fn value(&self, key: Key) -> String {
        match key {
            Key::Temp => self.sampler.temperature.to_string(),
            Key::TopK => self.sampler.top_k.to_string(),
            Key::TopP => self.sampler.top_p.to_string(),
            Key::MinP => self.sampler.min_p.to_string(),
            Key::Repeat => self.sampler.repeat_penalty.to_string(),
            Key::RepeatLastN => self.sampler.repeat_last_n.to_string(),
            Key::Presence => self.sampler.presence_penalty.to_string(),
            Key::Frequency => self.sampler.frequency_penalty.to_string(),
            Key::NoRepeatNgram => self.sampler.no_repeat_ngram.to_string(),
            Key::Seed => self.seed.map_or_else(|| RANDOM.to_string(), |seed| seed.to_string()),
            Key::MaxTokens => self.max_tokens.to_string(),
            Key::Stop if self.stop.is_empty() => NONE.to_string(),
            Key::Stop => self.stop.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" "),
            Key::NCtx => self.n_ctx.to_string(),
            Key::Kv => self.kv.to_string(),
            Key::Speculative => self.speculation.as_deref().unwrap_or(OFF).to_string(),
        }
    }

    /// Give a setting the value that `text` says; `None` when it is not one that it takes.
    fn change(&mut self, key: Key, text: &str) -> Option<()> {
        match key {
            Key::Temp => self.sampler.temperature = number(text, 0.0..=2.0)?,
            Key::TopK => self.sampler.top_k = number(text, 0..=1_000_000)?,
            Key::TopP => self.sampler.top_p = number(text, 0.0..=1.0)?,
            Key::MinP => self.sampler.min_p = number(text, 0.0..=1.0)?,
            Key::Repeat => self.sampler.repeat_penalty = number(text, 0.1..=10.0)?,
            Key::RepeatLastN => self.sampler.repeat_last_n = number(text, 0..=1_000_000)?,
            Key::Presence => self.sampler.presence_penalty = number(text, -2.0..=2.0)?,
            Key::Frequency => self.sampler.frequency_penalty = number(text, -2.0..=2.0)?,
            Key::NoRepeatNgram => self.sampler.no_repeat_ngram = number(text, 0..=64)?,
            Key::Seed if text == RANDOM => self.seed = None,
            Key::Seed => self.seed = Some(number(text, 0..=u64::MAX)?),
            Key::MaxTokens => self.max_tokens = number(text, 1..=1_000_000)?,
            Key::Stop => self.stop = texts(text)?,
            Key::NCtx => self.n_ctx = number(text, self.n_ctx_min()..=self.n_ctx_max)?,
            Key::Kv => {
                self.kv = kv_type(text)?;
            }
            Key::Speculative => self.speculation = (text != OFF).then(|| text.to_string()),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use engine::sampler::SamplerParams;
    use engine::session::KvType;

    use super::{SETTINGS, Settings};

    fn settings() -> Settings {
        Settings::new(2048, KvType::default(), 8192)
    }

    #[test]
    fn sets_every_setting_and_shows_it() {
        let mut settings = settings();
        for (name, value) in [
            ("temp", "0.75"),
            ("top_k", "20"),
            ("top_p", "0.5"),
            ("min_p", "0.05"),
            ("repeat", "1.1"),
            ("repeat_last_n", "32"),
            ("presence", "0.5"),
            ("frequency", "-0.5"),
            ("no_repeat_ngram", "3"),
            ("seed", "42"),
            ("max_tokens", "9"),
            ("stop", "\"\\n\\n\" \"User:\""),
            ("n_ctx", "4096"),
            ("kv", "f32"),
            ("speculative", "lookup"),
        ] {
            assert_eq!(settings.set(&format!("{name}  {value}")), Ok(format!("{name} = {value}\n")));
            let shown = settings.set(name).unwrap();
            assert!(shown.starts_with(&format!("{name} = {value}\n")), "{shown}");
        }
        let params = SamplerParams {
            temperature: 0.75,
            top_k: 20,
            top_p: 0.5,
            min_p: 0.05,
            repeat_last_n: 32,
            repeat_penalty: 1.1,
            presence_penalty: 0.5,
            frequency_penalty: -0.5,
            no_repeat_ngram: 3,
            seed: 42,
            logit_bias: Vec::new(),
        };
        assert_eq!(settings.sampler(7), params);
        assert_eq!(settings.max_tokens(), 9);
        assert_eq!(settings.stop(), ["\n\n", "User:"]);
        assert_eq!(settings.context(), (4096, KvType::F32));
        assert!(settings.speculation().is_some());
        settings.set("speculative off").unwrap();
        assert!(settings.speculation().is_none());
        settings.set("seed random").unwrap();
        assert_eq!(settings.sampler(7).seed, 7);
        settings.set("stop none").unwrap();
        assert_eq!(settings.stop(), [""; 0]);
    }

    #[test]
    fn shows_one_or_all_without_changing_them() {
        let mut settings = settings();
        let all = settings.set("").unwrap();
        assert_eq!(all.lines().count(), SETTINGS.len());
        assert!(all.lines().all(|line| line.len() < 80), "{all}");
        for setting in &SETTINGS {
            let one = settings.set(setting.name).unwrap();
            assert!(one.lines().all(|line| line.len() < 80), "{one}");
            assert!(one.ends_with(&format!(": {}\n", setting.does)), "{one}");
        }
        assert_eq!(settings, self::settings());
    }

    #[test]
    fn refuses_values_out_of_range_and_keeps_the_old() {
        let mut settings = settings();
        for (arguments, takes) in [
            ("temp 2.1", "0 to 2"),
            ("temp -1", "0 to 2"),
            ("temp nan", "0 to 2"),
            ("temp hot", "0 to 2"),
            ("top_k -1", "0 to 1000000"),
            ("top_p 1.5", "0 to 1"),
            ("min_p 1.5", "0 to 1"),
            ("repeat 0", "0.1 to 10"),
            ("repeat_last_n 1.5", "0 to 1000000"),
            ("presence 3", "-2 to 2"),
            ("frequency -3", "-2 to 2"),
            ("no_repeat_ngram 65", "0 to 64"),
            ("seed -1", "0 to 2^64 - 1, or random"),
            ("max_tokens 0", "1 to 1000000"),
            ("max_tokens 1.5", "1 to 1000000"),
            ("stop \"open", "\"TEXT\" \"TEXT\" ..., or none"),
            ("n_ctx 63", "64 to 8192"),
            ("n_ctx 8193", "64 to 8192"),
            ("kv q4_0", "f16, f32 or q8_0"),
        ] {
            let error = settings.set(arguments).unwrap_err();
            assert!(error.contains(&format!(" takes {takes}, not ")), "{error}");
        }
        assert_eq!(
            settings.set("max_tokens many").unwrap_err(),
            "max_tokens takes 1 to 1000000, not \"many\"; it stays 512"
        );
        assert_eq!(settings, self::settings());
    }

    #[test]
    fn suggests_the_nearest_setting() {
        let mut settings = settings();
        assert_eq!(settings.set("tmp 1").unwrap_err(), "there is no setting tmp; did you mean temp?");
        assert_eq!(settings.set("colour red").unwrap_err(), "there is no setting colour; /set lists them");
    }
}
