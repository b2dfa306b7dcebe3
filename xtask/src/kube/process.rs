//! Processes that outlive the command that starts them, and how they are found again.
//!
//! A pid file names a process by its number and by the moment it was started, as the kernel tells
//! it: a number alone may by now be somebody else's.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::signal::{self, Signal},
    unistd::Pid,
};

use super::files::{Files, write_private};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Starts a program in the background, and remembers it.
pub(crate) fn start(
    files: &Files,
    name: &str,
    program: &Path,
    arguments: &[String],
) -> anyhow::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(files.log(name))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // An interrupt typed at the terminal is not for it.
        .process_group(0)
        .current_dir("/");
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let started = start_time(child.id()).context("cannot find the started process in /proc")?;
    write_private(&files.pid(name), &format!("{} {started}\n", child.id()))?;
    Ok(child)
}

/// The process of a program, if it runs.
pub(crate) fn running(files: &Files, name: &str) -> Option<u32> {
    let text = fs::read_to_string(files.pid(name)).ok()?;
    let (pid, started) = parse(&text)?;
    (start_time(pid) == Some(started)).then_some(pid)
}

/// Ends the process of a program, if it runs, and forgets it. Says whether it ran.
pub(crate) fn stop(files: &Files, name: &str) -> anyhow::Result<bool> {
    let ran = match running(files, name) {
        None => false,
        Some(pid) => {
            end(files, name, pid)?;
            true
        }
    };
    match fs::remove_file(files.pid(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(ran),
    }
}

fn end(files: &Files, name: &str, pid: u32) -> anyhow::Result<()> {
    for (wish, patience) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, GRACE)] {
        match signal::kill(Pid::from_raw(pid.cast_signed()), wish) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(()),
            Err(error) => bail!("cannot stop {name}, process {pid}: {error}"),
        }
        let start = Instant::now();
        while start.elapsed() < patience {
            if running(files, name).is_none() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    bail!("{name}, process {pid}, does not end even when killed")
}

fn parse(text: &str) -> Option<(u32, u64)> {
    let mut words = text.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// When a process was started, in ticks since the machine was; `None` if it has ended.
fn start_time(pid: u32) -> Option<u64> {
    start_time_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may contain anything, also parentheses and spaces.
fn start_time_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has ended; nobody has asked for its exit code yet.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The last lines of a program's log.
pub(crate) fn last_words(files: &Files, name: &str) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};

    const BYTES: u64 = 8192;
    const LINES: usize = 12;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(files.log(name))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_read() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(start_time_of(&format!("42 (a) b)) S {rest}")), Some(777));
        assert_eq!(start_time_of(&format!("42 (a) Z {rest}")), None);
        assert_eq!(start_time_of("42"), None);
        assert!(start_time(std::process::id()).is_some());
        assert_eq!(parse("12 34\n"), Some((12, 34)));
        assert_eq!(parse("12"), None);
    }
}
