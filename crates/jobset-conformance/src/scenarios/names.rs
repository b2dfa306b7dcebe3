//! Short names of Pods, by EndpointSlices.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::environment::Need;
use crate::kind::Kind;
use crate::mirror::State;
use crate::objects::{jobset, role, role_with, with};
use crate::world::World;

scenarios! { LIST, alone = false;
    "short-names": "slices with short names follow the Pods" => follow [ShortNames];
    "short-names-not-ready": "conditions, and addresses that are not published before" => not_ready [ShortNames];
    "short-names-shared": "two JobSets with one Service and the same names" => shared [ShortNames];
    "short-names-repaired": "what somebody does to a slice is undone" => repaired [ShortNames];
    "short-names-dns-off": "no slices where host names are off" => dns_off [ShortNames];
    "no-short-names": "no slices of the controller's where it was not asked for them" => off [NoShortNames];
}

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "short-names.jobset.x-k8s.io";

/// The slices of the controller's own, of one JobSet.
fn slices<'a>(state: &'a State, jobset: &'a str) -> impl Iterator<Item = &'a Value> {
    let slices = state.all(Kind::Slice).map(|(_, slice)| slice);
    slices.filter(move |slice| {
        let labels = &slice["metadata"]["labels"];
        labels[MANAGED_BY] == OURS && labels["jobset.sigs.k8s.io/jobset-name"] == jobset
    })
}

