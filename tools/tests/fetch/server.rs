//! An HTTP server on this host that misbehaves exactly as it is told; a well-kept server would not.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// After how many bytes of the body the connection is cut.
    pub(crate) cut: Option<usize>,
    /// How long nothing is said before it is.
    pub(crate) silence: Duration,
    /// How long the connection stays when all was said.
    pub(crate) stay: Duration,
}

/// A server that runs until the test ends.
pub(crate) struct Server {
    /// Its address, such as `http://127.0.0.1:45123`.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answer the n-th request, from 0 on, with what `answer` returns for it.
    pub(crate) fn start(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let Ok(stream) = stream else { return };
                    let Some(request) = Seen::read(&stream) else { return };
                    let n = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    // Whoever has gone away meanwhile needs no answer.
                    let _ = answer(n, &request).write(&stream);
                });
            }
        });
        Self { url, seen }
    }

    /// Return what was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Return how much of the file each request had already.
    pub(crate) fn starts(&self) -> Vec<usize> {
        self.seen().iter().map(Seen::start).collect()
    }
}

impl Seen {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let path = lines.next()?.split(' ').nth(1)?.to_string();
        let headers = lines.take_while(|line| !line.is_empty());
        let headers = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_string()))
        });
        Some(Self { path, headers: headers.collect() })
    }

    /// Return the byte from which on the file is asked for.
    pub(crate) fn start(&self) -> usize {
        let range = self.headers.get("range").map(String::as_str).unwrap_or("bytes=0-");
        range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
    }
}

impl Reply {
    /// Return an answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut: None,
            silence: Duration::ZERO,
            stay: Duration::ZERO,
        }
        .header("Content-Length", "0")
    }

    /// Return what RFC 9110 asks for of a file, all of it or the rest, with an entity tag.
    pub(crate) fn file(seen: &Seen, content: &[u8], tag: &str) -> Self {
        let start = match seen.headers.get("if-range") {
            Some(wanted) if wanted != tag => 0,
            _ => seen.start(),
        };
        if start > 0 && start >= content.len() {
            return Self::status(416).header("Content-Range", format!("bytes */{}", content.len()));
        }
        let reply = Self::status(if start > 0 { 206 } else { 200 }).header("ETag", tag);
        let reply = match start {
            0 => reply,
            _ => reply
                .header("Content-Range", format!("bytes {start}-{}/{}", content.len() - 1, content.len())),
        };
        let body = content[start..].to_vec();
        let reply = reply.header("Content-Length", body.len().to_string());
        Self { body, ..reply }
    }

    /// Return a redirect.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("Location", location)
    }

    /// Set a header, in place of one that is there.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Leave a header out.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    /// Cut the connection after `n` bytes of the body.
    pub(crate) fn cut(self, n: usize) -> Self {
        Self { cut: Some(n), ..self }
    }

    /// Keep the connection when all was said.
    pub(crate) fn stays_open(self) -> Self {
        Self { stay: Duration::from_secs(60), ..self }
    }

    fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        thread::sleep(self.silence);
        let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len())])?;
        thread::sleep(self.stay);
        Ok(())
    }
}
