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

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_on_the_embedded_cluster() {
    let kubectl = kubectl();
    if kubectl.is_none() {
        println!("no kubectl on PATH: the user's requests are made directly");
    }
    let environment = Arc::new(Environment::embedded(kubectl).await.unwrap());
    let filter = std::env::var("CONFORMANCE").unwrap_or_default();
    let reports = runner::run(&environment, &filter, |report| {
        println!("{}", runner::line(report));
    })
    .await;
    environment.shutdown().await.unwrap();
    println!("{}", runner::summary(&reports));
    assert!(!reports.is_empty() && runner::failed(&reports) == 0);
}
