//! What a person can set about an answer, and the reading of `/set`.

use alloc::format;
use alloc::string::{String, ToString};
use core::ops::RangeInclusive;
use core::str::FromStr;

use engine::sampler::SamplerParams;

use crate::nearest::nearest;

/// How an answer is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    temp: f32,
    top_p: f32,
    /// `None`: another one for every answer.
    seed: Option<u64>,
    max_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { temp: 0.0, top_p: 0.9, seed: None, max_tokens: 512 }
    }
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Temp,
    TopP,
    Seed,
    MaxTokens,
}

/// A setting as a person knows it.
struct Setting {
    key: Key,
    name: &'static str,
    takes: &'static str,
    does: &'static str,
}

/// All settings, in the order of `/set`.
const SETTINGS: [Setting; 4] = [
    Setting { key: Key::Temp, name: "temp", takes: "0 to 2", does: "0 always takes the likeliest token" },
    Setting {
        key: Key::TopP,
        name: "top_p",
        takes: "0 to 1",
        does: "draw from the likeliest tokens that sum to this",
    },
    Setting {
        key: Key::Seed,
        name: "seed",
        takes: "0 to 2^64 - 1, or random",
        does: "the same seed draws the same",
    },
    Setting { key: Key::MaxTokens, name: "max_tokens", takes: "1 to 1000000", does: "where an answer stops" },
];

/// What stands for no seed.
const RANDOM: &str = "random";

impl Settings {
    /// Return the longest answer, in tokens.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Return what the sampler needs; `random` is the seed where none is set.
    pub(crate) fn sampler(&self, random: u64) -> SamplerParams {
        SamplerParams {
            temperature: self.temp,
            top_p: self.top_p,
            seed: self.seed.unwrap_or(random),
            ..SamplerParams::default()
        }
    }

    /// Do what `/set arguments` asks for and return the text to show.
    ///
    /// # Errors
    /// A sentence for the person; nothing has changed then.
    pub(crate) fn set(&mut self, arguments: &str) -> Result<String, String> {
        let (name, value) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
        if name.is_empty() {
            return Ok(SETTINGS.iter().map(|setting| self.show(setting)).collect());
        }
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            match nearest(name, SETTINGS.iter().map(|setting| setting.name)) {
                Some(near) => format!("there is no setting {name}; did you mean {near}?"),
                None => format!("there is no setting {name}; /set lists them"),
            }
        })?;
        let value = value.trim();
        if !value.is_empty() && self.change(setting.key, value).is_none() {
            let kept = self.value(setting.key);
            return Err(format!("{name} takes {}, not \"{value}\"; it stays {kept}", setting.takes));
        }
        Ok(self.show(setting))
    }

    /// Return a setting's value as it is typed.
    fn value(&self, key: Key) -> String {
        match key {
            Key::Temp => self.temp.to_string(),
            Key::TopP => self.top_p.to_string(),
            Key::Seed => self.seed.map_or_else(|| RANDOM.to_string(), |seed| seed.to_string()),
            Key::MaxTokens => self.max_tokens.to_string(),
        }
    }

    /// Give a setting the value that `text` says; `None` when it is not one that it takes.
    fn change(&mut self, key: Key, text: &str) -> Option<()> {
        match key {
            Key::Temp => self.temp = number(text, 0.0..=2.0)?,
            Key::TopP => self.top_p = number(text, 0.0..=1.0)?,
            Key::Seed if text == RANDOM => self.seed = None,
            Key::Seed => self.seed = Some(number(text, 0..=u64::MAX)?),
            Key::MaxTokens => self.max_tokens = number(text, 1..=1_000_000)?,
        }
        Some(())
    }

    fn show(&self, setting: &Setting) -> String {
        format!(
            "{:<10} = {:<6}  {}; {}\n",
            setting.name,
            self.value(setting.key),
            setting.takes,
            setting.does
        )
    }
}

/// Return the number that `text` says, if it lies in `range`.
fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use engine::sampler::SamplerParams;

    use super::Settings;

    #[test]
    fn starts_greedy() {
        let sampler = Settings::default().sampler(7);
        assert_eq!(sampler, SamplerParams { top_p: 0.9, seed: 7, ..SamplerParams::default() });
        assert_eq!(Settings::default().max_tokens(), 512);
    }

    #[test]
    fn sets_every_setting_and_shows_it() {
        let mut settings = Settings::default();
        assert!(settings.set("temp 0.75").unwrap().starts_with("temp       = 0.75 "));
        assert!(settings.set("top_p  0.5").unwrap().starts_with("top_p      = 0.5 "));
        assert!(settings.set("seed 42").unwrap().starts_with("seed       = 42 "));
        assert!(settings.set("max_tokens 9").unwrap().starts_with("max_tokens = 9 "));
        let params = SamplerParams { temperature: 0.75, top_p: 0.5, seed: 42, ..SamplerParams::default() };
        assert_eq!(settings.sampler(7), params);
        assert_eq!(settings.max_tokens(), 9);
        settings.set("seed random").unwrap();
        assert_eq!(settings.sampler(7).seed, 7);
    }

    #[test]
    fn shows_one_or_all_without_changing_them() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("").unwrap().lines().count(), 4);
        assert!(settings.set("").unwrap().lines().all(|line| line.len() < 80));
        assert!(settings.set("seed").unwrap().starts_with("seed       = random "));
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn refuses_values_out_of_range_and_keeps_the_old() {
        let mut settings = Settings::default();
        for (arguments, takes) in [
            ("temp 2.1", "0 to 2"),
            ("temp -1", "0 to 2"),
            ("temp nan", "0 to 2"),
            ("temp hot", "0 to 2"),
            ("top_p 1.5", "0 to 1"),
            ("seed -1", "0 to 2^64 - 1, or random"),
            ("max_tokens 0", "1 to 1000000"),
            ("max_tokens 1.5", "1 to 1000000"),
        ] {
            let error = settings.set(arguments).unwrap_err();
            assert!(error.contains(takes), "{error}");
        }
        assert_eq!(settings.set("temp 3").unwrap_err(), "temp takes 0 to 2, not \"3\"; it stays 0");
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn suggests_the_nearest_setting() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("tmp 1").unwrap_err(), "there is no setting tmp; did you mean temp?");
        assert_eq!(settings.set("colour red").unwrap_err(), "there is no setting colour; /set lists them");
    }
}
