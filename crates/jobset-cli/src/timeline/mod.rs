//! When which Job of a JobSet was in which state, and what restarts have cost.
//!
//! Pure: no client, no clock, no terminal. A [`Timeline`] comes from what a cluster still knows
//! ([`of_snapshot`]) or from every change that was seen while a JobSet ran ([`History`]); it is drawn as
//! text, as SVG, or in a page of HTML, and serialises to JSON.

mod build;
mod history;
mod live;
mod lost;
mod page;
mod svg;
mod text;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Serialize, Serializer};

pub(crate) use history::History;
pub(crate) use live::of_snapshot;
pub(crate) use page::{Page, escape};
pub(crate) use svg::{STYLE, drawing, svg};
pub(crate) use text::text;

/// Milliseconds since the start of the timeline.
pub(crate) type Millis = i64;

/// What a Job was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    /// It is there and has no Pods.
    Pending,
    Suspended,
    /// It has Pods, and not all are ready.
    Starting,
    /// It has Pods; nobody knows any more whether they were ready.
    Active,
    /// All its Pods are ready or have succeeded.
    Ready,
    Succeeded,
    Failed,
    Deleting,
}

impl Phase {
    /// In the order of legends.
    const ALL: [Self; 8] = [
        Self::Pending,
        Self::Suspended,
        Self::Starting,
        Self::Active,
        Self::Ready,
        Self::Succeeded,
        Self::Failed,
        Self::Deleting,
    ];

    /// Of the state that the other views show.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "Suspended" => Self::Suspended,
            "Starting" => Self::Starting,
            "Running" => Self::Ready,
            "Completing" | "Completed" => Self::Succeeded,
            "Failing" | "Failed" => Self::Failed,
            "Terminating" | "Gone" => Self::Deleting,
            _ => Self::Pending,
        }
    }

    /// Its name in legends, style sheets and documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Ready => "ready",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }

    /// Whether a Job in it was at work, or has been.
    fn is_up(self) -> bool {
        matches!(self, Self::Ready | Self::Succeeded)
    }
}

/// The whole of a JobSet's time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeline {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// State of the JobSet in one word.
    pub(crate) state: String,
    pub(crate) restarts: i32,
    /// What all times count from.
    pub(crate) start: Time,
    /// The end of the JobSet, or the present.
    #[serde(rename = "endSeconds", serialize_with = "seconds")]
    pub(crate) end: Millis,
    /// Sum of the windows in `lost`.
    #[serde(rename = "lostSeconds", serialize_with = "seconds")]
    pub(crate) lost_total: Millis,
    /// From a failure that led to a restart until what had been ready was ready again.
    pub(crate) lost: Vec<Window>,
    pub(crate) marks: Vec<Mark>,
    /// By role in the order of the spec, then by attempt.
    pub(crate) groups: Vec<Group>,
    /// What is not known.
    pub(crate) notes: Vec<String>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Window {
    #[serde(rename = "fromSeconds", serialize_with = "seconds")]
    pub(crate) from: Millis,
    #[serde(rename = "toSeconds", serialize_with = "seconds")]
    pub(crate) to: Millis,
}

/// The Jobs of a role in one attempt of the JobSet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) role: String,
    pub(crate) attempt: i32,
    /// By index, then by the restarts of each Job by itself.
    pub(crate) rows: Vec<Row>,
}

/// One Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) job: String,
    #[serde(skip)]
    pub(crate) role: String,
    pub(crate) index: Option<i64>,
    #[serde(skip)]
    pub(crate) attempt: i32,
    /// How often it was restarted by itself.
    pub(crate) own_attempt: i32,
    /// In the order of time, without gaps. Only failures and the last one may be empty.
    pub(crate) spans: Vec<Span>,
}

/// A stretch of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub(crate) phase: Phase,
    #[serde(flatten)]
    pub(crate) window: Window,
}

impl Row {
    /// When it begins and ends.
    fn window(&self) -> Option<Window> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        Some(Window {
            from: first.window.from,
            to: last.window.to,
        })
    }

    /// When it first came into a phase.
    fn first(&self, phase: Phase) -> Option<Millis> {
        let of_phase = self.spans.iter().find(|span| span.phase == phase);
        of_phase.map(|span| span.window.from)
    }

    /// Its last phase but for its deletion.
    fn outcome(&self) -> Option<Phase> {
        let mut phases = self.spans.iter().rev().map(|span| span.phase);
        phases
            .clone()
            .find(|phase| *phase != Phase::Deleting)
            .or_else(|| phases.next())
    }

    /// `<role>-<index>`, with the restarts of its own.
    fn label(&self) -> String {
        let own = match self.own_attempt {
            0 => String::new(),
            more => format!(" ({more})"),
        };
        match self.index {
            Some(index) => format!("{}-{index}{own}", self.role),
            None => format!("{}{own}", self.job),
        }
    }
}

