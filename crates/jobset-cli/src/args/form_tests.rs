//! That the help of all commands has the same form.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command, CommandFactory as _, Parser as _};

use super::Cli;

/// No line is longer, whatever the terminal.
const WIDTH: usize = 100;
/// What the process can end with, in the order in which help tells it.
const CODES: [&str; 5] = ["0", "1", "2", "124", "130"];
/// Flags that mean something else in another command, and say so.
const DIFFERENT: &[&str] = &[
    "context",
    "follow",
    "image",
    "job",
    "kubeconfig",
    "name",
    "namespace",
    "output",
    "role",
    "runtime",
];

/// All commands that people see, as the whole is one of them.
fn commands() -> Vec<Command> {
    let mut whole = Cli::command().term_width(WIDTH);
    whole.build();
    let shown = whole.get_subcommands().cloned();
    shown
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .collect()
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = ["help", "version"];
    command
        .get_arguments()
        .filter(move |argument| !own.contains(&argument.get_id().as_str()))
}

/// A sentence without a full stop: it stands alone.
fn is_title(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_uppercase() || !c.is_alphabetic());
    begins && !text.ends_with(['.', ' ', '\n']) && !text.contains('\n')
}

#[test]
fn every_command_is_explained_in_the_same_order() {
    let all = commands();
    assert!(all.len() > 15, "{}", all.len());
    for mut command in all {
        let name = command.get_name().to_owned();
        let about = command.get_about().unwrap().to_string();
        assert!(is_title(&about), "{name}: {about}");
        let help = command.render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= WIDTH, "{name}: {line}");
        }
        let places: Vec<Option<usize>> = [
            about.as_str(),
            "\nUsage: ",
            "\nOptions:\n",
            "\nExamples:\n  ",
            "\nExit codes: 0 ",
        ]
        .iter()
        .map(|part| help.find(part))
        .collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{name}: {places:?}\n{help}"
        );
        // What it costs a script to find out otherwise, at the end.
        let (_, codes) = help.rsplit_once("Exit codes: ").unwrap();
        let codes = codes.trim_end();
        assert!(
            codes.ends_with('.') && !codes.contains("\n\n"),
            "{name}: {codes}"
        );
        let words = codes
            .split_whitespace()
            .map(|word| word.trim_matches([',', ';']));
        let named: Vec<&str> = words.filter(|word| CODES.contains(word)).collect();
        let order: Vec<usize> = named
            .iter()
            .filter_map(|code| CODES.iter().position(|known| known == code))
            .collect();
        assert!(
            named.contains(&"2"),
            "{name}: usage may always be bad: {codes}"
        );
        // `render` tells 0 twice: with and without --diff.
        assert!(order.is_sorted() || name == "render", "{name}: {codes}");
    }
}

#[test]
fn every_argument_is_explained_in_the_same_form() {
    let mut wordings: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for command in commands() {
        let name = command.get_name();
        for argument in arguments(&command) {
            let id = argument.get_id();
            let help = argument.get_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(!help.is_empty() && is_title(&help), "{name} {id}: {help:?}");
            for value in argument.get_possible_values() {
                let help = value.get_help().map(ToString::to_string);
                let help = help.unwrap_or_else(|| "Told by its name".to_owned());
                assert!(is_title(&help), "{name} {id}: {help:?}");
            }
            let takes = argument.get_action().takes_values();
            let values: Vec<&str> = argument
                .get_value_names()
                .unwrap_or_default()
                .iter()
                .map(clap::builder::Str::as_str)
                .collect();
            let values = if takes {
                values.join(" ")
            } else {
                String::new()
            };
            assert!(
                !takes || (!values.is_empty() && values == values.to_uppercase()),
                "{name} {id}: {values:?}"
            );
            if let Some(long) = argument.get_long() {
                wordings
                    .entry(long.to_owned())
                    .or_default()
                    .insert((help, values));
            }
        }
    }
    let several: Vec<_> = wordings
        .iter()
        .filter(|(flag, wordings)| wordings.len() > 1 && !DIFFERENT.contains(&flag.as_str()))
        .collect();
    assert!(
        several.is_empty(),
        "the same flag in different words: {several:#?}"
    );
}

/// The calls of `jobset` in a line of a shell script.
pub(super) fn calls(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let Some(words) = commands.last_mut() else {
            break;
        };
        let Some(word) = words.last_mut() else {
            break;
        };
        match (quote, character) {
            (Some(end), _) if character == end => quote = None,
            (Some('"') | None, '\\') => word.extend(characters.next()),
            (Some(_), _) => word.push(character),
            (None, '"' | '\'') => quote = Some(character),
            (None, ' ') => words.push(String::new()),
            (None, '|' | '&' | ';' | '>' | '(' | ')') => commands.push(vec![String::new()]),
            (None, _) => word.push(character),
        }
    }
    for words in &mut commands {
        words.retain(|word| !word.is_empty());
    }
    commands.retain(|words| words.first().is_some_and(|word| word == "jobset"));
    commands
}

#[test]
fn every_example_can_be_typed() {
    let mut whole = Cli::command().term_width(WIDTH);
    let mut helps = vec![(String::new(), whole.render_long_help().to_string())];
    for mut command in commands() {
        let help = command.render_long_help().to_string();
        helps.push((command.get_name().to_owned(), help));
    }
    for (name, help) in helps {
        let (_, after) = help.split_once("Examples:\n").unwrap();
        let (examples, _) = after.split_once("\n\n").unwrap();
        let mut found = Vec::new();
        for line in examples.lines() {
            assert!(line.starts_with("  "), "{name}: {line:?}");
            // A remark stands at a distance.
            let line = line.trim_start();
            let typed = line.split_once("   ").map_or(line, |(typed, _)| typed);
            found.extend(calls(typed));
        }
        assert!(!found.is_empty(), "{name}");
        for words in &found {
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{name}: {words:?}: {error}");
            }
        }
        // One of them is about the command itself.
        let own = |words: &Vec<String>| name.is_empty() || words.get(1) == Some(&name);
        assert!(found.iter().any(own), "{name}: {found:?}");
    }
}

#[test]
fn calls_are_found_in_shell_lines() {
    let found = |line| -> Vec<String> { calls(line).iter().map(|words| words.join("|")).collect() };
    assert_eq!(
        found("jobset run a.yaml --keep"),
        ["jobset|run|a.yaml|--keep"]
    );
    assert_eq!(
        found("kubectl x | jobset run - > f && jobset man"),
        ["jobset|run|-", "jobset|man"]
    );
    assert_eq!(found("$(jobset exec t -- 'a b')"), ["jobset|exec|t|--|a b"]);
    assert_eq!(found("KUBECONFIG=x kubectl get jobset"), [""; 0]);
}