fn endpoints<'a>(state: &'a State, jobset: &'a str) -> impl Iterator<Item = &'a Value> {
    slices(state, jobset).flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// (short name, address, uid of the Pod) as slices have them.
fn published(state: &State, jobset: &str) -> BTreeSet<[String; 3]> {
    endpoints(state, jobset)
        .map(|endpoint| {
            let target = &endpoint["targetRef"];
            [
                &endpoint["hostname"],
                &endpoint["addresses"][0],
                &target["uid"],
            ]
            .map(text)
        })
        .collect()
}

/// The same as the Pods have it that run in this attempt.
fn expected(state: &State, jobset: &str, attempt: &str) -> BTreeSet<[String; 3]> {
    let pods = state.all(Kind::Pod).map(|(_, pod)| pod);
    pods.filter(|pod| pod["status"]["phase"] == "Running")
        .flat_map(|pod| {
            let label =
                |key: &str| text(&pod["metadata"]["labels"][format!("jobset.sigs.k8s.io/{key}")]);
            let ours = label("jobset-name") == jobset && label("restart-attempt") == attempt;
            let index = &pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"];
            let job = format!("{}-{}", label("replicatedjob-name"), label("job-index"));
            let names = [format!("{job}-{}", text(index)), job];
            let [address, uid] = [&pod["status"]["podIP"], &pod["metadata"]["uid"]].map(text);
            let names = ours.then_some(names).into_iter().flatten();
            names.map(move |name| [name, address.clone(), uid.clone()])
        })
        .collect()
}

/// Waits until the slices hold the names of so many Pods of this attempt and of no others.
async fn until_published(
    world: &World,
    jobset: &str,
    attempt: &str,
    pods: usize,
) -> anyhow::Result<()> {
    let what = format!("{pods} Pods of attempt {attempt} of {jobset} have short names");
    world
        .until(&what, |state| {
            let expected = expected(state, jobset, attempt);
            (expected.len() == 2 * pods && published(state, jobset) == expected).then_some(())
        })
        .await
}

async fn until_none(world: &World, jobset: &str) -> anyhow::Result<()> {
    world
        .until(&format!("{jobset} has no slices"), |state| {
            slices(state, jobset).next().is_none().then_some(())
        })
        .await
}

async fn follow(world: &World) -> anyhow::Result<()> {
    let two = json!({"template": {"spec": {"parallelism": 2, "completions": 2}}});
    let roles = vec![role("leader", 1), role_with("worker", 2, &two)];
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    world.create(&with(jobset("js", roles), &spec)).await?;
    until_published(world, "js", "0", 5).await?;
    world.look(|state| {
        let slice = slices(state, "js").next().context("no slice")?;
        let metadata = &slice["metadata"];
        check_eq!(
            metadata["labels"]["kubernetes.io/service-name"],
            "js",
            "Service"
        );
        check_eq!(
            metadata["labels"]["service.kubernetes.io/headless"],
            "",
            "label for proxies"
        );
        check_eq!(metadata["ownerReferences"][0]["kind"], "JobSet", "owner");
        check_eq!(slice["addressType"], "IPv4", "addressType");
        let workers = endpoints(state, "js").filter(|e| e["hostname"] == "worker-1");
        check_eq!(workers.count(), 2, "Pods of worker-1");
        for endpoint in endpoints(state, "js") {
            check_eq!(endpoint["conditions"]["ready"], true, "ready");
            ensure!(endpoint["nodeName"].is_string(), "no node: {endpoint}");
            check_eq!(endpoint["targetRef"]["kind"], "Pod", "targetRef");
        }
        anyhow::Ok(())
    })?;
    kubernetes_own_are_beside(world).await?;

    // A restart: other Pods, other addresses, the same names.
    world.finish_job("js-worker-0", 1).await?;
    until_published(world, "js", "1", 5).await?;

    // Suspended: no Pods. Resumed: some.
    world
        .patch("js", json!({"spec": {"suspend": true}}))
        .await?;
    until_none(world, "js").await?;
    world
        .patch("js", json!({"spec": {"suspend": false}}))
        .await?;
    until_published(world, "js", "1", 5).await?;

    // Deleted: whoever collects garbage takes the slices along.
    world.user.delete(Kind::JobSet, "js", "background").await?;
    until_none(world, "js").await
}

/// What Kubernetes itself publishes stays as it is: with the long host names, in slices of its own.
async fn kubernetes_own_are_beside(world: &World) -> anyhow::Result<()> {
    if world.environment.name != "real" {
        return Ok(());
    }
    let names = world
        .until("Kubernetes publishes the long host names", |state| {
            let slices = state.all(Kind::Slice).map(|(_, slice)| slice);
            let theirs = slices.filter(|slice| {
                slice["metadata"]["labels"][MANAGED_BY] == "endpointslice-controller.k8s.io"
            });
            let endpoints = theirs.flat_map(|s| s["endpoints"].as_array().into_iter().flatten());
            let names: BTreeSet<String> = endpoints.map(|e| text(&e["hostname"])).collect();
            (names.len() == 5).then_some(names)
        })
        .await?;
    ensure!(
        names.iter().all(|name| name.starts_with("js-")),
        "{names:?} in Kubernetes' own slices"
    );
    Ok(())
}

async fn not_ready(world: &World) -> anyhow::Result<()> {
    let spec = json!({"network": {"publishNotReadyAddresses": false, "subdomain": "own"}});
    world
        .create(&with(jobset("js", vec![role("w", 1)]), &spec))
        .await?;
    until_published(world, "js", "0", 1).await?;
    let ready = |wanted: bool| {
        move |state: &State| {
            let mut endpoints = endpoints(state, "js")
                .map(|e| e["conditions"].clone())
                .peekable();
            endpoints.peek()?;
            endpoints
                .all(|c| {
                    c["ready"] == wanted && c["serving"] == wanted && c["terminating"] == false
                })
                .then_some(())
        }
    };
    world
        .until("the names of a ready Pod are ready", ready(true))
        .await?;
    world.look(|state| {
        let slice = slices(state, "js").next().context("no slice")?;
        check_eq!(
            slice["metadata"]["labels"]["kubernetes.io/service-name"],
            "own",
            "Service"
        );
        anyhow::Ok(())
    })?;
    let pod = world.until_running("js-w-0").await?.remove(0);
    let path = format!("{}/{pod}/status", Kind::Pod.path(world.namespace()));
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    world
        .user
        .send(Method::PATCH, &path, "strategic-merge-patch+json", &patch)
        .await?;
    world
        .until("they are not when the Pod is not", ready(false))
        .await
}

async fn shared(world: &World) -> anyhow::Result<()> {
    let spec = json!({"network": {"subdomain": "common"}});
    for name in ["one", "two"] {
        world
            .create(&with(jobset(name, vec![role("w", 1)]), &spec))
            .await?;
    }
    until_published(world, "one", "0", 1).await?;
    until_published(world, "two", "0", 1).await?;
    let event = world
        .until("there is a warning", |state| {
            let mut events = state.all(Kind::Event).map(|(_, event)| event);
            events
                .find(|e| e["reason"] == "ShortNameCollision")
                .cloned()
        })
        .await?;
    check_eq!(event["type"], "Warning", "type of the event");
    world.user.delete(Kind::JobSet, "one", "background").await?;
    until_none(world, "one").await?;
    until_published(world, "two", "0", 1).await?;
    // Left behind, nobody would keep the names true.
    world.user.delete(Kind::JobSet, "two", "orphan").await?;
    until_none(world, "two").await
}

async fn repaired(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    until_published(world, "js", "0", 1).await?;
    let name = world.look(|state| {
        let slice = slices(state, "js").next().context("no slice")?;
        anyhow::Ok(text(&slice["metadata"]["name"]))
    })?;
    let path = format!("{}/{name}", Kind::Slice.path(world.namespace()));
    for patch in [
        json!({"endpoints": [{"addresses": ["10.66.66.66"], "hostname": "w-0"}]}),
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "elsewhere"}}}),
        json!({"metadata": {"labels": {MANAGED_BY: "somebody"}}}),
    ] {
        let changed = world
            .user
            .send(Method::PATCH, &path, "merge-patch+json", &patch)
            .await?;
        let changed = text(&changed["metadata"]["resourceVersion"]);
        world
            .until(&format!("{patch} is undone"), |state| {
                let slice = state.get(Kind::Slice, &name)?;
                let labels = &slice["metadata"]["labels"];
                let newer = text(&slice["metadata"]["resourceVersion"]) != changed;
                let right = labels["kubernetes.io/service-name"] == "js"
                    && published(state, "js") == expected(state, "js", "0");
                (newer && right).then_some(())
            })
            .await?;
    }
    world.user.delete(Kind::Slice, &name, "background").await?;
    until_published(world, "js", "0", 1).await
}

async fn dns_off(world: &World) -> anyhow::Result<()> {
    let spec = json!({"network": {"enableDNSHostnames": false}});
    world
        .create(&with(jobset("off", vec![role("w", 1)]), &spec))
        .await?;
    world.until_ready("off", 1).await?;
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    until_published(world, "js", "0", 1).await?;
    world.look(|state| {
        check_eq!(
            slices(state, "off").count(),
            0,
            "slices of a JobSet without host names"
        );
        Ok(())
    })
}

async fn off(world: &World) -> anyhow::Result<()> {
    ensure!(
        !world.environment.has(Need::ShortNames),
        "names are published"
    );
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    world.until_ready("js", 1).await?;
    world.finish_job("js-w-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    world.until_controller_has_looked().await?;
    world.look(|state| {
        let ours = state.log.iter().filter(|change| {
            change.kind == Kind::Slice && change.object["metadata"]["labels"][MANAGED_BY] == OURS
        });
        check_eq!(ours.count(), 0, "changes of slices");
        Ok(())
    })
}
