//! EndpointSlices with short names of Pods.

use std::collections::BTreeMap;
use std::time::Duration;

use jobset_api::constants;
use jobset_controller::ControllerOptions;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::transport::Fault;
use crate::world::{World, jobset};

fn on() -> ControllerOptions {
    ControllerOptions {
        short_names: true,
        ..ControllerOptions::default()
    }
}

fn slices_of(world: &World) -> Api<EndpointSlice> {
    Api::default_namespaced(world.pods().into_client())
}

async fn slices(world: &World) -> Vec<EndpointSlice> {
    slices_of(world)
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
}

/// Short name → addresses that DNS answers with.
async fn answers(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for endpoint in slices(world)
        .await
        .into_iter()
        .flat_map(|s| s.endpoints.unwrap_or_default())
    {
        if endpoint.conditions.and_then(|c| c.ready) == Some(true) {
            let name = endpoint.hostname.unwrap_or_default();
            answers.entry(name).or_default().extend(endpoint.addresses);
        }
    }
    for addresses in answers.values_mut() {
        addresses.sort();
    }
    answers
}

async fn until_answers(world: &World, expected: &[(&str, &[&str])]) {
    let expected: BTreeMap<String, Vec<String>> = expected
        .iter()
        .map(|(name, list)| {
            (
                (*name).to_owned(),
                list.iter().map(|&address| address.to_owned()).collect(),
            )
        })
        .collect();
    world
        .until(&expected, || async {
            (answers(world).await == expected).then_some(())
        })
        .await;
}

/// A Pod of Job `job` of `js`, as the Job controller makes it.
async fn put_pod(world: &World, job: u32, index: u32, suffix: &str) -> String {
    let jobset = world.jobset("js").await;
    let name = format!("js-w-{job}-{index}-{suffix}");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": {
                constants::JOBSET_NAME_KEY: "js", constants::JOBSET_UID_KEY: jobset.uid(),
                constants::REPLICATED_JOB_NAME_KEY: "w", constants::JOB_INDEX_KEY: job.to_string(),
                constants::JOB_COMPLETION_INDEX_KEY: index.to_string(),
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "uid": "j",
                                 "name": format!("js-w-{job}"), "controller": true}],
        },
        "spec": {"subdomain": "js", "containers": [{"name": "main", "image": "i"}]},
    }))
    .unwrap();
    world
        .pods()
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
    name
}

async fn set_status(world: &World, pod: &str, status: Value) {
    world
        .pods()
        .patch_status(
            pod,
            &PatchParams::default(),
            &Patch::Merge(&json!({"status": status})),
        )
        .await
        .unwrap();
}

async fn run_pod(world: &World, pod: &str, address: &str) {
    set_status(world, pod, json!({"phase": "Running", "podIP": address})).await;
}

