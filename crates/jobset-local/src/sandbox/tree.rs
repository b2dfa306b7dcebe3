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

/// All processes with the processor time they have used.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    processes: HashMap<i32, Process>,
    children: HashMap<i32, Vec<i32>>,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: i32,
    /// Ticks of its own, and of children that have ended and their children.
    own: u64,
    ended_children: u64,
}

/// What a container has used so far, and the memory it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) processor_time: Duration,
    pub(crate) memory_bytes: u64,
}

impl Tree {
    /// Looks at all processes.
    pub(crate) fn read() -> Self {
        let processes = process_ids().filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_process(&stat)?))
        });
        Self::of(processes)
    }

    fn of(processes: impl IntoIterator<Item = (i32, Process)>) -> Self {
        let mut tree = Self::default();
        for (pid, process) in processes {
            tree.children.entry(process.parent).or_default().push(pid);
            tree.processes.insert(pid, process);
        }
        tree
    }

    /// What has been used below `root`. The root itself, and so many generations from there on, only
    /// prepare a container and wait for its end; what they use is not the container's.
    pub(crate) fn used(&self, root: i32, machinery: usize) -> Used {
        let mut ticks = 0;
        let mut memory_bytes = 0;
        let mut open = vec![(root, 0)];
        let mut seen = HashSet::from([root]);
        while let Some((pid, generation)) = open.pop() {
            if let Some(process) = self.processes.get(&pid) {
                // Who has ended is counted by who waited for it, and that may be the machinery.
                ticks += process.ended_children;
                if generation >= machinery {
                    ticks += process.own;
                    memory_bytes += memory(pid);
                }
            }
            for &child in self.children.get(&pid).map_or(&[][..], Vec::as_slice) {
                if seen.insert(child) {
                    open.push((child, generation + 1));
                }
            }
        }
        Used {
            processor_time: Duration::from_millis(ticks * 1000 / TICKS),
            memory_bytes,
        }
    }
}

/// Linux shows user space this many ticks a second on every machine.
const TICKS: u64 = 100;

/// Memory of a process; what it shares with others is divided among them, where the system tells that.
fn memory(pid: i32) -> u64 {
    let kibibytes = |file: &str, field: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    // A process that has ended meanwhile has none.
    let found = kibibytes("smaps_rollup", "Pss:").or_else(|| kibibytes("status", "VmRSS:"));
    found.unwrap_or_default() * 1024
}

fn parse_process(stat: &str) -> Option<Process> {
    let (parent, _) = parse_stat(stat)?;
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbers as in proc(5), where the first field after the name is the third.
    let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
    Some(Process {
        parent,
        own: field(14)? + field(15)?,
        ended_children: field(16)? + field(17)?,
    })
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
    fn what_the_machinery_uses_is_not_the_containers() {
        let process = |parent: i32, own: u64, ended: u64| {
            let stat =
                format!("9 (a b) S {parent} 1 1 0 -1 0 0 0 0 0 {own} 1 {ended} 2 20 0 1 0 5 99 7");
            parse_process(&stat).unwrap()
        };
        // No process has such numbers, so none of them has memory.
        let launcher = i32::MAX - 10;
        let (first, command, child) = (launcher + 1, launcher + 2, launcher + 3);
        let tree = Tree::of([
            (launcher, process(1, 100, 0)),
            (first, process(launcher, 200, 50)),
            (command, process(first, 300, 0)),
            (child, process(command, 400, 0)),
            (launcher + 4, process(1, 999, 999)),
        ]);
        // The command and its child, and what has ended below the first process.
        let expected = Duration::from_millis((301 + 401 + 52 + 2 + 2) * 10);
        let enter_and_init = tree.used(launcher, 2).processor_time;
        assert_eq!(enter_and_init, expected + Duration::from_millis(2 * 10));
        assert_eq!(tree.used(first, 1).processor_time, expected);
        assert_eq!(Tree::default().used(first, 1), Used::default());
    }

    #[test]
    fn a_process_has_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(memory(own) > 100 * 1024, "{}", memory(own));
        assert_eq!(memory(i32::MAX), 0);
    }

    #[test]
    fn this_process_has_a_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(parent_of(own).is_some());
    }
}