/// Something that happened to the JobSet as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mark {
    #[serde(rename = "atSeconds", serialize_with = "seconds")]
    pub(crate) at: Millis,
    #[serde(flatten)]
    pub(crate) kind: MarkKind,
    pub(crate) message: String,
}

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum MarkKind {
    /// All Jobs were restarted.
    Restart {
        /// The one that begins.
        attempt: i32,
    },
    /// One Job was restarted by itself.
    JobRestart,
    Suspended,
    Resumed,
    Completed,
    Failed,
}

impl MarkKind {
    /// One letter for the text.
    fn letter(self) -> char {
        match self {
            Self::Restart { .. } => 'R',
            Self::JobRestart => 'r',
            Self::Suspended => 'S',
            Self::Resumed => 'U',
            Self::Completed => 'C',
            Self::Failed => 'F',
        }
    }

    /// In words.
    fn title(self) -> String {
        match self {
            Self::Restart { attempt } => format!("restart {attempt}"),
            Self::JobRestart => "restart of one Job".to_owned(),
            Self::Suspended => "suspended".to_owned(),
            Self::Resumed => "resumed".to_owned(),
            Self::Completed => "completed".to_owned(),
            Self::Failed => "failed".to_owned(),
        }
    }
}

impl Timeline {
    /// Names of the phases that occur.
    fn phases(&self) -> Vec<Phase> {
        let spans = || {
            let rows = self.groups.iter().flat_map(|group| &group.rows);
            rows.flat_map(|row| &row.spans)
        };
        let occurs = |phase: &Phase| spans().any(|span| span.phase == *phase);
        Phase::ALL.into_iter().filter(occurs).collect()
    }
}

impl Group {
    /// The rows to draw, at most this many (0: all): what failed first, the rest by index. They stay in
    /// their order.
    fn drawn(&self, most: usize) -> Vec<&Row> {
        if most == 0 || self.rows.len() <= most {
            return self.rows.iter().collect();
        }
        let mut places: Vec<usize> = (0..self.rows.len()).collect();
        places.sort_by_key(|&at| self.rows[at].first(Phase::Failed).unwrap_or(Millis::MAX));
        places.truncate(most);
        places.sort_unstable();
        places.into_iter().map(|at| &self.rows[at]).collect()
    }

    /// `workers, attempt 1`.
    fn title(&self) -> String {
        let role = if self.role.is_empty() {
            "(no role)"
        } else {
            &self.role
        };
        format!("{role}, attempt {}", self.attempt)
    }

    /// `3 Jobs: 2 succeeded, 1 failed`.
    fn summary(&self) -> String {
        let ended = |phase: Phase| {
            self.rows
                .iter()
                .filter(|row| row.outcome() == Some(phase))
                .count()
        };
        let counts: Vec<String> = Phase::ALL
            .into_iter()
            .map(|phase| (phase, ended(phase)))
            .filter(|(_, number)| *number > 0)
            .map(|(phase, number)| format!("{number} {}", phase.name()))
            .collect();
        format!(
            "{}: {}",
            crate::view::count(self.rows.len() as i64, "Job"),
            counts.join(", ")
        )
    }
}

/// Seconds with milliseconds.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn seconds<S: Serializer>(millis: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*millis as f64 / 1000.0)
}

/// A length of time for people.
fn show(millis: Millis) -> String {
    crate::duration::show(std::time::Duration::from_millis(
        millis.max(0).unsigned_abs(),
    ))
}

/// Round times for an axis: at most this many steps.
fn ticks(end: Millis, most: i64) -> Vec<Millis> {
    const STEPS: [Millis; 22] = [
        100,
        200,
        500,
        1000,
        2000,
        5000,
        10_000,
        20_000,
        30_000,
        60_000,
        120_000,
        300_000,
        600_000,
        1_200_000,
        1_800_000,
        3_600_000,
        7_200_000,
        14_400_000,
        28_800_000,
        86_400_000,
        172_800_000,
        604_800_000,
    ];
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS
        .into_iter()
        .find(|step| end / step <= most)
        // Beyond weeks: as many weeks as it takes.
        .unwrap_or((end / most / longest + 1) * longest);
    (0..=end / step).map(|number| number * step).collect()
}

/// A time on an axis: `0`, `1.5s`, `2m`, `1h30m`.
fn tick_label(at: Millis) -> String {
    let seconds = at / 1000;
    match at {
        0 => "0".to_owned(),
        _ if at % 1000 != 0 => format!("{:.1}s", at as f64 / 1000.0),
        _ => embedded_apiserver::table::human_duration(seconds),
    }
}

#[cfg(test)]
mod tests;
