//! Downloads from a server that breaks every promise it can.

mod server;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use catalog::{File, Model, Origin};
use server::{Reply, Seen, Server};
use sha2::{Digest as _, Sha256};
use tools::fetch::{Fetcher, Hub, Patience};

const TAG: &str = "\"one\"";

/// Tries at once, and a few times.
const PATIENCE: Patience = Patience {
    tries: 4,
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_secs(5),
    silence: Duration::from_secs(5),
};

/// Knuth's generator of MMIX, so that what is random is the same every time.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Return `n` bytes of which no stretch is like another.
fn bytes(n: usize) -> Vec<u8> {
    let mut random = Lcg(n as u64);
    (0..n).map(|_| random.below(256) as u8).collect()
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Return a model whose file is `content` at the hub, as the catalog knows it.
fn known(content: &[u8]) -> Model {
    model(Some(content.len() as u64), Some(sha256(content)))
}

/// Return a model of whose file the catalog knows this much.
fn model(size_bytes: Option<u64>, sha256: Option<String>) -> Model {
    let from = Origin::Hub { repo: "someone/abc", revision: "main", path: "abc-q8_0.gguf" };
    let sha256 = sha256.map(|sum| &*sum.leak());
    let files = Box::leak(Box::new([File { name: "abc.gguf", from, size_bytes, sha256 }]));
    Model { name: "abc", file: "abc.gguf", files, ..catalog::DEFAULT.clone() }
}

/// Return what fetching `model` from `server` into `dir` comes to, with the whole error as text.
fn fetch(server: &Server, model: &Model, dir: &Path) -> Result<Vec<u8>, String> {
    fetch_with(server, model, dir, PATIENCE, None)
}

fn fetch_with(
    server: &Server,
    model: &Model,
    dir: &Path,
    patience: Patience,
    token: Option<&str>,
) -> Result<Vec<u8>, String> {
    let hub = Hub { endpoint: server.url.parse().unwrap(), token: token.map(str::to_string) };
    let path = Fetcher::new(hub, patience).fetch(model, dir).map_err(|error| format!("{error:#}"))?;
    assert_eq!(path, dir.join("abc.gguf"));
    Ok(fs::read(path).unwrap())
}

/// Return the names of the files in `dir`.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_download_that_is_interrupted_ten_times_at_random_ends_whole_and_verified() {
    let content = bytes(1_000_000);
    for seed in 0..5 {
        let (dir, served, random) = (tempfile::tempdir().unwrap(), content.clone(), Mutex::new(Lcg(seed)));
        let server = Server::start(move |n, seen| {
            let reply = Reply::file(seen, &served, TAG);
            let n_bytes = reply.body.len();
            if n < 10 { reply.cut(random.lock().unwrap().below(n_bytes / 2)) } else { reply }
        });
        let fetched = fetch(&server, &known(&content), dir.path()).unwrap();
        assert!(fetched == content, "seed {seed}");
        let starts = server.starts();
        assert!(starts.len() >= 11 && starts.is_sorted() && starts[10] > 0, "seed {seed}: {starts:?}");
        assert_eq!(names(dir.path()), ["abc.gguf"], "seed {seed}");
        let asked = &server.seen()[10];
        assert_eq!(asked.headers.get("if-range").map(String::as_str), Some(TAG));
        assert_eq!(asked.path, "/someone/abc/resolve/main/abc-q8_0.gguf");
    }
}

#[test]
fn a_wrong_sum_leaves_no_file_and_the_next_run_begins_anew() {
    let content = bytes(100_000);
    let mut wrong = content.clone();
    wrong[77_777] ^= 1;
    // Wrong from the beginning, and wrong in the rest alone.
    for is_resumed in [false, true] {
        let (dir, right, wrong) = (tempfile::tempdir().unwrap(), content.clone(), wrong.clone());
        let n_wrong = if is_resumed { 2 } else { 1 };
        let server = Server::start(move |n, seen| match n {
            0 if is_resumed => Reply::file(seen, &right, TAG).cut(50_000),
            n if n < n_wrong => Reply::file(seen, &wrong, TAG),
            _ => Reply::file(seen, &right, TAG),
        });
        let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
        assert!(error.contains(&sha256(&content)) && error.contains("found 100000 bytes"), "{error}");
        assert_eq!(names(dir.path()), [""; 0]);
        assert_eq!(fetch(&server, &known(&content), dir.path()).unwrap(), content);
        assert_eq!(server.starts().last(), Some(&0));
    }
}

#[test]
fn a_server_that_knows_no_ranges_begins_anew() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    let served = content.clone();
    let server = Server::start(move |n, seen| {
        let whole = Seen { headers: Default::default(), ..seen.clone() };
        let reply = Reply::file(&whole, &served, TAG);
        if n == 0 { reply.cut(20_000) } else { reply }
    });
    assert_eq!(fetch(&server, &known(&content), dir.path()).unwrap(), content);
    assert_eq!(server.starts(), [0, 20_000]);
}

