//! Finding and killing processes through `/proc`, for when no namespace does it for us.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills every descendant of `root` (not `root` itself) until none is left or two seconds passed.
///
/// Only complete when orphans come back to `root`, that is when it is a child subreaper.
pub(crate) fn kill_descendants(root: i32) {
    kill_until_gone(|| descendants(root));
}

/// Kills every process whose environment carries `name=value` until none is left or two seconds
/// passed. Processes of other users cannot be seen and are left alone.
pub(crate) fn kill_marked(name: &str, value: &str) {
    kill_until_gone(|| marked(name, value));
}

fn kill_until_gone(find: impl Fn() -> Vec<i32>) {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut pause = Duration::from_millis(1);
    loop {
        let found = find();
        if found.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in found {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Processes below `root` that are not zombies.
fn descendants(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<(i32, bool)>> = HashMap::new();
    for pid in process_ids() {
        if let Some((parent, zombie)) = parent_of(pid) {
            children.entry(parent).or_default().push((pid, zombie));
        }
    }
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for &(pid, zombie) in children.get(&parent).map_or(&[][..], Vec::as_slice) {
            if seen.insert(pid) {
                open.push(pid);
                if !zombie {
                    found.push(pid);
                }
            }
        }
    }
    found
}

/// Processes that carry `name=value` in their initial environment, except this one.
pub(crate) fn marked(name: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{name}={value}");
    let own = std::process::id();
    process_ids()
        .filter(|&pid| u32::try_from(pid) != Ok(own))
        .filter(|pid| {
            // Unreadable: another user's, or already gone. A zombie's is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|&b| b == 0)
                .any(|entry| entry == wanted.as_bytes())
        })
        .collect()
}

fn process_ids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Parent and whether the process is a zombie, from `/proc/<pid>/stat`.
fn parent_of(pid: i32) -> Option<(i32, bool)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

/// `pid (comm) state ppid …`, where comm may contain anything, closing parentheses included.
fn parse_stat(stat: &str) -> Option<(i32, bool)> {
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((parent, state == "Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_awkward_name_is_parsed() {
        assert_eq!(parse_stat("12 (a) b) (c) S 7 12 12 0"), Some((7, false)));
        assert_eq!(parse_stat("12 (sh) Z 1 12"), Some((1, true)));
        assert_eq!(parse_stat("12 (sh"), None);
    }

    #[test]
    fn this_process_has_a_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(parent_of(own).is_some());
    }
}
