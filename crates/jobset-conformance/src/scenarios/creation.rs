//! What the controller makes of a new JobSet.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::objects::{job_key, jobset, role, role_with, with};
use crate::user::PatchKind;
use crate::world::World;

scenarios! { LIST, alone = false;
    "labels": "names, labels, annotations and owners of Jobs and Pods" => labels;
    "coordinator": "every Job and Pod knows the coordinator's address" => coordinator;
    "dns-service": "headless Service and host names" => dns_service;
    "dns-subdomain": "a subdomain of the user's own" => dns_subdomain;
    "dns-off": "no Service where host names are off" => dns_off;
    "claims": "shared volumes, kept or deleted with the JobSet" => claims;
    "recreate-deleted": "what somebody deletes comes back" => recreate_deleted;
    "managed-by": "JobSets of other controllers are left alone" => managed_by;
    "many-jobs": "100 Jobs, each created once" => many_jobs;
    "node-selector": "exclusive placement by node labels, with the cluster's scheduler" => node_selector;
    "exclusive": "exclusive placement by topology" => exclusive [PodAdmission];
    "schema-rules": "the API server itself refuses what can never be right" => schema_rules;
    "webhook-rules": "admission refuses what the schema cannot" => webhook_rules [JobSetAdmission];
    "elastic": "parallelism and completions change while Jobs run" => elastic [ElasticJobSet];
}

const PREFIX: &str = "jobset.sigs.k8s.io/";

/// All keys of the controller's on an object, without their prefix.
fn own(keys: &Value) -> BTreeMap<String, String> {
    let pairs = keys.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| {
            Some((
                key.strip_prefix(PREFIX)?.to_owned(),
                value.as_str()?.to_owned(),
            ))
        })
        .collect()
}

