//! Other programs: run to their end, unheard unless they fail, and not for longer than they may take.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Run `command` without input and without showing what it says; where it fails, that is in the error.
pub fn run_quiet(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    ensure!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}

/// Like [`run_quiet`], and end it with an error when it takes longer than `limit`.
pub fn run_quiet_within(command: &mut Command, limit: Duration) -> Result<()> {
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let Some(status) = wait_within(&mut child, limit)? else {
        bail!("{name} did not end within {} s", limit.as_secs());
    };
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    ensure!(status.success(), "{name}: {status}\n{}", said.trim_end());
    Ok(())
}

/// Wait for `child`, at most `limit`; return `None` after ending it when it took longer.
pub fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
