//! `jobset restart`: deletes Jobs, which the controller then creates again.

use std::sync::Arc;

use anyhow::bail;
use futures::StreamExt as _;
use jobset_api::constants as keys;
use jobset_api::{JobSet, conditions};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt as _};

use crate::args::RestartArgs;
use crate::exit::Exit;
use crate::{cluster, output, view};

/// Deletions in flight.
const PARALLEL: usize = 16;

/// Restarts the Jobs that are asked for.
pub(super) async fn main(args: &RestartArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let snapshot = cluster::snapshot(&at, &args.name, false).await?;
    let (jobset, jobs) = (&snapshot.jobset, &snapshot.jobs);
    let chosen = choose(jobset, jobs, args)?;
    let api: Api<Job> = at.api();
    let deletions = chosen.iter().map(|job| {
        let api = api.clone();
        let name = job.name_any();
        // Of a Job that was created meanwhile nobody has asked a restart.
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions {
                uid: job.uid(),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        async move {
            match api.delete(&name, &params).await {
                // Gone, or another one has its name: it is being restarted already.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(cluster::plain(error).context(name)),
                Ok(_) => Ok(()),
            }
        }
    });
    let results: Vec<anyhow::Result<()>> = futures::stream::iter(deletions)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    for result in results {
        result?;
    }
    let jobs = view::count(chosen.len() as i64, "Job");
    output::text(&format!(
        "{jobs} of JobSet {} deleted, to be created again by its controller\n",
        args.name
    ))?;
    Ok(Exit::Completed)
}

/// The Jobs to delete.
fn choose<'a>(
    jobset: &JobSet,
    jobs: &'a [Arc<Job>],
    args: &RestartArgs,
) -> anyhow::Result<Vec<&'a Job>> {
    let name = jobset.name();
    if conditions::is_finished(jobset) {
        bail!("JobSet {name} has finished: its Jobs are not created again; make a new JobSet");
    }
    if jobset.is_suspended() {
        bail!("JobSet {name} is suspended: nothing runs; start it with: jobset resume {name}");
    }
    let role = args
        .role
        .as_deref()
        .or(args.job.as_ref().map(|(role, _)| role.as_str()));
    if let Some(role) = role
        && jobset.replicated_job(role).is_none()
    {
        let roles = jobset.spec.replicated_jobs.iter();
        let roles: Vec<&str> = roles.map(|role| role.name.as_str()).collect();
        bail!(
            "JobSet {name} has no replicated job {role:?}; it has {}",
            roles.join(", ")
        );
    }
    let index = args.job.as_ref().map(|(_, index)| index.to_string());
    let wanted = |job: &&Job| {
        let is = |key: &str, value: &str| job.labels().get(key).is_some_and(|have| have == value);
        job.metadata.deletion_timestamp.is_none()
            && role.is_none_or(|role| is(keys::REPLICATED_JOB_NAME_KEY, role))
            && index
                .as_deref()
                .is_none_or(|index| is(keys::JOB_INDEX_KEY, index))
    };
    let chosen: Vec<&Job> = jobs.iter().map(Arc::as_ref).filter(wanted).collect();
    if chosen.is_empty() {
        bail!("JobSet {name} has no such Job at present, or it is being deleted already");
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::ConnectionArgs;
    use crate::view::testing;

    #[test]
    fn what_is_named_is_chosen() {
        let set = testing::jobset(&json!({}));
        let jobs = [
            testing::job("leader", 0, &json!({})),
            testing::job("workers", 0, &json!({})),
            testing::job("workers", 1, &json!({})),
        ]
        .map(Arc::new);
        let chosen = |set: &JobSet, role: Option<&str>, job: Option<(&str, u32)>| {
            let args = RestartArgs {
                name: "js".to_owned(),
                role: role.map(str::to_owned),
                job: job.map(|(role, index)| (role.to_owned(), index)),
                connection: ConnectionArgs::default(),
            };
            choose(set, &jobs, &args)
                .map(|jobs| {
                    jobs.iter()
                        .map(|job| job.name_any())
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .map_err(|error| error.to_string())
        };
        let ok = |names: &str| Ok(names.to_owned());
        assert_eq!(
            chosen(&set, None, None),
            ok("js-leader-0 js-workers-0 js-workers-1")
        );
        assert_eq!(
            chosen(&set, Some("workers"), None),
            ok("js-workers-0 js-workers-1")
        );
        assert_eq!(chosen(&set, None, Some(("workers", 1))), ok("js-workers-1"));
        let refused = |result: Result<String, String>, why: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(chosen(&set, Some("other"), None), "it has leader, workers");
        refused(chosen(&set, None, Some(("workers", 2))), "no such Job");
        let mut suspended = set.clone();
        suspended.spec.suspend = Some(true);
        refused(chosen(&suspended, None, None), "jobset resume js");
    }
}
