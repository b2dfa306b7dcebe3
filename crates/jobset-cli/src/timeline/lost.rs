//! What restarts have cost: the time from a failure until what had been ready is ready again.

use std::collections::HashMap;

use super::{Mark, MarkKind, Millis, Phase, Row, Window};

/// The windows of time that restarts have cost. They do not overlap.
pub(super) fn lost(rows: &[Row], marks: &[Mark], end: Millis) -> Vec<Window> {
    let mut windows = of_sets(rows, marks, end);
    windows.extend(of_jobs(rows, end));
    union(windows)
}

/// Restarts of all Jobs.
fn of_sets(rows: &[Row], marks: &[Mark], end: Millis) -> Vec<Window> {
    let restarts: Vec<(Millis, i32)> = marks
        .iter()
        .filter_map(|mark| match mark.kind {
            MarkKind::Restart { attempt } => Some((mark.at, attempt)),
            _ => None,
        })
        .collect();
    let mut windows = Vec::new();
    let mut before = i32::MIN;
    for (place, &(at, attempt)) in restarts.iter().enumerate() {
        let until = restarts.get(place + 1).map_or(end, |(next, _)| *next);
        let ended = rows
            .iter()
            .filter(|row| (before..attempt).contains(&row.attempt));
        let failures = ended.filter_map(|row| row.first(Phase::Failed));
        let from = failures.filter(|failed| *failed <= at).min();
        let from = from.unwrap_or(at);
        let to = recovered(rows, at, attempt, until);
        windows.push(Window { from, to });
        before = attempt;
    }
    windows
}

/// When all that had been ready before a restart was ready again, at most `until`.
fn recovered(rows: &[Row], at: Millis, attempt: i32, until: Millis) -> Millis {
    let again: HashMap<&str, &Row> = rows
        .iter()
        .filter(|row| row.attempt == attempt)
        .map(|row| (row.job.as_str(), row))
        .collect();
    // That a Job was ready may not be known any more.
    let at_work = |phase: Phase| phase.is_up() || phase == Phase::Active;
    let was_up = |row: &&Row| {
        row.attempt < attempt
            && row
                .spans
                .iter()
                .any(|span| at_work(span.phase) && span.window.from <= at)
    };
    let up = |row: &Row| {
        let after = row.spans.iter().filter(|span| span.window.to > at);
        after
            .filter(|span| at_work(span.phase))
            .map(|span| span.window.from.max(at))
            .next()
    };
    let wanted: Vec<Option<&Row>> = if again.is_empty() {
        // Restarted in place: the Jobs are the same.
        let there = rows.iter().filter(|row| {
            row.attempt < attempt
                && row
                    .window()
                    .is_some_and(|window| window.from <= at && window.to > at)
                && row.outcome() != Some(Phase::Failed)
        });
        there.map(Some).collect()
    } else {
        let had_been: Vec<Option<&Row>> = rows
            .iter()
            .filter(was_up)
            .map(|row| again.get(row.job.as_str()).copied())
            .collect();
        if had_been.is_empty() {
            again.values().copied().map(Some).collect()
        } else {
            had_been
        }
    };
    let times = wanted
        .into_iter()
        .map(|row| row.and_then(up).unwrap_or(until));
    times.max().unwrap_or(until).clamp(at, until.max(at))
}

/// Restarts of Jobs by themselves.
fn of_jobs(rows: &[Row], end: Millis) -> Vec<Window> {
    let mut own: HashMap<(&str, i32, i32), &Row> = HashMap::new();
    for row in rows {
        own.insert((&row.job, row.attempt, row.own_attempt), row);
    }
    let again = rows.iter().filter(|row| row.own_attempt > 0);
    again
        .filter_map(|row| {
            let before = own.get(&(&row.job, row.attempt, row.own_attempt - 1))?;
            let from = before
                .first(Phase::Failed)
                .or_else(|| before.window().map(|window| window.to))?;
            let up = row.spans.iter().find(|span| span.phase.is_up());
            let to = up.map(|span| span.window.from);
            let to = to.or_else(|| row.window().map(|window| window.to));
            Some(Window {
                from,
                to: to.unwrap_or(end),
            })
        })
        .collect()
}

/// The windows without overlaps and without empty ones.
fn union(mut windows: Vec<Window>) -> Vec<Window> {
    windows.retain(|window| window.to > window.from);
    windows.sort_unstable();
    let mut all: Vec<Window> = Vec::new();
    for window in windows {
        match all.last_mut() {
            Some(last) if window.from <= last.to => last.to = last.to.max(window.to),
            _ => all.push(window),
        }
    }
    all
}
