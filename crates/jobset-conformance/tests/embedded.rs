//! All scenarios on the embedded cluster. `CONFORMANCE=text` chooses those whose name contains it.

use std::path::PathBuf;
use std::sync::Arc;

use jobset_conformance::environment::Environment;
use jobset_conformance::runner;

fn kubectl() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("kubectl"))
        .find(|file| file.is_file())
}

#[expect(clippy::print_stdout, reason = "the table of results")]
async fn run(environment: Environment, chosen: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let environment = Arc::new(environment);
    let filter = std::env::var("CONFORMANCE").unwrap_or_default();
    let choose = |name: &str| chosen(name) && name.contains(&filter);
    let reports = runner::run(&environment, &choose, |report| {
        println!("{}", runner::line(report));
    })
    .await;
    environment.shutdown().await?;
    println!("{}", runner::summary(&reports));
    assert_eq!(runner::failed(&reports), 0);
    assert!(!reports.is_empty() || !filter.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_the_embedded_cluster() {
    let kubectl = kubectl();
    if kubectl.is_none() {
        println!("no kubectl on PATH: the user's requests are made directly");
    }
    let environment = Environment::embedded(kubectl).await.unwrap();
    run(environment, |_| true).await.unwrap();
}

/// What webhooks could make a difference for, as `cargo xtask conformance` chooses it.
const WITHOUT_WEBHOOKS: &[&str] = &[
    "labels",
    "exclusive",
    "schema-rules",
    "policy-rules",
    "restart",
    "suspend",
    "success",
    "claims",
    "no-short-names",
];

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_without_webhooks() {
    let environment = Environment::embedded_without_webhooks(kubectl());
    let chosen = |name: &str| WITHOUT_WEBHOOKS.iter().any(|part| name.contains(part));
    run(environment.await.unwrap(), chosen).await.unwrap();
}
