//! One request for a file, or for the rest of one, and what its answer means.
//!
//! RFC 9110 says what the headers are: Range and Content-Range (14), If-Range (13.1.5), ETag (8.8.3), Retry-After (10.2.3).
//! Redirects are followed here and not by the library, since the hub says with the first answer what the file is that
//! lies behind the last one, and since its token is for itself alone.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};
use url::Url;

use super::sum::Expected;

/// How often a redirect leads on; curl follows 50, browsers 20, and the hub needs two.
const MAX_REDIRECTS: usize = 10;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// The hub's headers for files that lie in its large file storage: their SHA-256 as an entity tag, and their size.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

/// Who asks for files.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    hub: Hub,
}

/// The Hugging Face hub, or a mirror of it.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Its address, such as `https://huggingface.co`.
    pub endpoint: Url,
    /// What opens the repositories for which one has to ask.
    pub token: Option<String>,
}

/// What is asked for: a file from some byte on.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// How much of the file is here already.
    pub(super) start: u64,
    /// The entity tag, or the date, of what is here.
    pub(super) validator: Option<&'a str>,
}

/// An answer that is of use.
pub(super) struct Answer {
    pub(super) content: Content,
    /// What the hub, or the length of the answer, says of the whole file.
    pub(super) promised: Expected,
    /// What tells this state of the file from others: a strong entity tag, else a date.
    pub(super) validator: Option<String>,
}

/// What an answer brings.
pub(super) enum Content {
    /// The file from its first byte on.
    Whole(Box<dyn Read>),
    /// The file from the byte on that was asked for.
    Rest(Box<dyn Read>),
    /// There is no more than what is here already.
    Nothing,
}

/// Why a request, or the reading of its answer, came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be otherwise the next time, after a while that the server may have named.
    Passing(Error, Option<Duration>),
    /// There was no answer; perhaps there is no network either.
    Unanswered(Error),
    /// It will be the same the next time.
    Lasting(Error),
}

impl Client {
    /// Return a client of `hub` that gives a server up which is silent for longer than `silence`. Proxies are those of the
    /// environment.
    pub(super) fn new(hub: Hub, silence: Duration) -> Self {
        // The platform's certificates: those of a company whose proxy looks into connections are among them.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_per_read(Some(silence))
            .user_agent(concat!("bootlm/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), hub }
    }

    /// Return the hub.
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Ask for a file.
    pub(super) fn get(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut url = request.url.clone();
        let mut linked = Expected::default();
        for _ in 0..MAX_REDIRECTS {
            let response = self.send(&url, request)?;
            if is_of(&url, &self.hub) {
                linked = linked.or(linked_file(response.headers()));
            }
            if !response.status().is_redirection() {
                return answer(&url, request, response, linked);
            }
            url = target(&url, response.headers()).map_err(Failure::Lasting)?;
        }
        Err(Failure::Lasting(anyhow!("{}: more than {MAX_REDIRECTS} redirects", request.url)))
    }

    /// Ask at `url`, which the one that was asked for may have led to.
    fn send(&self, url: &Url, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        // What arrives has to be the file itself, for its length and its ranges to be those of the file.
        let mut builder = self.agent.get(url.as_str()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.hub.token.as_ref().filter(|_| is_of(url, &self.hub)) {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if request.start > 0 {
            builder = builder.header(header::RANGE, format!("bytes={}-", request.start));
            if let Some(validator) = request.validator {
                builder = builder.header(header::IF_RANGE, validator);
            }
        }
        builder.call().map_err(|error| {
            let lasts = match &error {
                // A certificate that is not trusted, as rustls tells it.
                ureq::Error::Io(error) => error.kind() == ErrorKind::InvalidData,
                ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => true,
                ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => true,
                _ => false,
            };
            let error = Error::new(error).context(url.to_string());
            if lasts { Failure::Lasting(error) } else { Failure::Unanswered(error) }
        })
    }
}

impl Expected {
    /// Return what is known, completed by `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self { size_bytes: self.size_bytes.or(other.size_bytes), sha256: self.sha256.or(other.sha256) }
    }
}

/// Return what `response` brings, or why it brings nothing.
fn answer(
    url: &Url,
    request: &Request<'_>,
    response: Response<Body>,
    linked: Expected,
) -> Result<Answer, Failure> {
    let (status, headers) = (response.status(), response.headers());
    let validator = validator(headers);
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| parse_range(value.to_str().ok()?));
    let passing = |what: String| Failure::Passing(anyhow!("{url}: {what}"), retry_after(headers));
    let lasting = |what: String| Failure::Lasting(anyhow!("{url}: {what}"));
    let (size_bytes, is_rest) = match status {
        StatusCode::OK => (response.body().content_length(), false),
        StatusCode::PARTIAL_CONTENT => match range {
            Some(Range { start: Some(start), size_bytes }) if start == request.start => (size_bytes, true),
            other => {
                let found = other.and_then(|range| range.start);
                return Err(passing(format!("expected bytes from {} on, found {found:?}", request.start)));
            }
        },
        StatusCode::RANGE_NOT_SATISFIABLE if request.start > 0 => {
            let size_bytes = range.and_then(|range| range.size_bytes);
            let promised = linked.or(Expected { size_bytes, sha256: None });
            return Ok(Answer { content: Content::Nothing, promised, validator });
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(lasting(format!(
                "{status}; if it is a repository for which one has to ask, ask on its page, and put a token of yours into \
                 HF_TOKEN"
            )));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            return Err(passing(status.to_string()));
        }
        _ if status.is_server_error() => return Err(passing(status.to_string())),
        _ => return Err(lasting(status.to_string())),
    };
    let promised = linked.or(Expected { size_bytes, sha256: None });
    let body: Box<dyn Read> = Box::new(response.into_body().into_reader());
    let content = if is_rest { Content::Rest(body) } else { Content::Whole(body) };
    Ok(Answer { content, promised, validator })
}

/// Return whether what lies at `url` is the hub's own.
fn is_of(url: &Url, hub: &Hub) -> bool {
    url.origin() == hub.endpoint.origin()
}

/// Return where a redirect leads to.
fn target(url: &Url, headers: &HeaderMap) -> Result<Url> {
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let location = location.with_context(|| format!("{url}: a redirect that leads nowhere"))?;
    url.join(location).with_context(|| format!("{url}: a redirect to {location}"))
}

/// Return what the hub says of a file of its large file storage.
fn linked_file(headers: &HeaderMap) -> Expected {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let is_sha256 = |tag: &&str| tag.len() == 64 && tag.bytes().all(|digit| digit.is_ascii_hexdigit());
    Expected {
        size_bytes: text(LINKED_SIZE).and_then(|size| size.parse().ok()),
        // Files that are not in that storage have the name of their git blob there, which is no sum of theirs alone.
        sha256: text(LINKED_ETAG)
            .map(|tag| tag.trim_matches('"'))
            .filter(is_sha256)
            .map(str::to_ascii_lowercase),
    }
}

/// Return what If-Range takes: a strong entity tag, else the date of the last change.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let strong = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(str::to_string)
}

/// Return how long a server wants to be left alone. A date, which is allowed as well, is taken as no wish.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A Content-Range: where it starts, if it has bytes, and how many the whole file has, if the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: Option<u64>,
    size_bytes: Option<u64>,
}

