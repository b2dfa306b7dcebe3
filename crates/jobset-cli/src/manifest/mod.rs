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

use jobset_api::FeatureGates;

pub(crate) use self::check::{Inspection, is_jobset, no_jobset};
pub(crate) use self::problem::{Problem, printable, report, report_warnings};
pub(crate) use self::schema::{default_jobset, forbidden_changes};
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

/// What is checked beyond what always is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checks {
    /// What the controller permits.
    pub(crate) gates: FeatureGates,
    /// Whether containers are to be processes of this machine.
    pub(crate) processes: bool,
}

/// Reads and checks files.
pub(crate) fn inspect(files: &[PathBuf], checks: Checks) -> Inspection {
    let mut inspection = Inspection::new(checks);
    for file in files {
        inspection.take_in(source::read(file));
    }
    inspection
}

/// Checks the content of one file.
pub(crate) fn inspect_bytes(name: &str, bytes: Vec<u8>, checks: Checks) -> Inspection {
    let mut inspection = Inspection::new(checks);
    let source = source::from_bytes(name.to_owned(), bytes);
    inspection.take_in(source);
    inspection
}

/// Reads files to run them: every document must be of a kind that can be run here, one of them a
/// JobSet. The documents come in the order of creation.
pub(crate) fn load(files: &[PathBuf], checks: Checks) -> Result<Vec<Document>, Vec<Problem>> {
    let Inspection {
        mut documents,
        mut problems,
        warnings,
        mut skipped,
        ..
    } = inspect(files, checks);
    problems.append(&mut skipped);
    if problems.is_empty() && !documents.iter().any(is_jobset) {
        problems.push(no_jobset(files, "run"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    report_warnings(&warnings);
    documents.sort_by_key(|document| document.kind.rank());
    Ok(documents)
}
