//! `jobset validate`: what is wrong with manifests, without a cluster.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::args::{OutputKind, RuntimeKind, ValidateArgs};
use crate::exit::Exit;
use crate::manifest::{self, Checks, Inspection, Problem};
use crate::{style, view};

/// Checks files and prints everything that is wrong.
pub(crate) fn main(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let checks = Checks {
        gates: args.feature_gates,
        processes: args.runtime == Some(RuntimeKind::Process),
    };
    let inspection = manifest::inspect(&args.files, checks);
    let mut stdout = std::io::stdout().lock();
    match args.output {
        OutputKind::Json => {
            serde_json::to_writer_pretty(&mut stdout, &document(&inspection))?;
            writeln!(stdout)?;
        }
        OutputKind::Text => {
            let colored = style::enabled_on_stdout();
            for problem in &inspection.problems {
                let head = style::paint("error:", "1;31", colored);
                writeln!(stdout, "{head} {problem}")?;
            }
            for warning in &inspection.warnings {
                let head = style::paint("warning:", "1;33", colored);
                writeln!(stdout, "{head} {warning}")?;
            }
            for skipped in &inspection.skipped {
                let head = style::paint("skipped:", "2", colored);
                writeln!(stdout, "{head} {skipped}")?;
            }
            let count = |things: usize, noun| view::count(things as i64, noun);
            writeln!(
                stdout,
                "{} checked, {}, {}, {} skipped",
                count(inspection.documents.len(), "document"),
                count(inspection.problems.len(), "error"),
                count(inspection.warnings.len(), "warning"),
                inspection.skipped.len()
            )?;
        }
    }
    Ok(if inspection.problems.is_empty() {
        Exit::Completed
    } else {
        Exit::BadInput
    })
}

fn document(inspection: &Inspection) -> Value {
    let list = |problems: &[Problem]| -> Value {
        problems
            .iter()
            .map(|problem| {
                json!({
                    "file": problem.file,
                    "line": problem.place.map(|(line, _)| line),
                    "column": problem.place.map(|(_, column)| column),
                    "document": problem.document,
                    "path": problem.path,
                    "message": problem.message,
                })
            })
            .collect()
    };
    json!({
        "valid": inspection.problems.is_empty(),
        "checked": inspection.documents.len(),
        "errors": list(&inspection.problems),
        "warnings": list(&inspection.warnings),
        "skipped": list(&inspection.skipped),
    })
}
