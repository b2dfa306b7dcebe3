//! Which runs of which containers are read. Pure.

use std::sync::Arc;

use jobset_api::JobSetStatus;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;

use crate::args::LogsArgs;
use crate::view::PodPlace;

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) place: PodPlace,
    pub(crate) pod: String,
    /// The Pod's uid, container and number of the run: never the same for two runs.
    pub(crate) id: (String, String, i32),
    pub(crate) container: String,
    /// Whether the container has been started again since.
    pub(crate) previous: bool,
    /// Whether the Pod has other containers.
    pub(crate) several: bool,
}

/// The runs that there are logs of, in a stable order.
pub(super) fn sources(
    pods: &[Arc<Pod>],
    args: &LogsArgs,
    status: Option<&JobSetStatus>,
) -> Vec<Source> {
    let attempt = status.map_or(0, |status| status.restarts);
    let mut all: Vec<Source> = pods
        .iter()
        .filter(|pod| {
            let place = PodPlace::of(pod.as_ref());
            args.pods.selects(&place) && (args.previous_attempts || place.attempt >= attempt)
        })
        .flat_map(|pod| of_pod(pod, args))
        .collect();
    let key = |source: &Source| {
        let number = |index: &str| index.parse::<i64>().unwrap_or(i64::MAX);
        let place = &source.place;
        (
            place.role.clone(),
            number(&place.job_index),
            number(&place.pod_index),
            place.attempt,
            source.pod.clone(),
        )
    };
    // Containers stay in the order of the Pod.
    all.sort_by_key(key);
    all
}

fn of_pod(pod: &Pod, args: &LogsArgs) -> Vec<Source> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let containers: Vec<&ContainerStatus> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .collect();
    let several = containers.len() > 1;
    let mut found = Vec::new();
    for container in containers {
        let wanted = args.pods.container.as_ref();
        if wanted.is_some_and(|name| *name != container.name) {
            continue;
        }
        let source = |run: i32, previous: bool| Source {
            place: PodPlace::of(pod),
            pod: pod.name_any(),
            id: (pod.uid().unwrap_or_default(), container.name.clone(), run),
            container: container.name.clone(),
            previous,
            several,
        };
        if args.previous_attempts && container.restart_count > 0 {
            found.push(source(container.restart_count - 1, true));
        }
        let state = container.state.as_ref();
        // Between two runs of a container the API gives the log of the one before.
        let between = || container.restart_count > 0 && !args.previous_attempts;
        if state.is_some_and(|s| s.running.is_some() || s.terminated.is_some()) || between() {
            found.push(source(container.restart_count, false));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::args::{Cli, ClusterCommand, Command};
    use crate::view::testing;

    fn args(more: &[&str]) -> LogsArgs {
        let words = ["jobset", "logs", "js"].iter().chain(more);
        match Cli::parse_from(words).command {
            Command::OnCluster(ClusterCommand::Logs(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn container(name: &str, restarts: i32, state: Value) -> Value {
        json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state})
    }

    fn brief(pods: &[Pod], more: &[&str]) -> String {
        let status = JobSetStatus {
            restarts: 1,
            ..JobSetStatus::default()
        };
        let pods: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
        let found = sources(&pods, &args(more), Some(&status));
        let names = found.iter().map(|one| {
            let previous = if one.previous { "(previous)" } else { "" };
            format!("{}/{}{previous}", one.place.short_name(), one.container)
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_has_run_in_this_attempt_is_read_unless_more_is_asked_for() {
        let running = json!({"running": {}});
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        let status =
            |containers: &[Value]| json!({"phase": "Running", "containerStatuses": containers});
        let of_attempt = |mut pod: Pod, attempt: &str| {
            let labels = pod.metadata.labels.as_mut().unwrap();
            labels.insert(
                "jobset.sigs.k8s.io/restart-attempt".to_owned(),
                attempt.to_owned(),
            );
            pod
        };
        let two = status(&[
            container("main", 2, running.clone()),
            container("side", 0, running.clone()),
        ]);
        let pods = [
            of_attempt(testing::pod("workers", 10, 0, &two), "1"),
            of_attempt(
                testing::pod("workers", 2, 0, &status(&[container("main", 0, running)])),
                "1",
            ),
            of_attempt(
                testing::pod("leader", 0, 0, &status(&[container("main", 0, waiting)])),
                "1",
            ),
            of_attempt(testing::pod("workers", 1, 0, &two), "0"),
        ];
        assert_eq!(
            brief(&pods, &[]),
            "workers-2-0/main workers-10-0/main workers-10-0/side"
        );
        assert_eq!(
            brief(&pods, &["--job", "10", "-c", "side"]),
            "workers-10-0/side"
        );
        assert_eq!(
            brief(&pods, &["--previous-attempts", "-c", "main"]),
            "workers-1-0/main(previous) workers-1-0/main workers-2-0/main \
             workers-10-0/main(previous) workers-10-0/main"
        );
        assert_eq!(brief(&pods, &["--role", "leader"]), "");
    }
}
