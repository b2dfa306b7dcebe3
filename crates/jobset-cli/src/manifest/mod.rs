//! Manifest files: read, split into documents, checked as far as that goes without a cluster.
//!
//! Every problem of every document is collected; each names file, place, document and field.

mod check;
mod problem;
mod schema;
mod source;
mod tree;

use std::path::PathBuf;

use serde_json::Value;

pub(crate) use self::check::{Inspection, is_jobset};
pub(crate) use self::problem::{Problem, report, report_warnings};
use crate::kinds::Kind;

/// One object to create.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) kind: &'static Kind,
    pub(crate) namespace: String,
    /// Empty if the API is to generate it.
    pub(crate) name: String,
    pub(crate) body: Value,
    /// Where it was read: file and document, for messages.
    pub(crate) origin: String,
}

/// Reads and checks files.
pub(crate) fn inspect(files: &[PathBuf]) -> Inspection {
    let mut inspection = Inspection::default();
    for file in files {
        match source::read(file)
            .and_then(|source| tree::parse(&source).map(|trees| (source, trees)))
        {
            Ok((source, trees)) => inspection.source(&source, &trees),
            Err(problem) => inspection.problems.push(*problem),
        }
    }
    inspection
}

/// Reads files to run them: every document must be of a kind that can be run here, one of them a
/// JobSet. The documents come in the order of creation.
pub(crate) fn load(files: &[PathBuf]) -> Result<Vec<Document>, Vec<Problem>> {
    let Inspection {
        mut documents,
        mut problems,
        warnings,
        mut skipped,
    } = inspect(files);
    problems.append(&mut skipped);
    if problems.is_empty() && !documents.iter().any(is_jobset) {
        problems.push(check::no_jobset(files));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    report_warnings(&warnings);
    documents.sort_by_key(|document| document.kind.rank());
    Ok(documents)
}
