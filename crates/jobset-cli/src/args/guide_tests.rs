//! That what the guide tells people to type can be typed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Cli;
use super::form_tests::calls;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages that people read, relative to the root of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    for folder in ["docs", "examples"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        for entry in entries.map(|entry| entry.unwrap()) {
            let path = Path::new(folder).join(entry.file_name());
            let page = path.join("README.md");
            if root().join(&page).is_file() {
                pages.push(page);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The commands in the blocks of shell of a page, with their lines, counted from 1. In a recorded session
/// only what follows the prompt was typed.
fn typed(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut block: Option<&str> = None;
    let mut continued = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_some() {
                None
            } else {
                Some(language)
            };
            continue;
        }
        let line = match block {
            Some("sh") => Some(line),
            Some("console") if continued => Some(line),
            Some("console") => line.strip_prefix("$ "),
            _ => None,
        };
        let Some(line) = line else {
            continue;
        };
        // A remark stands at a distance.
        let line = line.split_once("  #").map_or(line, |(line, _)| line).trim();
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, line.ends_with('|')),
        };
        match found.last_mut() {
            Some((_, before)) if continued => before.push_str(line),
            _ => found.push((number, line.to_owned())),
        }
        continued = goes_on;
    }
    found
}

/// A command line as if it called `jobset` by its name, and nothing were set for it alone.
fn by_name(line: &str) -> String {
    let mut line = line
        .replace("cargo run --release -- ", "jobset ")
        .replace("cargo run -- ", "jobset ")
        .replace("kubectl jobset ", "jobset ");
    while let Some((first, rest)) = line.split_once(' ') {
        let name = first.split_once('=').map(|(name, _)| name);
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if !name.is_some_and(is_name) || first.contains('"') {
            break;
        }
        line = rest.to_owned();
    }
    line
}

#[test]
fn every_command_of_the_guide_can_be_typed() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for (number, line) in typed(&text) {
            for words in calls(&by_name(&line)) {
                count += 1;
                match Cli::try_parse_from(&words) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                    Err(error) => panic!("{}:{number}: {line}\n{error}", page.display()),
                }
            }
        }
    }
    assert!(count > 80, "{count} commands were found");
}

#[test]
fn every_file_of_the_repository_that_is_to_be_typed_is_there() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for (number, line) in typed(&text) {
            let words = line.split([' ', '(', ')', '"', '\'', '=', ':']);
            let ours = ["docs/", "examples/", "config/", "charts/"];
            for word in words.filter(|word| ours.iter().any(|folder| word.starts_with(folder))) {
                count += 1;
                assert!(
                    root().join(word).exists(),
                    "{}:{number}: there is no {word}",
                    page.display()
                );
            }
        }
    }
    assert!(count > 40, "{count} files were found");
}

#[test]
fn commands_are_found_in_pages() {
    let page = "\
jobset no
```sh
A=1 B=$(x/y.sh):$A jobset run a   # jobset no
x \\
  | jobset run -
```
```console
$ cargo run --release -- list
jobset no
$ sed x |
    jobset validate -
no
```
";
    let lines: Vec<usize> = typed(page).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 8, 10]);
    let found: Vec<String> = typed(page)
        .iter()
        .flat_map(|(_, line)| calls(&by_name(line)))
        .map(|words| words.join(" "))
        .collect();
    assert_eq!(
        found,
        [
            "jobset run a",
            "jobset run -",
            "jobset list",
            "jobset validate -"
        ]
    );
}
