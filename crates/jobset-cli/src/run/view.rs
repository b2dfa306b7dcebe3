//! The run as text: live lines, the summary, the explanation of a failure. Pure.

use std::time::Duration;

use super::model::{Ending, Model, PodFailure, Set};
use crate::duration::show;
use crate::style::paint;
use crate::view::RoleView;

/// More live lines than this would push the logs off the screen.
const LIVE_LINES: usize = 12;

/// Decisions that are shown, the last ones: a JobSet may restart hundreds of times.
const DECISIONS: usize = 10;

/// What is shown below the logs while the run goes on.
pub(super) fn live(model: &Model, elapsed: Duration, width: usize, colored: bool) -> Vec<String> {
    let names = model
        .sets
        .iter()
        .flat_map(|set| &set.roles)
        .map(|role| role.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for set in &model.sets {
        let state = state(set);
        lines.push(format!(
            "── {} · {} · {} · {}",
            set.name,
            state,
            show(set.finished.unwrap_or(elapsed)),
            count(set.status.restarts, "restart"),
        ));
        for role in &set.roles {
            lines.push(format!(
                "   {:names$}  {}/{} ready  {} active  {} succeeded  {} failed{}",
                role.name,
                role.ready,
                role.replicas,
                role.active,
                role.succeeded,
                role.failed,
                if role.suspended > 0 {
                    format!("  {} suspended", role.suspended)
                } else {
                    String::new()
                }
            ));
        }
    }
    if lines.len() > LIVE_LINES {
        let hidden = lines.len() - LIVE_LINES + 1;
        lines.truncate(LIVE_LINES - 1);
        lines.push(format!("   … {hidden} more lines"));
    }
    lines
        .into_iter()
        .map(|line| paint(&cut(&line, width), "2", colored))
        .collect()
}

/// Cuts a line so that the terminal does not wrap it.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width.max(20) - 1).collect()
}

fn count(number: i32, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// One word for where a JobSet is.
fn state(set: &Set) -> &'static str {
    match set.ending {
        Some(Ending::Completed) => "Completed",
        Some(Ending::Failed) => "Failed",
        Some(Ending::Deleted) => "Deleted",
        None if set.suspended => "Suspended",
        None => "Running",
    }
}

/// The table at the end.
pub(super) fn summary(model: &Model, colored: bool) -> String {
    crate::view::table(&summary_rows(model), colored)
}

/// The rows of the table; the first is the head.
pub(super) fn summary_rows(model: &Model) -> Vec<Vec<String>> {
    let head = "JOBSET ROLE JOBS SUCCEEDED FAILED RESTARTS TIME RESULT";
    let mut rows: Vec<Vec<String>> = vec![head.split(' ').map(str::to_owned).collect()];
    for set in &model.sets {
        let time = set.finished.map(show).unwrap_or_default();
        let mut head = Some((set.name.clone(), set.status.restarts, time, state(set)));
        let nothing = [RoleView::default()];
        let roles = if set.roles.is_empty() {
            &nothing
        } else {
            set.roles.as_slice()
        };
        for role in roles {
            let (name, restarts, time, result) = match head.take() {
                Some((name, restarts, time, result)) => {
                    (name, restarts.to_string(), time, result.to_owned())
                }
                None => Default::default(),
            };
            rows.push(vec![
                name,
                role.name.clone(),
                role.replicas.to_string(),
                role.succeeded.to_string(),
                role.failed.to_string(),
                restarts,
                time,
                result,
            ]);
        }
    }
    rows
}