async fn labels(world: &World) -> anyhow::Result<()> {
    let more = json!({
        "groupName": "trainers",
        "template": {
            "metadata": {"labels": {"team": "blue"}, "annotations": {"note": "job"}},
            "spec": {"template": {"metadata": {"labels": {"tier": "gpu"}}}},
        },
    });
    let roles = vec![role("leader", 1), role_with("worker", 2, &more)];
    world.create(&jobset("js", roles)).await?;
    world
        .until_jobs(&["js-leader-0@0", "js-worker-0@0", "js-worker-1@0"])
        .await?;
    let uid = world.look(|s| {
        let jobset = s.get(Kind::JobSet, "js")?;
        jobset["metadata"]["uid"].as_str().map(str::to_owned)
    });
    let uid = uid.context("the JobSet is not seen")?;
    // (job, role, replicas, group, group replicas, index, global index, group index)
    let table = [
        ("js-leader-0", "leader", "1", "default", "1", "0", "0", "0"),
        ("js-worker-0", "worker", "2", "trainers", "2", "0", "1", "0"),
        ("js-worker-1", "worker", "2", "trainers", "2", "1", "2", "1"),
    ];
    for (name, role, replicas, group, group_replicas, index, global, in_group) in table {
        let key = job_key(world.namespace(), name);
        let expected: BTreeMap<String, String> = [
            ("jobset-name", "js"),
            ("jobset-uid", uid.as_str()),
            ("replicatedjob-name", role),
            ("replicatedjob-replicas", replicas),
            ("global-replicas", "3"),
            ("job-index", index),
            ("job-global-index", global),
            ("job-key", key.as_str()),
            ("group-name", group),
            ("group-replicas", group_replicas),
            ("job-group-index", in_group),
            ("restart-attempt", "0"),
            ("job-restart-attempt", "0"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let job = world
            .look(|s| s.get(Kind::Job, name).cloned())
            .context("no Job")?;
        world.until_running(name).await?;
        let pod = world
            .look(|s| crate::world::pods_of(s, &job).next().cloned())
            .context("no Pod")?;
        let template = &job["spec"]["template"];
        for (what, object) in [("Job", &job), ("template", template), ("Pod", &pod)] {
            let metadata = &object["metadata"];
            check_eq!(
                own(&metadata["labels"]),
                expected,
                "labels of {what} {name}"
            );
            check_eq!(
                own(&metadata["annotations"]),
                expected,
                "annotations of {what} {name}"
            );
        }
        check_eq!(
            job["metadata"]["ownerReferences"],
            json!([{
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "js",
                "uid": uid, "controller": true, "blockOwnerDeletion": true,
            }]),
            "owner of {name}"
        );
        check_eq!(job["spec"]["suspend"], json!(false), "suspend of {name}");
        if role == "worker" {
            check_eq!(
                job["metadata"]["labels"]["team"],
                "blue",
                "the user's label"
            );
            check_eq!(
                job["metadata"]["annotations"]["note"],
                "job",
                "the user's note"
            );
            check_eq!(pod["metadata"]["labels"]["tier"], "gpu", "the Pod's label");
        }
    }
    Ok(())
}

async fn coordinator(world: &World) -> anyhow::Result<()> {
    let spec = json!({"coordinator": {"replicatedJob": "b", "jobIndex": 1, "podIndex": 0}});
    let roles = vec![role("a", 1), role("b", 2)];
    world.create(&with(jobset("js", roles), &spec)).await?;
    world
        .until_jobs(&["js-a-0@0", "js-b-0@0", "js-b-1@0"])
        .await?;
    for name in ["js-a-0", "js-b-0", "js-b-1"] {
        let job = world
            .until_object(Kind::Job, name, "exists", |_| true)
            .await?;
        for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
            for keys in ["labels", "annotations"] {
                let address = own(&metadata[keys]).remove("coordinator");
                check_eq!(address.as_deref(), Some("js-b-1-0.js"), "{keys} of {name}");
            }
        }
    }
    Ok(())
}

async fn dns_service(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    let service = world
        .until_object(Kind::Service, "js", "exists", |_| true)
        .await?;
    check_eq!(service["spec"]["clusterIP"], "None", "cluster IP");
    check_eq!(
        service["spec"]["selector"],
        json!({"jobset.sigs.k8s.io/jobset-name": "js"}),
        "selector"
    );
    check_eq!(
        service["spec"]["publishNotReadyAddresses"],
        json!(true),
        "unready addresses"
    );
    check_eq!(
        service["metadata"]["ownerReferences"][0]["kind"],
        "JobSet",
        "owner"
    );
    for job in ["js-w-0", "js-w-1"] {
        let pods = world.until_running(job).await?;
        let pod = world
            .look(|s| s.get(Kind::Pod, &pods[0]).cloned())
            .context("no Pod")?;
        check_eq!(
            pod["spec"]["hostname"],
            json!(format!("{job}-0")),
            "host name"
        );
        check_eq!(pod["spec"]["subdomain"], "js", "subdomain");
        ensure!(pods[0].starts_with(&format!("{job}-0-")), "{pods:?}");
    }
    Ok(())
}

async fn dns_subdomain(world: &World) -> anyhow::Result<()> {
    let spec = json!({"network": {"subdomain": "mesh", "publishNotReadyAddresses": false}});
    world
        .create(&with(jobset("js", vec![role("w", 1)]), &spec))
        .await?;
    let service = world
        .until_object(Kind::Service, "mesh", "exists", |_| true)
        .await?;
    ensure!(
        service["spec"]["publishNotReadyAddresses"] != json!(true),
        "unready addresses are published"
    );
    let job = world
        .until_object(Kind::Job, "js-w-0", "exists", |_| true)
        .await?;
    check_eq!(
        job["spec"]["template"]["spec"]["subdomain"],
        "mesh",
        "subdomain"
    );
    Ok(())
}

async fn dns_off(world: &World) -> anyhow::Result<()> {
    let spec = json!({"network": {"enableDNSHostnames": false}});
    world
        .create(&with(jobset("js", vec![role("w", 1)]), &spec))
        .await?;
    world.until_ready("js", 1).await?;
    let job = world
        .until_object(Kind::Job, "js-w-0", "exists", |_| true)
        .await?;
    check_eq!(
        job["spec"]["template"]["spec"]["subdomain"],
        Value::Null,
        "subdomain"
    );
    let services = world.look(|s| s.names(Kind::Service).len());
    check_eq!(services, 0, "Services");
    Ok(())
}

async fn claims(world: &World) -> anyhow::Result<()> {
    let claim = |name: &str| {
        json!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": {"accessModes": ["ReadWriteOnce"],
                     "resources": {"requests": {"storage": "1Gi"}}},
        })
    };
    let spec = json!({"suspend": true, "volumeClaimPolicies": [
        {"templates": [claim("scratch")], "retentionPolicy": {"whenDeleted": "Delete"}},
        {"templates": [claim("results")], "retentionPolicy": {"whenDeleted": "Retain"}},
    ]});
    let mounts = |name: &str| {
        json!({"template": {"spec": {"template": {"spec": {"containers": [{
            "name": "main", "image": "example.com/work:1",
            "volumeMounts": [{"name": name, "mountPath": "/data"}],
        }]}}}}})
    };
    let roles = vec![
        role_with("w", 1, &mounts("results")),
        role_with("x", 1, &mounts("scratch")),
        role("y", 1),
    ];
    world.create(&with(jobset("js", roles), &spec)).await?;
    for (name, owned) in [("scratch-js", true), ("results-js", false)] {
        let claim = world
            .until_object(Kind::Claim, name, "exists", |_| true)
            .await?;
        let labels = &claim["metadata"]["labels"];
        check_eq!(own(labels)["jobset-name"], "js", "label of {name}");
        ensure!(labels["disk"].is_string(), "{name} lacks the user's label");
        let owners = claim["metadata"]["ownerReferences"].as_array();
        check_eq!(
            owners.is_some_and(|o| !o.is_empty()),
            owned,
            "{name} is owned"
        );
    }
    let volumes = |name| async move {
        world
            .until_object(Kind::Job, name, "exists", |_| true)
            .await
            .map(|job| job["spec"]["template"]["spec"]["volumes"].clone())
    };
    check_eq!(
        volumes("js-w-0").await?,
        json!([{"name": "results", "persistentVolumeClaim": {"claimName": "results-js"}}]),
        "volumes of the Job that mounts one"
    );
    check_eq!(
        volumes("js-y-0").await?,
        Value::Null,
        "volumes of the other Job"
    );

    world.user.delete(Kind::JobSet, "js", "background").await?;
    world
        .until("the scratch claim goes", |state| {
            match state.get(Kind::Claim, "scratch-js") {
                None => Some(()),
                // A cluster that protects claims lets it go when it is sure that none uses it.
                Some(claim) => crate::world::is_deleted(claim).then_some(()),
            }
        })
        .await?;
    let kept = world.look(|s| s.get(Kind::Claim, "results-js").cloned());
    let kept = kept.context("the results are gone")?;
    ensure!(!crate::world::is_deleted(&kept), "the results are deleted");
    Ok(())
}