#[tokio::test(start_paused = true)]
async fn names_follow_the_pods() {
    let mut world = World::start_with(on()).await;
    world.create(jobset("js", &[("w", 2)], json!({}))).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    let first = put_pod(&world, 0, 0, "a").await;
    let second = put_pod(&world, 1, 0, "a").await;
    run_pod(&world, &first, "10.0.0.1").await;
    run_pod(&world, &second, "10.0.0.2").await;
    until_answers(
        &world,
        &[
            ("w-0", &["10.0.0.1"]),
            ("w-0-0", &["10.0.0.1"]),
            ("w-1", &["10.0.0.2"]),
            ("w-1-0", &["10.0.0.2"]),
        ],
    )
    .await;
    let slice = slices(&world).await.remove(0);
    assert_eq!(slice.owner_references()[0].name, "js");
    assert_eq!(slice.labels()["kubernetes.io/service-name"], "js");
    // A Pod is replaced by another one, then one ends.
    world
        .pods()
        .delete(&first, &DeleteParams::default())
        .await
        .unwrap();
    let again = put_pod(&world, 0, 0, "b").await;
    run_pod(&world, &again, "10.0.0.3").await;
    set_status(&world, &second, json!({"phase": "Succeeded"})).await;
    until_answers(&world, &[("w-0", &["10.0.0.3"]), ("w-0-0", &["10.0.0.3"])]).await;
    assert_eq!(slices(&world).await[0].name_any(), slice.name_any());
    // Somebody deletes the slice.
    slices_of(&world)
        .delete(&slice.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    until_answers(&world, &[("w-0", &["10.0.0.3"]), ("w-0-0", &["10.0.0.3"])]).await;
    world.assert_quiet().await;
    // With the last Pod the last slice goes.
    world
        .pods()
        .delete(&again, &DeleteParams::default())
        .await
        .unwrap();
    until_answers(&world, &[]).await;
    world
        .until("no slice is left", || async {
            slices(&world).await.is_empty().then_some(())
        })
        .await;
    assert_eq!(world.stats().name_errors(), 0);
    world.stop_controller().await;
}

/// A thousand Pods start within twenty seconds, and become ready within twenty more.
#[tokio::test(start_paused = true)]
async fn a_thousand_pods_cost_few_writes() {
    const PODS: u32 = 1000;
    let mut world = World::start_with(on()).await;
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    let mut pods = Vec::new();
    for index in 0..PODS {
        pods.push(put_pod(&world, 0, index, "a").await);
    }
    assert_eq!(world.stats().name_writes(), 0);
    for (pod, index) in pods.iter().zip(0..) {
        run_pod(
            &world,
            pod,
            &format!("10.0.{}.{}", index / 256, index % 256),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for pod in &pods {
        set_status(&world, pod, json!({"conditions": ready})).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world
        .until("every Pod is published as ready", || async {
            let slices = slices(&world).await;
            let endpoints = slices
                .iter()
                .flat_map(|slice| slice.endpoints.iter().flatten());
            let serving =
                endpoints.filter(|e| e.conditions.as_ref().unwrap().serving == Some(true));
            (serving.count() == 2 * PODS as usize).then_some(())
        })
        .await;
    assert_eq!(answers(&world).await["w-0"].len(), PODS as usize);
    assert_eq!(slices(&world).await.len(), 2);
    // About one look a second, each of at most two slices.
    let writes = world.stats().name_writes();
    assert!(writes < 100, "{writes} writes for {PODS} Pods");
    let sent = world.transport.calls();
    let sent = sent
        .iter()
        .filter(|c| c.is_write() && c.path.contains("endpointslices"));
    assert_eq!(sent.count() as u64, writes);
    world.assert_quiet().await;
    assert_eq!(world.stats().name_writes(), writes);
    // A replica that takes over finds everything as it should be.
    world.kill_controller().await;
    world.start_controller();
    world.assert_quiet().await;
    assert_eq!(world.stats().name_writes(), 0);
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_conflicts_and_refusals_are_made_good() {
    let mut world = World::start_with(on()).await;
    let mut turn = 0;
    world.transport.set(move |call| {
        if !(call.is_write() && call.path.contains("endpointslices")) {
            return None;
        }
        turn += 1;
        [
            Some(Fault::ReplyLost),
            Some(Fault::Busy(429)),
            Some(Fault::Refused(409, "Conflict")),
            Some(Fault::Lost),
            None,
            Some(Fault::Refused(403, "Forbidden")),
            None,
        ][turn % 7]
            .clone()
    });
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    for round in 1..8 {
        let pod = put_pod(&world, 0, 0, &format!("r{round}")).await;
        let address = format!("10.0.0.{round}");
        run_pod(&world, &pod, &address).await;
        until_answers(&world, &[("w-0", &[&address]), ("w-0-0", &[&address])]).await;
        world
            .pods()
            .delete(&pod, &DeleteParams::default())
            .await
            .unwrap();
        until_answers(&world, &[]).await;
    }
    world.transport.heal();
    world
        .until("no slice is left", || async {
            slices(&world).await.is_empty().then_some(())
        })
        .await;
    assert!(world.stats().name_errors() > 0);
    world.stop_controller().await;
}

/// Names are an extra: where the rights for them are missing, JobSets run all the same.
#[tokio::test(start_paused = true)]
async fn without_the_rights_jobsets_run_all_the_same() {
    let mut world = World::start_with(on()).await;
    world.transport.set(|call| {
        let slices = call.path.contains("endpointslices");
        slices.then_some(Fault::Refused(403, "Forbidden"))
    });
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    world.complete_job("js-w-0").await;
    world.until_condition("js", "Completed", "True").await;
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_or_written_where_they_are_off() {
    let mut world = World::start().await;
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    let pod = put_pod(&world, 0, 0, "a").await;
    run_pod(&world, &pod, "10.0.0.1").await;
    world.complete_job("js-w-0").await;
    world.until_condition("js", "Completed", "True").await;
    world.assert_quiet().await;
    for call in world.transport.calls() {
        let names = ["endpointslices", "/pods"]
            .iter()
            .any(|part| call.path.contains(part));
        assert!(!names, "{} {}", call.method, call.path);
    }
    world.stop_controller().await;
}
