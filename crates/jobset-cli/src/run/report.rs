//! `--report`: the run as one page, with what was seen of every Job.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jobset_api::JobSet;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tempfile::NamedTempFile;

use super::document::Document;
use super::model::{Ending, Model};
use super::view;
use super::watch::Change;
use crate::duration::show;
use crate::timeline::{History, Page};

/// Jobs of a role and attempt that are drawn.
const ROWS: usize = 200;

/// A report that is to be written.
pub(super) struct Report {
    path: PathBuf,
    file: NamedTempFile,
    /// When the run began.
    start: Timestamp,
    histories: Vec<History>,
}

impl Report {
    /// Makes sure, before anything is started, that the report can be written at the end. Until then
    /// nothing is changed.
    pub(super) fn open(path: &Path, start: Timestamp) -> anyhow::Result<Self> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let cannot = || format!("cannot write the report {}", path.display());
        if path.is_dir() {
            anyhow::bail!("{}: it is a directory", cannot());
        }
        let file = tempfile::Builder::new()
            .prefix(".jobset-report-")
            // As any file that a program creates.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
            .with_context(cannot)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            start,
            histories: Vec::new(),
        })
    }

    /// The JobSets have been created.
    pub(super) fn begin(&mut self, jobsets: &[JobSet], elapsed: Duration) {
        let created = self.at(elapsed);
        let histories = jobsets.iter().map(|jobset| History::new(jobset, created));
        self.histories = histories.collect();
    }

    /// Records a change.
    pub(super) fn see(&mut self, change: &Change, elapsed: Duration) {
        let now = self.at(elapsed);
        match change {
            Change::JobSet(jobset) => {
                for history in &mut self.histories {
                    history.jobset(jobset, now);
                }
            }
            Change::JobSetGone(jobset) => {
                for history in &mut self.histories {
                    history.jobset_gone(jobset.uid(), now);
                }
            }
            Change::Job(job) => {
                let owners = job.metadata.owner_references.iter().flatten();
                let owner = owners.into_iter().find(|one| one.controller == Some(true));
                let of =
                    |history: &&mut History| owner.is_some_and(|owner| owner.uid == history.uid());
                if let Some(history) = self.histories.iter_mut().find(of) {
                    history.job(&super::watch::as_job(job), now);
                }
            }
            Change::JobGone(job) => {
                for history in &mut self.histories {
                    history.job_gone(job.metadata.uid.as_deref().unwrap_or_default(), now);
                }
            }
            Change::Pod(_) | Change::PodGone(_) | Change::Warning(_) => {}
        }
    }

    /// Writes it, in one step.
    pub(super) fn write(
        mut self,
        model: &Model,
        document: &Document,
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        let now = self.at(elapsed);
        let cannot = || format!("cannot write the report {}", self.path.display());
        let text = self.page(model, document, now).html();
        self.file.write_all(text.as_bytes()).with_context(cannot)?;
        let path = self.path.clone();
        self.file
            .persist(&path)
            .map_err(|error| error.error)
            .with_context(|| format!("cannot write the report {}", path.display()))?;
        Ok(())
    }

    fn page(&self, model: &Model, document: &Document, now: Timestamp) -> Page {
        let names: Vec<&str> = model.sets.iter().map(|set| set.name.as_str()).collect();
        let mut page = Page::new(&format!("{}: {}", names.join(", "), document.result));
        page.paragraph(
            if document.exit_code == 0 {
                "good"
            } else {
                "bad"
            },
            &format!(
                "{} after {}",
                document.result,
                show(Duration::from_secs_f64(document.elapsed_seconds.max(0.0))),
            ),
        );
        page.paragraph(
            "faint",
            &format!(
                "jobset run, begun at {}",
                self.start.strftime("%Y-%m-%d %H:%M:%S UTC")
            ),
        );
        page.heading("Summary");
        page.table(&view::summary_rows(model));
        for set in &model.sets {
            if matches!(set.ending, Some(Ending::Failed | Ending::Deleted)) {
                page.heading(&format!("Why {} did not complete", set.name));
                page.lines(&view::explanation(set, false));
            }
        }
        for history in &self.histories {
            let timeline = history.timeline(now);
            page.heading(&format!("Timeline of {}", timeline.name));
            page.timeline(&timeline, ROWS);
        }
        page.heading("What the run has used");
        page.table(&document.resources());
        page.heading("Requests to the API");
        page.table(&document.requests());
        page
    }

    /// The time of a moment of the run. The clock of the machine is read once, for it may be set
    /// meanwhile.
    fn at(&self, elapsed: Duration) -> Timestamp {
        SignedDuration::try_from(elapsed)
            .ok()
            .and_then(|elapsed| self.start.checked_add(elapsed).ok())
            .unwrap_or(self.start)
    }
}