#[test]
fn a_file_that_changes_between_two_attempts_is_not_mixed() {
    let (old, new) = (bytes(50_000), bytes(60_000));
    // A server that minds If-Range, and one that does not.
    for minds in [true, false] {
        let (dir, old, served) = (tempfile::tempdir().unwrap(), old.clone(), new.clone());
        let server = Server::start(move |n, seen| {
            let mut seen = seen.clone();
            if !minds {
                seen.headers.remove("if-range");
            }
            if n == 0 {
                Reply::file(&seen, &old, TAG).cut(20_000)
            } else {
                Reply::file(&seen, &served, "\"two\"")
            }
        });
        assert_eq!(fetch(&server, &model(None, None), dir.path()).unwrap(), new, "minds: {minds}");
    }
}

#[test]
fn a_rest_without_anything_that_could_vouch_for_it_is_not_asked_for() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    let served = content.clone();
    let server = Server::start(move |n, seen| {
        let reply = Reply::file(seen, &served, TAG).without("ETag");
        if n == 0 { reply.cut(20_000) } else { reply }
    });
    assert_eq!(fetch(&server, &model(None, None), dir.path()).unwrap(), content);
    assert_eq!(server.starts(), [0, 0]);
}

#[test]
fn redirects_are_followed_and_the_token_stays_at_the_hub() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    let served = content.clone();
    let store = Server::start(move |n, seen| {
        let reply = Reply::file(seen, &served, TAG);
        if n == 0 { reply.cut(20_000) } else { reply }
    });
    let (location, sum) = (format!("{}/blob?signature=abc", store.url), sha256(&content));
    let hub = Server::start(move |_, seen| match seen.path.as_str() {
        "/cache/abc" => Reply::redirect(302, &location).header("X-Linked-Etag", format!("\"{sum}\"")),
        _ => Reply::redirect(307, "/cache/abc"),
    });
    let fetched = fetch_with(&hub, &model(None, None), dir.path(), PATIENCE, Some("hf_secret"));
    assert_eq!(fetched.unwrap(), content);
    assert_eq!(store.starts(), [0, 20_000]);
    assert!(store.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
    let tokens: Vec<_> =
        hub.seen().iter().filter_map(|seen| seen.headers.get("authorization").cloned()).collect();
    assert_eq!(tokens, ["Bearer hf_secret"; 4], "the hub is asked twice, and leads to itself first");
}

#[test]
fn redirects_that_lead_in_a_circle_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Server::start(|_, _| Reply::redirect(302, "/again"));
    let error = fetch(&hub, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("more than 10 redirects"), "{error}");
    assert_eq!(hub.seen().len(), 10);
}

#[test]
fn what_the_hub_says_of_a_file_is_checked_before_and_after() {
    let (content, other) = (bytes(50_000), bytes(50_001));
    // Another file than the catalog's: it is refused before it comes.
    let (dir, sum) = (tempfile::tempdir().unwrap(), sha256(&other));
    let served = other.clone();
    let server = Server::start(move |_, seen| {
        Reply::file(seen, &served, TAG).header("X-Linked-Etag", format!("\"{sum}\""))
    });
    let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
    assert!(error.contains(&sha256(&content)) && error.contains(&sha256(&other)), "{error}");
    assert_eq!(server.seen().len(), 1);
    assert!(!dir.path().join("abc.gguf").exists());

    // Of a file that the catalog does not know: other bytes than the hub says.
    let (dir, sum) = (tempfile::tempdir().unwrap(), sha256(&content));
    let server = Server::start(move |_, seen| {
        Reply::file(seen, &other, TAG).header("X-Linked-Etag", format!("\"{sum}\""))
    });
    let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("what came is something else") && error.contains(&sha256(&content)), "{error}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_came_of_a_file_that_the_catalog_does_not_know_must_come_again() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    let mut wrong = content.clone();
    wrong[7] ^= 1;
    let (served, current) = (content.clone(), Arc::new(Mutex::new(content.clone())));
    let shown = Arc::clone(&current);
    let server = Server::start(move |_, seen| Reply::file(seen, &shown.lock().unwrap(), TAG));
    assert_eq!(fetch(&server, &model(None, None), dir.path()).unwrap(), served);
    let lock = fs::read_to_string(dir.path().join("catalog.lock")).unwrap();
    assert!(
        lock.contains(&sha256(&content)) && lock.contains("hub:someone/abc@main/abc-q8_0.gguf"),
        "{lock}"
    );

    // It is what the file that is there is held to, and the next one that comes.
    let path = dir.path().join("abc.gguf");
    fs::write(&path, &wrong).unwrap();
    let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("delete it") && error.contains(&sha256(&wrong)), "{error}");
    fs::remove_file(&path).unwrap();
    *current.lock().unwrap() = wrong;
    let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("what came is something else"), "{error}");
    *current.lock().unwrap() = content;
    fetch(&server, &model(None, None), dir.path()).unwrap();
}

