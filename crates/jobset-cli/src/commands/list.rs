//! `jobset list`: one line for each JobSet.

use jobset_api::JobSet;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use crate::args::{ListArgs, OutputKind};
use crate::exit::Exit;
use crate::view::{self, SetView};
use crate::{cluster, output, style};

/// Roles that are named in a line; a JobSet may have dozens.
const ROLES: usize = 6;

/// Lists JobSets.
pub(super) async fn main(args: &ListArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let api: Api<JobSet> = if args.all_namespaces {
        Api::all(at.client.clone())
    } else {
        Api::namespaced(at.client.clone(), &at.namespace)
    };
    let mut params = ListParams::default();
    if let Some(selector) = &args.selector {
        params = params.labels(selector);
    }
    let mut jobsets = cluster::all(api, &params, |_| {}).await?;
    let key = |set: &JobSet| (set.namespace().to_owned(), set.name().to_owned());
    jobsets.sort_by_key(key);
    let mut sets: Vec<SetView> = jobsets.iter().map(SetView::of).collect();
    cluster::look_up_queues(&at, &mut sets, |place| jobsets[place].uid().to_owned()).await;
    match args.output {
        OutputKind::Json => output::json(&serde_json::json!({ "jobsets": sets }))?,
        OutputKind::Text if sets.is_empty() => {
            let place = if args.all_namespaces {
                "in any namespace".to_owned()
            } else {
                format!("in namespace {:?}", at.namespace)
            };
            eprintln!("no JobSets {place}");
        }
        OutputKind::Text => {
            let rows = rows(&sets, args.all_namespaces, Timestamp::now());
            output::text(&view::table(&rows, style::enabled_on_stdout()))?;
        }
    }
    Ok(Exit::Completed)
}

/// The table. A column that would be empty is left out.
fn rows(sets: &[SetView], namespaces: bool, now: Timestamp) -> Vec<Vec<String>> {
    let queues = sets.iter().any(|set| set.queue.is_some());
    let row = |namespace: &str, cells: [String; 4], queue: &str, roles: String| {
        let mut row = Vec::new();
        if namespaces {
            row.push(namespace.to_owned());
        }
        row.extend(cells);
        if queues {
            row.push(queue.to_owned());
        }
        row.push(roles);
        row
    };
    let head = ["NAME", "STATE", "RESTARTS", "AGE"].map(str::to_owned);
    let mut rows = vec![row("NAMESPACE", head, "QUEUE", "READY".to_owned())];
    for set in sets {
        let cells = [
            set.name.clone(),
            set.state.to_owned(),
            set.restarts.to_string(),
            view::age(set.created.as_ref().map(|time| time.0), now),
        ];
        let queue = set.queue.as_ref().map(view::QueueState::brief);
        let mut roles: Vec<String> = set
            .roles
            .iter()
            .take(ROLES)
            .map(|role| {
                let up = role.ready + role.succeeded;
                format!("{} {up}/{}", role.name, role.replicas)
            })
            .collect();
        if set.roles.len() > ROLES {
            roles.push(format!("… {} more", set.roles.len() - ROLES));
        }
        let queue = queue.unwrap_or_default();
        rows.push(row(&set.namespace, cells, &queue, roles.join(", ")));
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::testing;

    #[test]
    fn columns_appear_when_they_hold_something() {
        let mut set = testing::jobset(&json!({"restarts": 3, "replicatedJobsStatus": [
            {"name": "workers", "ready": 1, "active": 1, "succeeded": 1, "failed": 0, "suspended": 0}]}));
        let plain = rows(&[SetView::of(&set)], false, testing::now());
        assert_eq!(plain[0], ["NAME", "STATE", "RESTARTS", "AGE", "READY"]);
        assert_eq!(
            plain[1],
            ["js", "Starting", "3", "10m", "leader 0/1, workers 2/2"]
        );
        set.metadata.labels =
            Some([("kueue.x-k8s.io/queue-name".to_owned(), "gpus".to_owned())].into());
        let full = rows(&[SetView::of(&set)], true, testing::now());
        assert_eq!(full[0][0], "NAMESPACE");
        assert_eq!(full[1][5], "gpus");
    }
}
