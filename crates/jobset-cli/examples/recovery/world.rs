//! The one-machine cluster with the controller in it, and what it was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jobset_api::{FeatureGates, JobSet};
use jobset_cli::admission::JobSetAdmission;
use jobset_controller::{Controller, ControllerOptions, Stats};
use jobset_local::cluster::{Cluster, ClusterOptions};
use kube::Api;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any recovery takes; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// Counters that stand still for so long have reached their end.
const QUIET: Duration = Duration::from_secs(1);

/// Requests by (verb, resource).
type Requests = BTreeMap<(String, String), u64>;

/// A running cluster.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    stats: Arc<Stats>,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), jobset_controller::Error>>,
}

/// What was asked so far, or between two moments.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// By the JobSet controller.
    pub(crate) controller: Requests,
    /// By everyone.
    pub(crate) all: Requests,
    /// Creations of what existed, and status writes of what had changed.
    pub(crate) in_vain: u64,
}

impl Asked {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let less = |now: &Requests, then: &Requests| {
            now.iter()
                .map(|(key, n)| (key.clone(), n - then.get(key).unwrap_or(&0)))
                .filter(|(_, n)| *n > 0)
                .collect()
        };
        Self {
            controller: less(&self.controller, &earlier.controller),
            all: less(&self.all, &earlier.all),
            in_vain: self.in_vain - earlier.in_vain,
        }
    }

    /// How often the controller sent a request.
    pub(crate) fn by_controller(&self, verb: &str, resource: &str) -> u64 {
        count(&self.controller, verb, resource)
    }

    /// How often anybody did.
    pub(crate) fn by_all(&self, verb: &str, resource: &str) -> u64 {
        count(&self.all, verb, resource)
    }
}

fn count(requests: &Requests, verb: &str, resource: &str) -> u64 {
    let key = (verb.to_owned(), resource.to_owned());
    requests.get(&key).copied().unwrap_or_default()
}

impl World {
    pub(crate) async fn start(
        options: ClusterOptions,
        gates: FeatureGates,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::start(ClusterOptions {
            admission: Some(Arc::new(JobSetAdmission::new(gates))),
            crds: vec![jobset_api::crd::crd_value().clone()],
            ..options
        })
        .await?;
        let options = ControllerOptions {
            gates,
            ..ControllerOptions::default()
        };
        let controller = Controller::new(cluster.client(), options);
        let (stats, stop) = (controller.stats(), CancellationToken::new());
        Ok(Self {
            cluster,
            stats,
            controller: tokio::spawn(controller.run(stop.clone())),
            stop,
        })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = self.controller.await;
        self.cluster.shutdown().await;
        ended?.context("the controller ended")
    }

    pub(crate) fn jobsets(&self) -> Api<JobSet> {
        Api::default_namespaced(self.cluster.client())
    }

    pub(crate) async fn create(&self, jobset: Value) -> anyhow::Result<JobSet> {
        let jobset = serde_json::from_value(jobset)?;
        Ok(self
            .jobsets()
            .create(&PostParams::default(), &jobset)
            .await?)
    }

    /// Waits until a JobSet is as it should be.
    pub(crate) async fn until(
        &self,
        name: &str,
        condition: impl Fn(&JobSet) -> bool,
    ) -> anyhow::Result<JobSet> {
        let over = |jobset: &JobSet| {
            let status = jobset.status.as_ref();
            status.is_some_and(|status| !status.terminal_state.is_empty())
        };
        let wanted = |jobset: Option<&JobSet>| jobset.is_some_and(|j| condition(j) || over(j));
        let found = timeout(PATIENCE, await_condition(self.jobsets(), name, wanted))
            .await
            .with_context(|| format!("{name} does not become what it should be"))??
            .with_context(|| format!("{name} is gone"))?;
        if !condition(&found) {
            bail!("{name} ended: {:#?}", found.status);
        }
        Ok(found)
    }

    fn asked(&self) -> Asked {
        let own = self.stats.requests();
        let own = own
            .into_iter()
            .map(|((verb, resource), n)| ((verb.to_owned(), resource.to_owned()), n));
        Asked {
            controller: own.collect(),
            all: self.cluster.api().stats().requests,
            in_vain: self.stats.duplicate_creates() + self.stats.conflicts(),
        }
    }

    /// What was asked, once nobody asks any more.
    pub(crate) async fn asked_in_the_end(&self) -> Asked {
        let mut before = self.asked();
        loop {
            sleep(QUIET).await;
            let now = self.asked();
            if now == before {
                return now;
            }
            before = now;
        }
    }
}