#[test]
fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(1_000));
    let served = content.clone();
    let server = Server::start(move |n, seen| match n {
        0 => Reply::status(429).header("Retry-After", "1"),
        1 => Reply::status(503),
        _ => Reply::file(seen, &served, TAG),
    });
    let start = Instant::now();
    assert_eq!(fetch(&server, &known(&content), dir.path()).unwrap(), content);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 3);

    let server = Server::start(|_, _| Reply::status(429).header("Retry-After", "3600"));
    let error = fetch(&server, &known(&bytes(999)), &dir.path().join("other")).unwrap_err();
    assert!(error.contains("3600 s") && error.contains("429"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_server_that_stays_broken_or_silent_is_given_up_and_what_came_stays() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    let served = content.clone();
    let server = Server::start(move |n, seen| match n {
        0 => Reply::file(seen, &served, TAG).cut(20_000),
        1 => Reply { silence: Duration::from_secs(10), ..Reply::status(200) },
        _ => Reply::status(502),
    });
    let patience = Patience { silence: Duration::from_millis(300), ..PATIENCE };
    let error = fetch_with(&server, &known(&content), dir.path(), patience, None).unwrap_err();
    assert!(error.contains("run this again") && error.contains("502"), "{error}");
    assert_eq!(server.starts(), [0, 20_000, 20_000, 20_000, 20_000]);
    assert_eq!(fs::read(dir.path().join("abc.gguf.part")).unwrap(), content[..20_000]);
}

#[test]
fn a_network_that_is_not_there_is_given_up_soon() {
    let (dir, listener) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let hub = Hub { endpoint: endpoint.parse().unwrap(), token: None };
    let patience = Patience { tries: 1_000_000, ..PATIENCE };
    let error = Fetcher::new(hub, patience).fetch(&model(None, None), dir.path()).unwrap_err();
    assert!(format!("{error:#}").contains("nothing has come in 3 tries"), "{error:#}");
}

#[test]
fn a_length_that_is_not_the_files_is_an_error_with_both() {
    let content = bytes(50_000);
    // More is promised than the catalog says: nothing of it is taken.
    let dir = tempfile::tempdir().unwrap();
    let longer = bytes(50_001);
    let server = Server::start(move |_, seen| Reply::file(seen, &longer, TAG));
    let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
    assert!(error.contains("expected 50000 bytes; the server has 50001"), "{error}");
    assert!(!dir.path().join("abc.gguf").exists());

    // More comes than the catalog says, from a server that says no length.
    let server = Server::start(|_, seen| Reply::file(seen, &bytes(60_000), TAG).without("Content-Length"));
    let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
    assert!(error.contains("behind the end"), "{error}");
    assert!(!dir.path().join("abc.gguf").exists());

    // More is promised than there is.
    let server = Server::start(|_, seen| match seen.start() {
        0 => Reply::file(seen, &bytes(50_000), TAG).header("Content-Length", "70000"),
        _ => Reply::file(seen, &bytes(50_000), TAG),
    });
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("50000") && error.contains("70000"), "{error}");
    assert!(!dir.path().join("abc.gguf").exists());
}

#[test]
fn a_part_that_is_too_long_or_whole_already_is_no_trap() {
    let content = bytes(50_000);
    for n in [50_000, 50_001] {
        for model in [known(&content), model(None, Some(sha256(&content)))] {
            let (dir, served) = (tempfile::tempdir().unwrap(), content.clone());
            let server = Server::start(move |_, seen| Reply::file(seen, &served, TAG));
            let mut part = content.clone();
            part.resize(n, 0);
            fs::write(dir.path().join("abc.gguf.part"), part).unwrap();
            match fetch(&server, &model, dir.path()) {
                Ok(fetched) => assert_eq!(fetched, content),
                // The sum alone shows that there is too much; then the next run has it.
                Err(_) => assert_eq!(fetch(&server, &model, dir.path()).unwrap(), content),
            }
        }
    }
}