async fn recreate_deleted(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world.until_ready("js", 2).await?;
    world.user.delete(Kind::Job, "js-w-1", "background").await?;
    world.user.delete(Kind::Service, "js", "background").await?;
    world
        .until("Job and Service are new", |state| {
            let job = state.incarnations(Kind::Job, "js-w-1").len() == 2;
            let service = state.incarnations(Kind::Service, "js").len() == 2;
            (job && service).then_some(())
        })
        .await?;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await?;
    world.until_ready("js", 2).await?;
    check_eq!(
        world.look(|s| s.incarnations(Kind::Job, "js-w-0").len()),
        1,
        "incarnations of the other Job"
    );
    Ok(())
}

async fn managed_by(world: &World) -> anyhow::Result<()> {
    let spec = json!({"managedBy": "example.com/other"});
    world
        .create(&with(jobset("js", vec![role("w", 1)]), &spec))
        .await?;
    let ours = json!({"managedBy": "jobset.sigs.k8s.io/jobset-controller"});
    world
        .create(&with(jobset("ours", vec![role("w", 1)]), &ours))
        .await?;
    world
        .until_object(Kind::Job, "ours-w-0", "exists", |_| true)
        .await?;
    world.until_controller_has_looked().await?;
    world.look(|state| {
        check_eq!(
            state.names(Kind::Job),
            ["ours-w-0", "sentinel-s-0"],
            "all Jobs"
        );
        let touched = state.get(Kind::JobSet, "js").map(|js| js["status"].clone());
        check_eq!(touched, Some(Value::Null), "its status");
        Ok(())
    })
}