/// Return the range that `bytes 5-9/10` tells, or `bytes 5-9/*`, or `bytes */10`.
fn parse_range(text: &str) -> Option<Range> {
    let (bytes, size) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let start = match bytes.trim() {
        "*" => None,
        bytes => Some(bytes.split_once('-')?.0.trim().parse().ok()?),
    };
    let size_bytes = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    Some(Range { start, size_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_specification_writes_it() {
        // The examples of RFC 9110, section 14.4.
        let range = |start, size_bytes| Some(Range { start, size_bytes });
        assert_eq!(parse_range("bytes 42-1233/1234"), range(Some(42), Some(1234)));
        assert_eq!(parse_range("bytes 42-1233/*"), range(Some(42), None));
        assert_eq!(parse_range("bytes */1234"), range(None, Some(1234)));
        for nonsense in ["", "bytes", "bytes 1/2", "bytes x-2/3", "lines 1-2/3", "bytes 1-2/-3"] {
            assert_eq!(parse_range(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_weak_tag_validates_no_range() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LAST_MODIFIED, "Sat, 29 Oct 1994 19:43:31 GMT".parse().unwrap());
        headers.insert(header::ETAG, "W/\"1\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("Sat, 29 Oct 1994 19:43:31 GMT"));
        headers.insert(header::ETAG, "\"1\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("\"1\""));
    }

    #[test]
    fn the_hubs_tag_is_a_sum_where_it_has_the_form_of_one() {
        let mut headers = HeaderMap::new();
        headers.insert(LINKED_SIZE, "3".parse().unwrap());
        headers.insert(LINKED_ETAG, "\"58c54802b3f1ee30ed9d1b3f52f0b9d9f50e6ea3\"".parse().unwrap());
        assert_eq!(linked_file(&headers), Expected { size_bytes: Some(3), sha256: None });
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        headers.insert(LINKED_ETAG, format!("\"{sum}\"").parse().unwrap());
        assert_eq!(linked_file(&headers).sha256.as_deref(), Some(sum));
    }
}
