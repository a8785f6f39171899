//! How a model is to answer, as one says it to the commands that let it answer.

use std::num::NonZero;

use shell::Options;

/// How a model is to answer, by the names of the kernel's command line.
#[derive(Debug, clap::Args)]
pub struct Tuning {
    /// The system message.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The size of the context, in tokens.
    #[arg(long, value_name = "TOKENS")]
    n_ctx: Option<NonZero<usize>>,
    /// How freely to draw tokens; 0 takes the likeliest.
    #[arg(long, value_name = "0 to 2")]
    temp: Option<String>,
    /// The seed of the draw.
    #[arg(long)]
    seed: Option<String>,
    /// How many tokens an answer may have.
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<String>,
    /// What drafts answers, which come faster then and are the same: lookup, or a smaller model of the same vocabulary among the files.
    #[arg(long, value_name = "lookup or MODEL")]
    speculative: Option<String>,
}

impl Tuning {
    /// Return options that ask for this and nothing else.
    pub fn options(self) -> Options {
        let settings = [
            ("temp", self.temp),
            ("seed", self.seed),
            ("max_tokens", self.max_tokens),
            ("speculative", self.speculative),
        ];
        let given = settings.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
        Options {
            system: self.system,
            n_ctx: self.n_ctx.map(NonZero::get),
            settings: given.collect(),
            ..Options::default()
        }
    }
}
