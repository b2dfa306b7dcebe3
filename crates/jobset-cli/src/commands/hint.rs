//! `jobset exec` and `jobset port-forward`: which kubectl command does that for a Pod of a JobSet.

use std::sync::Arc;

use anyhow::bail;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::args::{ConnectionArgs, ExecArgs, PodArgs, PortForwardArgs};
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::output;
use crate::up::quoted;
use crate::view::PodPlace;

/// Prints `kubectl exec ...`.
pub(super) async fn exec(args: &ExecArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let pod = find(&at, &args.pods).await?;
    let mut words = kubectl("exec", &args.connection, &at);
    words.extend(["-it".to_owned(), pod.name_any()]);
    if let Some(container) = &args.pods.container {
        words.extend(["-c".to_owned(), container.clone()]);
    }
    words.push("--".to_owned());
    words.extend(args.command.iter().cloned());
    print(&words)
}

/// Prints `kubectl port-forward ...`.
pub(super) async fn port_forward(args: &PortForwardArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let pod = find(&at, &args.pods).await?;
    let mut words = kubectl("port-forward", &args.connection, &at);
    words.push(format!("pod/{}", pod.name_any()));
    words.extend(args.ports.iter().cloned());
    print(&words)
}

fn print(words: &[String]) -> anyhow::Result<Exit> {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    output::text(&format!("{}\n", words.join(" ")))?;
    Ok(Exit::Completed)
}

/// The command with the flags that lead to the same cluster.
fn kubectl(command: &str, connection: &ConnectionArgs, at: &Connection) -> Vec<String> {
    let mut words = vec!["kubectl".to_owned()];
    if let Some(path) = &connection.kubeconfig {
        words.extend([
            "--kubeconfig".to_owned(),
            path.to_string_lossy().into_owned(),
        ]);
    }
    if let Some(context) = &connection.context {
        words.extend(["--context".to_owned(), context.clone()]);
    }
    words.extend(["-n".to_owned(), at.namespace.clone(), command.to_owned()]);
    words
}

/// The one running Pod that is meant.
async fn find(at: &Connection, args: &PodArgs) -> anyhow::Result<Pod> {
    let snapshot = cluster::snapshot(at, &args.name, false).await?;
    let running = |pod: &&Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    };
    let pods = snapshot.pods.iter().map(Arc::as_ref);
    let matching = pods.filter(|pod| args.selects(&PodPlace::of(*pod)));
    let mut pods: Vec<&Pod> = matching.filter(running).collect();
    pods.sort_by_key(|pod| pod.name_any());
    match pods.as_slice() {
        [] => bail!("no such Pod of JobSet {} is running", args.name),
        [pod] => Ok((*pod).clone()),
        many => {
            let names: Vec<String> = many
                .iter()
                .take(5)
                .map(|pod| PodPlace::of(*pod).short_name())
                .collect();
            let more = if many.len() > 5 { ", …" } else { "" };
            bail!(
                "{} Pods are meant ({}{more}): choose one with --role, --job and --pod",
                many.len(),
                names.join(", ")
            )
        }
    }
}