#[test]
fn what_stays_forbidden_or_absent_is_not_asked_for_again() {
    for (status, fact) in [(404, "404"), (401, "HF_TOKEN"), (403, "HF_TOKEN")] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(move |_, _| Reply::status(status));
        let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
        assert!(error.contains(fact) && error.contains(&server.url), "{error}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_full_disk_is_called_by_its_name() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(50_000));
    symlink("/dev/full", dir.path().join("abc.gguf.part")).unwrap();
    let served = content.clone();
    let server = Server::start(move |_, seen| Reply::file(seen, &served, TAG));
    let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
    assert!(error.contains("the disk is full") && error.contains("abc.gguf.part"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn two_programs_do_not_write_to_one_file() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(1_000));
    let other = fs::File::create(dir.path().join("abc.gguf.part")).unwrap();
    other.lock().unwrap();
    let server = Server::start(move |_, seen| Reply::file(seen, &content, TAG));
    let error = fetch(&server, &model(None, None), dir.path()).unwrap_err();
    assert!(error.contains("another program"), "{error}");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_file_that_is_there_is_taken_if_it_is_right_and_kept_if_it_is_not() {
    let (dir, content) = (tempfile::tempdir().unwrap(), bytes(1_000));
    let path = dir.path().join("abc.gguf");
    let server = Server::start(|_, _| Reply::status(500));
    fs::write(&path, &content).unwrap();
    assert_eq!(fetch(&server, &known(&content), dir.path()).unwrap(), content);
    for wrong in [content[..999].to_vec(), bytes(1_001)] {
        fs::write(&path, &wrong).unwrap();
        let error = fetch(&server, &known(&content), dir.path()).unwrap_err();
        let size = format!("found {} bytes, sha256 {}", wrong.len(), sha256(&wrong));
        for part in ["expected 1000 bytes", &sha256(&content), &size, path.to_str().unwrap(), "delete it"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert_eq!(fs::read(&path).unwrap(), wrong);
    }
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_checkpoint_comes_into_its_folder_until_it_is_converted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, seen| Reply::file(seen, seen.path.as_bytes(), TAG));
    let from = |path| Origin::Hub { repo: "someone/abc", revision: "main", path };
    let file = |name, path| File { name, from: from(path), size_bytes: None, sha256: None };
    let files = Box::leak(Box::new([
        file("abc/config.json", "config.json"),
        file("abc/x.safetensors", "x.safetensors"),
    ]));
    let model = Model {
        name: "abc",
        file: "abc.Q8_0.gguf",
        convert: Some("q8_0"),
        files,
        ..catalog::DEFAULT.clone()
    };
    let hub = Hub { endpoint: server.url.parse().unwrap(), token: None };
    let fetcher = Fetcher::new(hub, PATIENCE);
    assert_eq!(fetcher.fetch(&model, dir.path()).unwrap(), dir.path().join("abc"));
    assert_eq!(names(&dir.path().join("abc")), ["config.json", "x.safetensors"]);

    fs::remove_dir_all(dir.path().join("abc")).unwrap();
    fs::write(dir.path().join("abc.Q8_0.gguf"), "GGUF").unwrap();
    assert_eq!(fetcher.fetch(&model, dir.path()).unwrap(), dir.path().join("abc.Q8_0.gguf"));
    assert_eq!(server.seen().len(), 2);
}

/// Return `bootlm fetch` of these models into `dir`, with `server` as the hub.
fn bootlm_fetch(server: &Server, names: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootlm"));
    command.arg("fetch").args(names).arg("--models-dir").arg(dir).env("HF_ENDPOINT", &server.url);
    command.env_remove("HF_TOKEN").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn a_program_that_is_killed_leaves_what_the_next_run_goes_on_with() {
    let dir = tempfile::tempdir().unwrap();
    // As long as stories260K.bin, and something else.
    let content = bytes(1_056_540);
    let server = Server::start(move |n, seen| {
        let reply = Reply::file(seen, &content, TAG);
        if n == 0 { reply.cut(300_000).stays_open() } else { reply }
    });
    let mut child = bootlm_fetch(&server, &["stories260K"], dir.path()).spawn().unwrap();
    let part = dir.path().join("stories260K.bin.part");
    let start = Instant::now();
    while fs::metadata(&part).map_or(0, |metadata| metadata.len()) < 300_000 {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing came");
        thread::sleep(Duration::from_millis(10));
    }
    // Ctrl-C does less, and may be ignored where a shell started this behind it.
    child.kill().unwrap();
    child.wait().unwrap();

    let output = bootlm_fetch(&server, &["stories260K"], dir.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(server.starts(), [0, 300_000], "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("expected 1056540 bytes, sha256 b0a507e7"), "{said}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn one_model_that_cannot_be_had_does_not_keep_the_others_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::status(404));
    let output = bootlm_fetch(&server, &["stories260K", "Qwen3-0.6B"], dir.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for fact in ["stories260K: ", "Qwen3-0.6B: ", "2 of 2 models could not be fetched"] {
        assert!(said.contains(fact), "{fact:?} is not in: {said}");
    }
}
