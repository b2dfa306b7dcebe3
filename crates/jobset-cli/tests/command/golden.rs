//! Whole outputs, compared with files. What differs from run to run is replaced first: ages, times,
//! the random ends of Pod names.
//!
//! After a wanted change, `JOBSET_UPDATE_GOLDEN=1 cargo test -p jobset-cli --test command` writes
//! the files anew.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::Ended;

/// Compares with `tests/golden/NAME.txt`, without what differs from run to run.
#[track_caller]
pub(crate) fn golden(name: &str, output: &str) {
    exact(name, &normal(output));
}

/// Compares with `tests/golden/NAME.txt`, to the last space.
#[track_caller]
pub(crate) fn exact(name: &str, output: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("JOBSET_UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, output).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == output,
        "{} differs; after a wanted change run with JOBSET_UPDATE_GOLDEN=1. Now:\n{output}\nExpected:\n{expected}",
        path.display()
    );
}

/// What was typed and what came of it, as a terminal would show it.
#[derive(Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    /// Adds a call of the command.
    pub(crate) fn add(&mut self, typed: &[&str], ended: &Ended) {
        let text = &mut self.0;
        text.push_str(&format!("$ jobset {}\n", typed.join(" ")));
        text.push_str(&ended.stdout);
        // The two streams of a command are not ordered.
        if !ended.stderr.is_empty() {
            text.push_str("--- on standard error\n");
            text.push_str(&ended.stderr);
        }
        match ended.code() {
            Some(0) => {}
            Some(code) => text.push_str(&format!("--- exit code {code}\n")),
            None => text.push_str(&format!("--- {}\n", ended.status)),
        }
    }

    /// Compares with `tests/golden/NAME.txt`, without what differs from run to run.
    #[track_caller]
    pub(crate) fn compare(&self, name: &str) {
        golden(name, &self.0);
    }
}

/// The text without what differs from run to run. Columns are as wide as their widest cell, so the
/// spaces between them go as well.
fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, replacement) in [
        // Pods: a Job's name, the index, five random characters.
        (r"(-[0-9]+-[0-9]+)-[a-z0-9]{5}\b", "$1-xxxxx"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "<time>"),
        (r"\b[0-9]+\.[0-9]s\b", "<time>"),
        (r"(?m)^  \+([0-9]+[smhd])+ ", "  +<age> "),
        (r"\b([0-9]+[smhd])+ ago", "<age> ago"),
        (r"\bfor ([0-9]+[smhd])+", "for <age>"),
        (r"\b[0-9]+(s|m[0-9]+s)(  )", "<age>$2"),
        (r"(?m)^[0-9]+(s|m[0-9]+s) ", "<age> "),
        (r"\b[0-9]+m[0-9]{2}s\b", "<time>"),
        // Bars and axes of timelines, whose stretches are as long as the machine takes.
        (r"│[·|░▒█=x -]+│", "│<bar>│"),
        (r"(?m)^ +0( .*)?$", "<axis>"),
        (r"(?m)^ +[RrSUCF*][RrSUCF* ]*$", "<marks>"),
        (r"(\S) {2,}", "$1  "),
        (r"(?m) +$", ""),
    ] {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, replacement)
            .into_owned();
    }
    text
}

/// The text with the lines after a heading in alphabetical order, without their times: what happens in
/// several places at once may be told in more than one order.
pub(crate) fn sorted_after(text: &str, heading: &str) -> String {
    let (before, after) = text.split_once(heading).unwrap_or((text, ""));
    let after = normal(after);
    let mut lines: Vec<&str> = after.lines().collect();
    lines.sort_unstable();
    format!("{before}{heading}{}\n", lines.join("\n"))
}
