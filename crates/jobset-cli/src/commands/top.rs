//! `jobset top`: what Pods use.

use anyhow::bail;
use jobset_api::constants as keys;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::{Value, json};

use crate::args::{OutputKind, ViewArgs};
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::view::{self, Usage};
use crate::{output, style};

const MEBIBYTE: u64 = 1 << 20;

/// Shows the figures.
pub(super) async fn main(args: &ViewArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let snapshot = cluster::snapshot(&at, &args.name, false).await?;
    let metrics = metrics(&at, &args.name).await?;
    let used = view::usage(&snapshot.pods, &metrics);
    match args.output {
        OutputKind::Json => {
            output::json(&json!({ "time": Timestamp::now().to_string(), "pods": used }))?;
        }
        OutputKind::Text if used.is_empty() => {
            eprintln!("no Pod of JobSet {} is running", args.name);
        }
        OutputKind::Text => {
            output::text(&view::table(&rows(&used), style::enabled_on_stdout()))?;
        }
    }
    Ok(Exit::Completed)
}

/// What the metrics API has about the Pods of a JobSet.
async fn metrics(at: &Connection, name: &str) -> anyhow::Result<Vec<Value>> {
    let kind = GroupVersionKind::gvk("metrics.k8s.io", "v1beta1", "PodMetrics");
    let resource = ApiResource::from_gvk_with_plural(&kind, "pods");
    let api: Api<DynamicObject> = Api::namespaced_with(at.client.clone(), &at.namespace, &resource);
    let params = ListParams::default().labels(&format!("{}={name}", keys::JOBSET_NAME_KEY));
    match api.list(&params).await {
        Ok(list) => {
            let objects = list.items.iter().map(serde_json::to_value);
            Ok(objects.collect::<Result<_, _>>()?)
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 503) => bail!(
            "this cluster serves no metrics.k8s.io (metrics-server would): there are no figures"
        ),
        Err(error) => Err(cluster::plain(error)),
    }
}

/// Pods, below each role's sum.
fn rows(used: &[Usage]) -> Vec<Vec<String>> {
    let head = ["ROLE", "POD", "NODE", "CPU", "MEMORY"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).into()];
    let cpu = |milli: Option<u64>| milli.map_or("?".to_owned(), |milli| format!("{milli}m"));
    let memory = |bytes: Option<u64>| {
        bytes.map_or("?".to_owned(), |bytes| {
            format!("{}Mi", bytes.div_ceil(MEBIBYTE))
        })
    };
    for of_role in used.chunk_by(|a, b| a.role == b.role) {
        let sum =
            |pick: fn(&Usage) -> Option<u64>| of_role.iter().filter_map(pick).reduce(|a, b| a + b);
        rows.push(vec![
            of_role
                .first()
                .map(|one| one.role.clone())
                .unwrap_or_default(),
            view::count(of_role.len() as i64, "Pod"),
            String::new(),
            cpu(sum(|one| one.milli_cpu)),
            memory(sum(|one| one.memory_bytes)),
        ]);
        for one in of_role {
            rows.push(vec![
                String::new(),
                one.pod.clone(),
                one.node.clone().unwrap_or_default(),
                cpu(one.milli_cpu),
                memory(one.memory_bytes),
            ]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::World;

    #[tokio::test]
    async fn a_cluster_without_figures_says_so() {
        // An API server that nobody measures for.
        let world = World::new().await;
        let error = metrics(&world.connection(), "js").await.unwrap_err();
        assert!(
            error.to_string().contains("serves no metrics.k8s.io"),
            "{error:#}"
        );
    }
}
