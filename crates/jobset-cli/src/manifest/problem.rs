//! What is wrong with a manifest, and how it is shown.

use std::fmt;

use crate::style;

/// At most this many problems are shown, so that the first one stays on the screen.
const SHOWN: usize = 15;
/// Values in messages are cut to this many characters.
const LONGEST: usize = 400;

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Problem {
    /// File as the user named it, `<stdin>` for standard input.
    pub(crate) file: String,
    /// Line and column, counted from one.
    pub(crate) place: Option<(u64, u64)>,
    /// Which document: its number and, where known, kind and name.
    pub(crate) document: Option<String>,
    /// Field path.
    pub(crate) path: String,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(document) = &self.document {
            write!(f, "{document}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", printable(&self.path))?;
        }
        let message = printable(&self.message);
        match message.char_indices().nth(LONGEST) {
            Some((at, _)) => write!(f, "{}…", &message[..at]),
            None => f.write_str(&message),
        }
    }
}

/// A text without what a terminal would act on: it may come from anybody's file.
pub(crate) fn printable(text: &str) -> String {
    let replace = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(replace).collect()
}

/// Prints problems to standard error: one screen at most.
pub(crate) fn report(problems: &[Problem]) {
    for problem in problems.iter().take(SHOWN) {
        eprintln!("{} {problem}", style::error("error:"));
    }
    if problems.len() > SHOWN {
        eprintln!("… and {} more errors", problems.len() - SHOWN);
    }
}

/// Prints what is legal and surely not meant to standard error.
pub(crate) fn report_warnings(warnings: &[Problem]) {
    for warning in warnings {
        eprintln!("{} {warning}", style::warning("warning:"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_place_document_and_field() {
        let mut problem = Problem {
            file: "a.yaml".to_owned(),
            place: Some((3, 7)),
            document: Some("document 2 (JobSet \"x\")".to_owned()),
            path: "spec.suspend".to_owned(),
            message: "must be a boolean".to_owned(),
        };
        assert_eq!(
            problem.to_string(),
            "a.yaml:3:7: document 2 (JobSet \"x\"): spec.suspend: must be a boolean"
        );
        problem.message = "x".repeat(100_000);
        assert!(problem.to_string().len() < 500);
        problem.message = "\u{1b}[2J".to_owned();
        problem.path = "metadata.\u{1b}[2J".to_owned();
        assert!(
            !problem.to_string().contains('\u{1b}'),
            "no terminal control from a file"
        );
    }
}