/// Why a JobSet did not complete.
pub(super) fn explanation(set: &Set, colored: bool) -> String {
    let (reason, message) = set.verdict();
    let mut text = format!(
        "{} {}: {message}\n",
        paint(
            &format!("{} {}:", set.name, state(set).to_lowercase()),
            "1;31",
            colored
        ),
        reason,
    );
    if let Some(job) = set.first_failed_job() {
        text.push_str(&format!("  first failed job  {job}\n"));
    }
    if let Some(failure) = set.first_failure() {
        text.push_str(&format!("  attempt           {}\n", failure.attempt));
        text.push_str(&format!("  pod               {}\n", failure.pod));
        if let Some(node) = &failure.node {
            text.push_str(&format!("  node              {node}\n"));
        }
        if !failure.container.is_empty() {
            text.push_str(&format!("  container         {}\n", failure.container));
        }
        text.push_str(&format!("  ended with        {}\n", how(failure)));
        if !failure.message.is_empty() {
            text.push_str(&format!(
                "  message           {}\n",
                failure.message.trim_end()
            ));
        }
        if !failure.last_lines.is_empty() {
            text.push_str("  last log lines\n");
            for line in &failure.last_lines {
                text.push_str(&format!("    {line}\n"));
            }
        }
        if let Some(hint) = hint(failure) {
            text.push_str(&format!("  hint              {hint}\n"));
        }
    }
    if !set.decisions.is_empty() {
        text.push_str("  decisions of the failure policy\n");
        let hidden = set.decisions.len().saturating_sub(DECISIONS);
        if hidden > 0 {
            text.push_str(&format!("    … {hidden} earlier ones\n"));
        }
        for decision in &set.decisions[hidden..] {
            text.push_str(&format!("    {decision}\n"));
        }
    }
    text
}

/// What keeps JobSets that have not ended from going on.
pub(super) fn unfinished(model: &Model) -> String {
    let mut text = String::new();
    for (index, set) in model.sets.iter().enumerate() {
        let waits_for = model.waits_for(index);
        if !waits_for.is_empty() {
            text.push_str(&format!("\n{} has not ended; it waits for\n", set.name));
            for line in waits_for {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
    text
}

/// What to do about failures that come from Pods being processes of one machine.
fn hint(failure: &PodFailure) -> Option<&'static str> {
    let said = |text: &str| failure.last_lines.iter().any(|line| line.contains(text));
    (said("Address already in use") || said("EADDRINUSE")).then_some(
        "Pods share this machine's network: let the server listen on its own Pod's address, \
         status.podIP, which is also in JOBSET_POD_IP",
    )
}

fn how(failure: &PodFailure) -> String {
    match (failure.exit_code, failure.signal) {
        (Some(code), Some(signal)) => format!("exit code {code} (signal {signal})"),
        (Some(code), None) => format!("exit code {code}"),
        (None, _) if failure.reason.is_empty() => "no exit code".to_owned(),
        (None, _) => failure.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::watch::Change;

    fn model() -> Model {
        let jobset = |status| {
            serde_json::from_value::<jobset_api::JobSet>(json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "metadata": {"name": "js", "namespace": "default", "uid": "u"},
                "spec": {"replicatedJobs": [
                    {"name": "leader", "template": {}},
                    {"name": "workers", "replicas": 20, "template": {}},
                ]},
                "status": status,
            }))
            .unwrap()
        };
        let mut model = Model::new(&[jobset(json!({}))]);
        let status = json!({"restarts": 1, "replicatedJobsStatus": [
            {"name": "workers", "ready": 3, "active": 4, "succeeded": 16, "failed": 0, "suspended": 0},
        ], "conditions": [{
            "type": "Failed", "status": "True", "reason": "FailedJobs", "message": "m (first failed job: j)",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        model.apply(
            Change::JobSet(Box::new(jobset(status))),
            Duration::from_secs(61),
        );
        model
    }

    #[test]
    fn live_lines_fit_the_terminal() {
        let lines = live(&model(), Duration::from_secs(2), 80, false);
        assert_eq!(lines[0], "── js · Failed · 1m01s · 1 restart");
        assert_eq!(
            lines[2],
            "   workers  3/20 ready  4 active  16 succeeded  0 failed"
        );
        assert!(
            live(&model(), Duration::ZERO, 24, false)
                .iter()
                .all(|l| l.chars().count() < 24)
        );
    }

    #[test]
    fn the_summary_is_a_table() {
        assert_eq!(
            summary(&model(), false),
            "JOBSET  ROLE     JOBS  SUCCEEDED  FAILED  RESTARTS  TIME   RESULT\n\
             js      leader   1     0          0       1         1m01s  Failed\n\
             \u{20}       workers  20    16         0\n"
        );
        assert!(explanation(&model().sets[0], false).contains("first failed job  j\n"));
    }
}
