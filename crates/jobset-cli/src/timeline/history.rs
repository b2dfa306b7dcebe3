//! Recording of what is seen while a JobSet runs.

use std::collections::HashMap;

use jobset_api::constants as keys;
use jobset_api::{JobSet, conditions};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;

use super::build::{Head, Steps, timeline};
use super::{Mark, MarkKind, Millis, Phase, Row, Timeline};
use crate::view::{JobView, SetView, label};

/// Jobs that are remembered: some tens of megabytes. More, and the oldest of those that are gone are
/// forgotten.
const MOST_JOBS: usize = 50_000;
/// Steps that are remembered of a Job; one whose readiness flickers gets no more but its end.
const MOST_STEPS: usize = 200;
/// Marks that are remembered; a JobSet may restart without limit.
const MOST_MARKS: usize = 10_000;

/// What was seen of one JobSet.
#[derive(Debug)]
pub(crate) struct History {
    uid: String,
    set: SetView,
    start: Timestamp,
    jobs: Vec<Seen>,
    /// Places in `jobs` of the Jobs that are there, by uid.
    present: HashMap<String, usize>,
    marks: Vec<Mark>,
    suspended: bool,
    finished: Option<Millis>,
    deleted: bool,
    forgotten_jobs: usize,
    forgotten_marks: usize,
}

#[derive(Debug)]
struct Seen {
    row: Row,
    steps: Steps,
}

impl History {
    /// Of a JobSet that was created at this time.
    pub(crate) fn new(jobset: &JobSet, start: Timestamp) -> Self {
        Self {
            uid: jobset.uid().to_owned(),
            set: SetView::of(jobset),
            start,
            jobs: Vec::new(),
            present: HashMap::new(),
            marks: Vec::new(),
            suspended: false,
            finished: None,
            deleted: false,
            forgotten_jobs: 0,
            forgotten_marks: 0,
        }
    }

    /// The JobSet is like this now.
    pub(crate) fn jobset(&mut self, jobset: &JobSet, now: Timestamp) {
        if jobset.uid() != self.uid {
            return;
        }
        let at = self.at(now);
        let restarts = self.set.restarts;
        self.set = SetView::of(jobset);
        if jobset.is_suspended() != self.suspended {
            self.suspended = jobset.is_suspended();
            let kind = if self.suspended {
                MarkKind::Suspended
            } else {
                MarkKind::Resumed
            };
            self.mark(at, kind, String::new());
        }
        if self.set.restarts > restarts {
            let why = conditions::find(jobset, keys::RESTARTING_JOBSET);
            let message = why.map(|why| crate::view::one_line(&why.message));
            self.mark(
                at,
                MarkKind::Restart {
                    attempt: self.set.restarts,
                },
                message.unwrap_or_default(),
            );
        }
        if self.finished.is_none() && conditions::is_finished(jobset) {
            self.finished = Some(at);
            let kind = if conditions::is_true(jobset, keys::COMPLETED) {
                MarkKind::Completed
            } else {
                MarkKind::Failed
            };
            let message = crate::view::one_line(&self.set.message);
            self.mark(at, kind, message);
        }
    }

    /// The JobSet is gone.
    pub(crate) fn jobset_gone(&mut self, uid: &str, now: Timestamp) {
        if uid == self.uid {
            let at = self.at(now);
            self.deleted = true;
            self.finished.get_or_insert(at);
        }
    }

    /// One of its Jobs is like this now.
    pub(crate) fn job(&mut self, job: &Job, now: Timestamp) {
        let Some(uid) = &job.metadata.uid else {
            return;
        };
        let at = self.at(now);
        let view = JobView::of(job);
        let place = match self.present.get(uid) {
            Some(place) => *place,
            None => {
                self.forget();
                let role = label(job, keys::REPLICATED_JOB_NAME_KEY).to_owned();
                if view.own_attempt > 0 {
                    let message = format!("{role}-{}", view.index.unwrap_or_default());
                    self.mark(at, MarkKind::JobRestart, message);
                }
                self.jobs.push(Seen {
                    row: Row {
                        job: view.name,
                        role,
                        index: view.index,
                        attempt: view.attempt,
                        own_attempt: view.own_attempt,
                        spans: Vec::new(),
                    },
                    steps: Steps::default(),
                });
                self.present.insert(uid.clone(), self.jobs.len() - 1);
                self.jobs.len() - 1
            }
        };
        let steps = &mut self.jobs[place].steps.steps;
        let phase = Phase::of_state(view.state);
        let is_news = steps.last().is_none_or(|(last, _)| *last != phase);
        let is_end = matches!(phase, Phase::Succeeded | Phase::Failed | Phase::Deleting);
        if is_news && (is_end || steps.len() < MOST_STEPS) {
            steps.push((phase, at));
        }
    }

    /// The Job of this uid is gone.
    pub(crate) fn job_gone(&mut self, uid: &str, now: Timestamp) {
        let at = self.at(now);
        if let Some(place) = self.present.remove(uid) {
            self.jobs[place].steps.gone = Some(at);
        }
    }

    /// Of the JobSet.
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    fn at(&self, now: Timestamp) -> Millis {
        now.as_millisecond()
            .saturating_sub(self.start.as_millisecond())
            .max(0)
    }

    fn mark(&mut self, at: Millis, kind: MarkKind, message: String) {
        if self.marks.len() >= MOST_MARKS {
            let oldest = MOST_MARKS / 4;
            self.marks.drain(..oldest);
            self.forgotten_marks += oldest;
        }
        self.marks.push(Mark { at, kind, message });
    }

    /// Makes room for one more Job, a quarter at a time.
    fn forget(&mut self) {
        if self.jobs.len() < MOST_JOBS {
            return;
        }
        let mut room = MOST_JOBS / 4;
        let before = self.jobs.len();
        let old = std::mem::take(&mut self.jobs);
        let mut place_of = HashMap::with_capacity(self.present.len());
        for (place, seen) in old.into_iter().enumerate() {
            if seen.steps.gone.is_some() && room > 0 {
                room -= 1;
                continue;
            }
            place_of.insert(place, self.jobs.len());
            self.jobs.push(seen);
        }
        for place in self.present.values_mut() {
            if let Some(moved) = place_of.get(place) {
                *place = *moved;
            }
        }
        self.forgotten_jobs += before - self.jobs.len();
    }

    /// The timeline until now.
    pub(crate) fn timeline(&self, now: Timestamp) -> Timeline {
        let end = self.finished.unwrap_or_else(|| self.at(now));
        let rows = self.jobs.iter().map(|seen| Row {
            spans: seen.steps.spans(end),
            ..seen.row.clone()
        });
        let mut notes = Vec::new();
        if self.forgotten_jobs > 0 {
            notes.push(format!(
                "{} of earlier attempts were forgotten",
                crate::view::count(self.forgotten_jobs as i64, "Job")
            ));
        }
        if self.forgotten_marks > 0 {
            notes.push(format!(
                "the first {} were forgotten, and what they have cost",
                crate::view::count(self.forgotten_marks as i64, "mark")
            ));
        }
        let head = Head {
            namespace: self.set.namespace.clone(),
            name: self.set.name.clone(),
            state: if self.deleted {
                "Deleted".to_owned()
            } else {
                self.set.state.to_owned()
            },
            restarts: self.set.restarts,
            start: self.start,
            end,
            roles: self
                .set
                .roles
                .iter()
                .map(|role| role.name.clone())
                .collect(),
        };
        timeline(head, rows.collect(), self.marks.clone(), notes)
    }
}
