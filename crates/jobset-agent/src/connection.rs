//! How the API server is found, and what is asked of it.

use std::time::Duration;

use futures::StreamExt as _;
use jobset_api::constants::{IN_PLACE_RESTART_AGENT, IN_PLACE_RESTART_ATTEMPT_KEY};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use serde_json::json;
use thiserror::Error;

use crate::backoff::Backoff;
use crate::orders::JobSetView;

/// Time limit of a single write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a list, which may begin with the longest pause after failures.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// `KUBECONFIG` names something that cannot be used.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither a Pod nor a kubeconfig.
    #[error(
        "the API server is not known: not in a Pod of a cluster ({incluster}), no kubeconfig ({kubeconfig})"
    )]
    Unknown {
        /// What the Pod lacks.
        incluster: kube::config::InClusterError,
        /// Why there is no kubeconfig.
        kubeconfig: kube::config::KubeconfigError,
    },
    /// The client could not be made.
    #[error("cannot make a client: {0}")]
    Client(#[from] kube::Error),
}

/// A client of the API server that `KUBECONFIG` names, or the Pod's own account, or
/// `~/.kube/config`.
pub async fn connect() -> Result<Client, ConnectError> {
    let options = KubeConfigOptions::default();
    let mut config = match Kubeconfig::from_env()? {
        Some(read) => Config::from_custom_kubeconfig(read, &options).await?,
        None => match Config::incluster() {
            Ok(config) => config,
            Err(incluster) => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                Err(kubeconfig) => {
                    return Err(ConnectError::Unknown {
                        incluster,
                        kubeconfig,
                    });
                }
            },
        },
    };
    // The agent repeats its requests itself.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Why the attempt was not written.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("no answer within {WRITE_TIMEOUT:?}")]
    TimedOut,
}

impl ReportError {
    /// What helps, if it is known.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Api(kube::Error::Api(status)) => match status.code {
                403 => "; the Pod's service account needs the verb patch on pods",
                404 => "; is POD_NAME the name of this Pod?",
                _ => "",
            },
            _ => "",
        }
    }
}

/// Writes the attempt on the Pod: this annotation and nothing else.
pub(crate) async fn report(pods: &Api<Pod>, pod: &str, attempt: i64) -> Result<(), ReportError> {
    let patch = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": {IN_PLACE_RESTART_ATTEMPT_KEY: attempt.to_string()}},
    });
    let params = PatchParams::apply(IN_PLACE_RESTART_AGENT).force();
    let patch = Patch::Apply(&patch);
    let written = pods.patch_metadata(pod, &params, &patch);
    match tokio::time::timeout(WRITE_TIMEOUT, written).await {
        Ok(written) => Ok(written.map(|_| ())?),
        Err(_) => Err(ReportError::TimedOut),
    }
}

/// Calls `tell` with every state of the JobSet, for ever.
///
/// The first list is answered by the store itself, never by a cache that lags behind: an attempt
/// chosen by an old status would be the current one, and this Pod would run without the others.
pub(crate) async fn follow(jobsets: Api<JobSetView>, name: &str, tell: impl Fn(JobSetView)) {
    loop {
        follow_until_stuck(jobsets.clone(), name, &tell).await;
        tracing::warn!("the list of JobSets has no answer within {LIST_TIMEOUT:?}, trying again");
    }
}

/// Returns when a list is not answered. A watch that falls silent is noticed by the watcher itself.
async fn follow_until_stuck(jobsets: Api<JobSetView>, name: &str, tell: &impl Fn(JobSetView)) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(jobsets, config).backoff(Backoff::default()));
    let (mut listing, mut seen) = (true, false);
    loop {
        let event = if listing {
            match tokio::time::timeout(LIST_TIMEOUT, events.next()).await {
                Ok(event) => event,
                Err(_) => return,
            }
        } else {
            events.next().await
        };
        // The watcher itself never ends.
        let Some(event) = event else { return };
        match event {
            Ok(Event::Init) => (listing, seen) = (true, false),
            Ok(Event::InitApply(jobset) | Event::Apply(jobset)) => {
                seen = true;
                tell(jobset);
            }
            Ok(Event::InitDone) => {
                listing = false;
                if !seen {
                    tracing::warn!(jobset = name, "there is no such JobSet; waiting for it");
                }
            }
            Ok(Event::Delete(_)) => tracing::info!(jobset = name, "the JobSet is gone"),
            Err(error) => {
                let hint = hint(&error);
                tracing::warn!("the JobSet cannot be watched, trying again: {error}{hint}");
            }
        }
    }
}

/// What helps, if it is known.
fn hint(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            "; the Pod's service account needs the verbs get, list and watch on jobsets"
        }
        _ => "",
    }
}
