//! `jobset wait`: until a JobSet has reached a state, or cannot any more.

use std::pin::pin;

use anyhow::Context as _;
use futures::StreamExt as _;
use jobset_api::JobSet;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::args::{Goal, WaitArgs};
use crate::exit::Exit;
use crate::view::SetView;
use crate::{cluster, engine, output, style};

/// Whether the state is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    NotYet,
    /// Not any more, and what is instead.
    Never(String),
}

/// Waits.
pub(super) async fn main(args: &WaitArgs) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    let timeout = async {
        match args.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        exit = reach(args) => exit,
        () = timeout => {
            eprintln!("{} --timeout passed", style::error("given up:"));
            Ok(Exit::TimedOut)
        }
        result = interrupted => { result?; Ok(Exit::Interrupted) }
    }
}

async fn reach(args: &WaitArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    // Who waits for one that is not there has mistyped its name.
    if args.goal != Goal::Deleted {
        cluster::jobset(&at, &args.name).await?;
    }
    let api: Api<JobSet> = at.api();
    let states = watcher::watch_object(api, &args.name).default_backoff();
    let mut states = pin!(states);
    let mut uid = None;
    loop {
        let jobset = match states.next().await.context("the watch ended")? {
            Ok(jobset) => jobset,
            Err(error) => {
                tracing::warn!(%error, "the watch was interrupted");
                continue;
            }
        };
        // One that was created anew is another one.
        let jobset = jobset
            .filter(|jobset| uid.get_or_insert_with(|| jobset.uid().to_owned()) == jobset.uid());
        match judge(args.goal, jobset.as_ref()) {
            Verdict::NotYet => {}
            Verdict::Reached => {
                let goal = format!("{:?}", args.goal).to_lowercase();
                output::text(&format!("JobSet {}: {goal}\n", args.name))?;
                return Ok(Exit::Completed);
            }
            Verdict::Never(instead) => {
                eprintln!("{} JobSet {}: {instead}", style::error("error:"), args.name);
                return Ok(Exit::Failed);
            }
        }
    }
}

fn judge(goal: Goal, jobset: Option<&JobSet>) -> Verdict {
    let Some(jobset) = jobset else {
        return match goal {
            Goal::Deleted => Verdict::Reached,
            _ => Verdict::Never("it was deleted".to_owned()),
        };
    };
    let set = SetView::of(jobset);
    let (ready, all) = set.ready();
    // Being deleted does not undo what it has come to.
    let ended = jobset_api::conditions::is_true(jobset, jobset_api::constants::COMPLETED)
        .then_some("Completed")
        .or_else(|| {
            jobset_api::conditions::is_true(jobset, jobset_api::constants::FAILED)
                .then_some("Failed")
        });
    let reached = match goal {
        Goal::Completed => ended == Some("Completed"),
        Goal::Failed => ended == Some("Failed"),
        Goal::Finished => ended.is_some(),
        Goal::Ready => jobset.status.is_some() && ready >= all && ended != Some("Failed"),
        Goal::Suspended => set.state == "Suspended" && !set.reason.is_empty(),
        Goal::Deleted => false,
    };
    match (reached, ended) {
        (true, _) => Verdict::Reached,
        (false, Some(word)) if goal != Goal::Deleted => {
            let why = if set.reason.is_empty() {
                String::new()
            } else {
                format!(": {}: {}", set.reason, set.message)
            };
            Verdict::Never(format!("{}{why}", word.to_lowercase()))
        }
        _ => Verdict::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::view::testing;

    fn with(type_: &str) -> JobSet {
        let conditions: Vec<Value> = match type_ {
            "" => vec![],
            type_ => vec![
                json!({"type": type_, "status": "True", "reason": "R", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}),
            ],
        };
        let ready = |name, ready| {
            json!({"name": name, "ready": ready, "active": 0, "succeeded": 0,
            "failed": 0, "suspended": 0})
        };
        testing::jobset(&json!({"conditions": conditions,
            "replicatedJobsStatus": [ready("leader", 1), ready("workers", 2)]}))
    }

    #[test]
    fn a_goal_is_reached_not_yet_or_never() {
        use Verdict::{NotYet, Reached};
        let never = Verdict::Never("failed: R: m".to_owned());
        for (goal, running, completed, failed, gone) in [
            (Goal::Completed, NotYet, Some(Reached), never.clone(), None),
            (Goal::Failed, NotYet, None, Reached, None),
            (Goal::Finished, NotYet, Some(Reached), Reached, None),
            (Goal::Ready, Reached, Some(Reached), never.clone(), None),
            (Goal::Suspended, NotYet, None, never, None),
            (Goal::Deleted, NotYet, Some(NotYet), NotYet, Some(Reached)),
        ] {
            assert_eq!(judge(goal, Some(&with(""))), running, "{goal:?}");
            assert_eq!(judge(goal, Some(&with("Failed"))), failed, "{goal:?}");
            let is = judge(goal, Some(&with("Completed")));
            assert_eq!(
                is,
                completed.unwrap_or(Verdict::Never("completed: R: m".into())),
                "{goal:?}"
            );
            let is = judge(goal, None);
            assert_eq!(
                is,
                gone.unwrap_or(Verdict::Never("it was deleted".into())),
                "{goal:?}"
            );
        }
    }

    #[test]
    fn suspension_counts_when_the_controller_has_seen_it() {
        let mut set = with("");
        set.spec.suspend = Some(true);
        assert_eq!(judge(Goal::Suspended, Some(&set)), Verdict::NotYet);
        let mut set = with("Suspended");
        set.spec.suspend = Some(true);
        assert_eq!(judge(Goal::Suspended, Some(&set)), Verdict::Reached);
    }
}
