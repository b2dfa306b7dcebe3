//! Runs scenarios and tells how they went.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};

use crate::environment::Environment;
use crate::scenarios::Scenario;
use crate::world::World;

/// Scenarios at the same time.
const AT_ONCE: usize = 8;
/// No scenario may take longer. Only reached when something is broken.
const LIMIT: Duration = Duration::from_mins(5);

/// How a scenario went.
pub struct Report {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// Why it failed or was left out.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What became of a scenario.
pub enum Outcome {
    /// All as it should be.
    Passed,
    /// Something was not.
    Failed(String),
    /// The cluster lacks what it needs.
    Skipped(String),
}

/// Runs all scenarios whose name contains `filter`: those that share the controller together, then
/// those that stop it one by one.
pub async fn run(
    environment: &Arc<Environment>,
    filter: &str,
    progress: impl Fn(&Report),
) -> Vec<Report> {
    let chosen = || crate::scenarios::all().filter(|s| s.name.contains(filter));
    let progress = &progress;
    let one = |scenario| async move {
        let report = run_one(environment, scenario).await;
        progress(&report);
        report
    };
    let mut reports: Vec<Report> = futures::stream::iter(chosen().filter(|s| !s.alone))
        .map(one)
        .buffered(AT_ONCE)
        .collect()
        .await;
    for scenario in chosen().filter(|s| s.alone) {
        reports.push(one(scenario).await);
    }
    reports
}

async fn run_one(environment: &Arc<Environment>, scenario: &'static Scenario) -> Report {
    let begin = Instant::now();
    let missing = scenario.needs.iter().find(|need| !environment.has(**need));
    let outcome = match missing {
        Some(need) => Outcome::Skipped(format!("needs {need:?}")),
        None => match play(environment, scenario).await {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        },
    };
    Report {
        scenario,
        outcome,
        took: begin.elapsed(),
    }
}

async fn play(environment: &Arc<Environment>, scenario: &Scenario) -> anyhow::Result<()> {
    let world = Arc::new(World::open(environment.clone(), scenario.name).await?);
    let run = AssertUnwindSafe((scenario.run)(world.clone())).catch_unwind();
    let result = match tokio::time::timeout(LIMIT, run).await {
        Err(_) => Err(anyhow::anyhow!("not done after {LIMIT:?}")),
        Ok(Err(_)) => Err(anyhow::anyhow!("panicked")),
        Ok(Ok(result)) => result,
    };
    if scenario.alone {
        // Also after a failure in the middle.
        environment.operator.lock().await.start()?;
    }
    let closed = match Arc::into_inner(world) {
        Some(world) => world.close().await,
        None => Ok(()),
    };
    result.and(closed)
}

/// One line of the table.
pub fn line(report: &Report) -> String {
    let (word, why) = match &report.outcome {
        Outcome::Passed => ("ok", ""),
        Outcome::Failed(why) => ("FAILED", why.as_str()),
        Outcome::Skipped(why) => ("skipped", why.as_str()),
    };
    let Scenario { name, what, .. } = report.scenario;
    let mut line = format!(
        "{word:<8}{:>6.1}s  {name:<32}{what}",
        report.took.as_secs_f64()
    );
    if !why.is_empty() {
        let _ = write!(line, "\n        {}", why.replace('\n', "\n        "));
    }
    line
}

/// The count of each result, in a sentence.
pub fn summary(reports: &[Report]) -> String {
    let count =
        |wanted: fn(&Outcome) -> bool| reports.iter().filter(|r| wanted(&r.outcome)).count();
    format!(
        "{} scenarios: {} passed, {} failed, {} skipped",
        reports.len(),
        count(|o| matches!(o, Outcome::Passed)),
        failed(reports),
        count(|o| matches!(o, Outcome::Skipped(_))),
    )
}

/// How many failed.
pub fn failed(reports: &[Report]) -> usize {
    let failed = |r: &&Report| matches!(r.outcome, Outcome::Failed(_));
    reports.iter().filter(failed).count()
}
