//! From what is known of each Job to a timeline.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::lost::lost;
use super::{Group, Mark, Millis, Phase, Row, Span, Timeline, Window};

/// When a Job came into its phases, and when it was gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// In the order in which they came. Times may be a little out of order: the later step counts.
    pub(super) steps: Vec<(Phase, Millis)>,
    pub(super) gone: Option<Millis>,
}

impl Steps {
    /// Stretches until the Job was gone, or until the end. A step at the time of the next one is none,
    /// unless it is a failure.
    pub(super) fn spans(&self, end: Millis) -> Vec<Span> {
        let limit = self.gone.unwrap_or(end).min(end);
        let mut spans: Vec<Span> = Vec::new();
        let mut latest = 0;
        for (at, &(phase, from)) in self.steps.iter().enumerate() {
            // What goes on after the end is not drawn; how a Job ended may be seen after the end of its set.
            if from > end && !matches!(phase, Phase::Failed | Phase::Succeeded) {
                break;
            }
            latest = from.min(limit).max(latest);
            let next = self.steps.get(at + 1).map_or(limit, |(_, next)| *next);
            let to = next.min(limit).max(latest);
            // How a Job is now is told even if it has been so for no time at all.
            let is_last = at + 1 == self.steps.len() && self.gone.is_none();
            if to == latest && !is_last && phase != Phase::Failed {
                continue;
            }
            let window = Window { from: latest, to };
            match spans.last_mut() {
                Some(last) if last.phase == phase => last.window.to = to,
                _ => spans.push(Span { phase, window }),
            }
            latest = to;
        }
        spans
    }
}

/// What is known of the JobSet.
pub(super) struct Head {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) restarts: i32,
    pub(super) start: Timestamp,
    pub(super) end: Millis,
    /// Roles in the order of the spec.
    pub(super) roles: Vec<String>,
}

/// Puts rows in order, and finds what was lost.
pub(super) fn timeline(
    head: Head,
    mut rows: Vec<Row>,
    mut marks: Vec<Mark>,
    notes: Vec<String>,
) -> Timeline {
    let end = head.end.max(1);
    rows.retain(|row| !row.spans.is_empty());
    for mark in &mut marks {
        mark.at = mark.at.min(end);
    }
    marks.sort_by_key(|mark| mark.at);
    let lost = lost(&rows, &marks, end);
    let place = |role: &str| {
        let known = head.roles.iter().position(|known| known == role);
        known.unwrap_or(head.roles.len())
    };
    rows.sort_by_cached_key(|row| {
        let from = row.window().map_or(0, |window| window.from);
        (
            place(&row.role),
            row.role.clone(),
            row.attempt,
            row.index,
            row.own_attempt,
            from,
        )
    });
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        match groups.last_mut() {
            Some(group) if group.role == row.role && group.attempt == row.attempt => {
                group.rows.push(row);
            }
            _ => groups.push(Group {
                role: row.role.clone(),
                attempt: row.attempt,
                rows: vec![row],
            }),
        }
    }
    Timeline {
        namespace: head.namespace,
        name: head.name,
        state: head.state,
        restarts: head.restarts,
        start: Time(head.start),
        end,
        lost_total: lost.iter().map(|window| window.to - window.from).sum(),
        lost,
        marks,
        groups,
        notes,
    }
}
