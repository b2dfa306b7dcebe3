//! Which processes there are, read from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::support::eventually;

/// A process that cannot be confused with a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pid: i32,
    started: u64,
    command: String,
}

/// All processes that descend from one, itself included.
pub(crate) fn family(root: i32) -> HashSet<Process> {
    let all = all();
    let parents: HashMap<i32, i32> = all.iter().map(|(p, parent)| (p.pid, *parent)).collect();
    let descends = |mut pid: i32| {
        while pid != root {
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        true
    };
    all.into_iter()
        .map(|(process, _)| process)
        .filter(|process| descends(process.pid))
        .collect()
}

/// Those of a family that still live, once they had time to end, and all processes with `token`
/// in their command line.
pub(crate) fn survivors(family: &HashSet<Process>, token: &str) -> Vec<Process> {
    let list = || -> Vec<Process> {
        all()
            .into_iter()
            .map(|(process, _)| process)
            .filter(|process| family.contains(process) || process.command.contains(token))
            .collect()
    };
    eventually(|| list().is_empty());
    list()
}

/// All processes but zombies, with their parents.
fn all() -> Vec<(Process, i32)> {
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(read).collect()
}

fn read(pid: i32) -> Option<(Process, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, parent) = (*fields.first()?, fields.get(1)?.parse().ok()?);
    let process = Process {
        pid,
        started: fields.get(19)?.parse().ok()?,
        command: String::from_utf8_lossy(&command).replace('\0', " "),
    };
    (state != "Z").then_some((process, parent))
}