async fn many_jobs(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 100)])).await?;
    world.until_ready("js", 100).await?;
    for index in 0..100 {
        world.finish_job(&format!("js-w-{index}"), 0).await?;
    }
    world.until_condition("js", "Completed", "True").await?;
    world.look(|state| {
        for (name, _) in state.all(Kind::Job) {
            check_eq!(state.incarnations(Kind::Job, name).len(), 1, "{name}");
        }
        check_eq!(state.names(Kind::Job).len(), 100, "Jobs");
        Ok(())
    })
}

async fn node_selector(world: &World) -> anyhow::Result<()> {
    let mut object = jobset("js", vec![role("w", 2)]);
    object["metadata"]["annotations"] = json!({
        "alpha.jobset.sigs.k8s.io/exclusive-topology": crate::environment::RACK,
        "alpha.jobset.sigs.k8s.io/node-selector": "true",
    });
    world.create(&object).await?;
    // Somebody prepares a node for each Job. The value is the place's name for it.
    let label = "alpha.jobset.sigs.k8s.io/namespaced-job";
    let nodes = [("js-w-0", "node-6"), ("js-w-1", "node-7")];
    let set = |node: &'static str, value: Value| async move {
        let patch = json!({"metadata": {"labels": {label: value}}});
        let path = format!("/api/v1/nodes/{node}");
        world
            .user
            .send(http::Method::PATCH, &path, "merge-patch+json", &patch)
            .await
    };
    for (job, node) in nodes {
        let value = format!("{}_{job}", world.namespace());
        let object = world
            .until_object(Kind::Job, job, "exists", |_| true)
            .await?;
        let pod = &object["spec"]["template"]["spec"];
        check_eq!(
            pod["nodeSelector"][label],
            json!(value),
            "selector of {job}"
        );
        check_eq!(
            pod["tolerations"],
            json!([{"key": "alpha.jobset.sigs.k8s.io/no-schedule", "operator": "Exists",
                    "effect": "NoSchedule"}]),
            "tolerations of {job}"
        );
        set(node, json!(value)).await?;
    }
    let placed = async {
        for (job, node) in nodes {
            let pods = world.until_running(job).await?;
            let pod = world.look(|s| s.get(Kind::Pod, &pods[0]).cloned());
            let pod = pod.context("no Pod")?;
            check_eq!(pod["spec"]["nodeName"], node, "node of {job}");
        }
        Ok(())
    };
    let placed = placed.await;
    for (_, node) in nodes {
        set(node, Value::Null).await?;
    }
    placed
}

