//! `jobset completion`: scripts for shells, and what they ask for while the user types.
//!
//! A script calls this program with an environment variable set, and gets what fits. So it can
//! offer the names that are on the cluster at that moment.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use jobset_api::JobSet;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::args::{Cli, ConnectionArgs};
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::{engine, output};

/// The variable by which a script tells that it is asking.
const VARIABLE: &str = "JOBSET_COMPLETE";
/// A cluster that does not answer must not keep anybody from typing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers a script and ends the process, if it is a script that asks.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// Prints the script.
pub(crate) fn main(shell: Shell) -> anyhow::Result<Exit> {
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&shell.to_string()) else {
        anyhow::bail!("there is no script for {shell}");
    };
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "jobset", "jobset", "jobset", &mut script)?;
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Completed)
}

/// JobSets of the namespace that is being typed.
pub(crate) fn jobsets(current: &OsStr) -> Vec<CompletionCandidate> {
    ask(current, async |at| {
        let sets = cluster::all(at.api::<JobSet>(), &ListParams::default(), |_| {}).await?;
        Ok(sets.iter().map(|set| set.name().to_owned()).collect())
    })
}

/// Replicated jobs of the JobSets of the namespace.
pub(crate) fn roles(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = typed();
    ask(current, async |at| {
        let sets = cluster::all(at.api::<JobSet>(), &ListParams::default(), |_| {}).await?;
        // Those of the JobSet that the line names; of all, as long as it names none.
        let named = sets
            .iter()
            .find(|set| words.iter().any(|word| word == set.name()));
        let sets: Vec<&JobSet> = named.map_or_else(|| sets.iter().collect(), |set| vec![set]);
        let roles = sets.iter().flat_map(|set| &set.spec.replicated_jobs);
        Ok(roles.map(|role| role.name.clone()).collect())
    })
}

/// Namespaces of the cluster.
pub(crate) fn namespaces(current: &OsStr) -> Vec<CompletionCandidate> {
    ask(current, async |at| {
        let api: Api<Namespace> = Api::all(at.client.clone());
        let all = cluster::all(api, &ListParams::default(), |_| {}).await?;
        Ok(all.iter().map(ResourceExt::name_any).collect())
    })
}

/// Contexts of the kubeconfig.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let file = match connection(&typed()).kubeconfig {
        Some(path) => kube::config::Kubeconfig::read_from(path),
        None => kube::config::Kubeconfig::read(),
    };
    let contexts = file.map(|file| file.contexts).unwrap_or_default();
    fitting(
        current,
        contexts.into_iter().map(|context| context.name).collect(),
    )
}

/// Asks the cluster that the line leads to. Whatever goes wrong, nothing is offered: there is no place
/// for a message.
fn ask(
    current: &OsStr,
    names: impl AsyncFnOnce(Connection) -> anyhow::Result<Vec<String>>,
) -> Vec<CompletionCandidate> {
    let found = engine::block_on(async {
        tokio::time::timeout(PATIENCE, async {
            names(cluster::connect(&connection(&typed())).await?).await
        })
        .await?
    });
    fitting(current, found.unwrap_or_default())
}

fn fitting(current: &OsStr, mut names: Vec<String>) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    names.retain(|name| name.starts_with(&*begun));
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The words of the line, which the script passes after `--`.
fn typed() -> Vec<String> {
    std::env::args()
        .skip_while(|word| word != "--")
        .skip(1)
        .collect()
}

/// The flags that say which cluster and namespace, in a line that need not be complete.
fn connection(words: &[String]) -> ConnectionArgs {
    let value = |flags: &[&str]| {
        words.iter().enumerate().find_map(|(place, word)| {
            if flags.contains(&word.as_str()) {
                return words.get(place + 1).cloned();
            }
            flags.iter().find_map(|flag| {
                let rest = word.strip_prefix(flag)?;
                rest.strip_prefix('=').map(str::to_owned)
            })
        })
    };
    ConnectionArgs {
        kubeconfig: value(&["--kubeconfig"]).map(PathBuf::from),
        context: value(&["--context"]),
        namespace: value(&["--namespace", "-n"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_the_cluster_is() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let args = connection(&words);
            (args.kubeconfig, args.context, args.namespace)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("jobset explain -n team --context=c "),
            (None, text("c"), text("team"))
        );
        assert_eq!(
            of("jobset list --kubeconfig k"),
            (Some("k".into()), None, None)
        );
        assert_eq!(of("jobset list --namespace"), (None, None, None));
    }
}