async fn exclusive(world: &World) -> anyhow::Result<()> {
    let more = json!({"template": {"spec": {"parallelism": 2, "completions": 2}}});
    let mut object = jobset("js", vec![role_with("w", 3, &more)]);
    object["metadata"]["annotations"] =
        json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": crate::environment::RACK});
    world.create(&object).await?;
    let mut racks = BTreeMap::new();
    for job in ["js-w-0", "js-w-1", "js-w-2"] {
        for name in world.until_running(job).await? {
            let node = world.look(|s| {
                let pod = s.get(Kind::Pod, &name)?;
                pod["spec"]["nodeName"].as_str().map(str::to_owned)
            });
            let node = node.context("no node")?;
            let path = format!("/api/v1/nodes/{node}");
            let node = world
                .user
                .send(http::Method::GET, &path, "json", &Value::Null)
                .await?;
            let rack = node["metadata"]["labels"][crate::environment::RACK].to_string();
            let owner = racks.entry(rack.clone()).or_insert(job);
            check_eq!(*owner, job, "the Job that has {rack}");
        }
    }
    check_eq!(racks.len(), 3, "racks in use");
    Ok(())
}

/// Whether creating or changing something is refused with these words.
fn refused(result: anyhow::Result<()>, words: &str) -> anyhow::Result<()> {
    let Err(error) = result else {
        anyhow::bail!("accepted, but {words:?} was expected");
    };
    let text = format!("{error:#}");
    ensure!(
        text.contains(words),
        "refused, but not with {words:?}: {text}"
    );
    Ok(())
}

async fn schema_rules(world: &World) -> anyhow::Result<()> {
    let both = with(
        jobset(
            "js",
            vec![
                role("a", 1),
                role_with(
                    "b",
                    1,
                    &json!({"dependsOn": [{"name": "a", "status": "Ready"}]}),
                ),
            ],
        ),
        &json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}}),
    );
    refused(world.create(&both).await, "mutually exclusive")?;
    let twice = jobset("js", vec![role("a", 1), role("a", 1)]);
    refused(world.create(&twice).await, "uplicate")?;
    let negative = with(
        jobset("js", vec![role("a", 1)]),
        &json!({"ttlSecondsAfterFinished": -1}),
    );
    refused(world.create(&negative).await, "ttlSecondsAfterFinished")?;
    let good = with(
        jobset("js", vec![role("a", 1)]),
        &json!({"suspend": true, "failurePolicy": {"maxRestarts": 1}}),
    );
    world.create(&good).await?;
    let changed = json!({"spec": {"failurePolicy": {"maxRestarts": 2}}});
    refused(world.patch("js", changed).await, "immutable")
}

async fn webhook_rules(world: &World) -> anyhow::Result<()> {
    let long = "a".repeat(64);
    refused(world.create(&jobset(&long, vec![role("w", 1)])).await, "63")?;
    let target = json!({"successPolicy": {"operator": "All", "targetReplicatedJobs": ["x"]}});
    refused(
        world
            .create(&with(jobset("js", vec![role("w", 1)]), &target))
            .await,
        "does not appear",
    )?;
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    let replicas =
        json!([{"op": "replace", "path": "/spec/replicatedJobs/0/replicas", "value": 2}]);
    refused(
        world
            .user
            .patch(Kind::JobSet, "js", PatchKind::Json, &replicas)
            .await,
        "immutable",
    )
}

async fn elastic(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    world.until_running("js-w-0").await?;
    let spec = "/spec/replicatedJobs/0/template/spec";
    for size in [3, 2] {
        let patch = json!([
            {"op": "replace", "path": format!("{spec}/parallelism"), "value": size},
            {"op": "replace", "path": format!("{spec}/completions"), "value": size},
        ]);
        world
            .user
            .patch(Kind::JobSet, "js", PatchKind::Json, &patch)
            .await?;
        world
            .until_object(Kind::Job, "js-w-0", "is resized", |job| {
                job["spec"]["parallelism"] == size && job["spec"]["completions"] == size
            })
            .await?;
        world.until_running("js-w-0").await?;
    }
    world.finish_job("js-w-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    check_eq!(
        world.look(|s| s.incarnations(Kind::Job, "js-w-0").len()),
        1,
        "incarnations"
    );
    Ok(())
}
