//! What a JobSet does in the absence of faults.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::world::{World, jobset};

#[tokio::test(start_paused = true)]
async fn creates_runs_and_completes() {
    let mut world = World::start().await;
    world
        .create(jobset("js", &[("leader", 1), ("worker", 2)], json!({})))
        .await;
    let jobs = ["js-leader-0@0", "js-worker-0@0", "js-worker-1@0"];
    world.until_jobs(&jobs).await;
    assert!(world.services().get_opt("js").await.unwrap().is_some());
    let job = world.jobs().get("js-worker-1").await.unwrap();
    let owner = &job.owner_references()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller),
        ("JobSet", Some(true))
    );

    for name in ["js-leader-0", "js-worker-0", "js-worker-1"] {
        world.run_job(name).await;
    }
    world
        .until("every Job is ready", || async {
            let status = world.jobset("js").await.status?;
            let ready: i32 = status
                .replicated_jobs_status
                .iter()
                .map(|role| role.ready)
                .sum();
            (ready == 3).then_some(())
        })
        .await;
    for name in ["js-leader-0", "js-worker-0", "js-worker-1"] {
        world.complete_job(name).await;
    }
    world.until_condition("js", "Completed", "True").await;
    world.assert_quiet().await;
    assert_eq!(world.stats().completed(), 1);
    assert_eq!(
        (world.stats().conflicts(), world.stats().duplicate_creates()),
        (0, 0)
    );
    assert_eq!(world.stats().noop_writes(), 0);
    world.stop_controller().await;
    assert_eq!(world.event_reasons().await, ["AllJobsCompleted"]);
}

#[tokio::test(start_paused = true)]
async fn restarts_when_a_job_fails_and_fails_when_the_budget_is_spent() {
    let mut world = World::start().await;
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    world.create(jobset("js", &[("w", 2)], spec)).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.fail_job("js-w-0").await;
    world.until_jobs(&["js-w-0@1", "js-w-1@1"]).await;
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 1);
    world.fail_job("js-w-1").await;
    world.until_condition("js", "Failed", "True").await;
    world.until_jobs(&["js-w-1@1"]).await;
    world.assert_quiet().await;
    assert_eq!(world.stats().failed(), 1);
    world.stop_controller().await;
    let reasons = world.event_reasons().await;
    assert!(
        reasons.contains(&"ReachedMaxRestarts".to_owned()),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn suspends_and_resumes() {
    let world = World::start().await;
    world
        .create(jobset("js", &[("w", 2)], json!({"suspend": true})))
        .await;
    world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await;
    world.until_condition("js", "Suspended", "True").await;
    world
        .patch_jobset("js", json!({"spec": {"suspend": false}}))
        .await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.until_condition("js", "Suspended", "False").await;
    world.run_job("js-w-0").await;
    world
        .patch_jobset("js", json!({"spec": {"suspend": true}}))
        .await;
    world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await;
    world.until_condition("js", "Suspended", "True").await;
    world
        .set_job_status("js-w-0", json!({"active": 0, "ready": 0}))
        .await;
    world
        .patch_jobset("js", json!({"spec": {"suspend": false}}))
        .await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn goes_when_its_time_is_over() {
    let world = World::start().await;
    world
        .create(jobset(
            "js",
            &[("w", 1)],
            json!({"ttlSecondsAfterFinished": 30}),
        ))
        .await;
    world.until_jobs(&["js-w-0@0"]).await;
    world.complete_job("js-w-0").await;
    world.until_condition("js", "Completed", "True").await;
    let start = tokio::time::Instant::now();
    world
        .until("the JobSet is gone", || async {
            world
                .jobsets()
                .get_opt("js")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    assert!(
        (29..=32).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
    world.until_jobs(&[]).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn starts_what_depends_after_what_it_depends_on() {
    let world = World::start().await;
    let mut with_dependency = jobset("js", &[("leader", 1), ("worker", 2)], json!({}));
    with_dependency["spec"]["replicatedJobs"][1]["dependsOn"] =
        json!([{"name": "leader", "status": "Ready"}]);
    world.create(with_dependency).await;
    world.until_jobs(&["js-leader-0@0"]).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    world.until_jobs(&["js-leader-0@0"]).await;
    world.run_job("js-leader-0").await;
    world
        .until_jobs(&["js-leader-0@0", "js-worker-0@0", "js-worker-1@0"])
        .await;
    world.assert_quiet().await;
}

/// I5: what is not ours is left alone and reported.
#[tokio::test(start_paused = true)]
async fn reports_a_foreign_job_in_its_way_and_goes_on_when_it_is_gone() {
    let world = World::start().await;
    let foreign = serde_json::from_value(json!({
        "metadata": {"name": "js-w-0", "labels": {"mine": "yes"}},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        }}},
    }))
    .unwrap();
    let foreign = world
        .jobs()
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    world.create(jobset("js", &[("w", 2)], json!({}))).await;
    world.until_jobs(&["js-w-0@?", "js-w-1@0"]).await;
    world
        .until("the clash is reported", || async {
            let reasons = world.event_reasons().await;
            reasons
                .contains(&"JobCreationFailed".to_owned())
                .then_some(())
        })
        .await;
    let live = world.jobs().get("js-w-0").await.unwrap();
    assert_eq!(live.resource_version(), foreign.resource_version());
    world
        .jobs()
        .delete("js-w-0", &DeleteParams::background())
        .await
        .unwrap();
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world
        .until("no more errors", || async {
            (world.stats().creates() == 3).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_of_the_same_name_waits_for_the_old_jobs() {
    let world = World::start().await;
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    let old = world.jobs().get("js-w-0").await.unwrap().uid();
    world.delete_jobset("js").await;
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world
        .until("a new Job", || async {
            let job = world.jobs().get_opt("js-w-0").await.unwrap()?;
            (job.uid() != old).then_some(())
        })
        .await;
    let reasons = world.event_reasons().await;
    assert!(
        !reasons.contains(&"JobCreationFailed".to_owned()),
        "{reasons:?}"
    );
    world.assert_quiet().await;
}

/// I12: edits of children do not wedge anything.
#[tokio::test(start_paused = true)]
async fn survives_edits_of_children() {
    let world = World::start().await;
    world.create(jobset("js", &[("w", 2)], json!({}))).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    let broken = json!({"metadata": {"labels": {
        "jobset.sigs.k8s.io/restart-attempt": "many",
        "jobset.sigs.k8s.io/job-index": "x.1",
        "jobset.sigs.k8s.io/replicatedjob-name": null,
        "jobset.sigs.k8s.io/jobset-name": null,
    }}});
    let params = PatchParams::default();
    world
        .jobs()
        .patch("js-w-0", &params, &Patch::Merge(&broken))
        .await
        .unwrap();
    world
        .jobs()
        .delete("js-w-1", &DeleteParams::background())
        .await
        .unwrap();
    world
        .services()
        .delete("js", &DeleteParams::default())
        .await
        .unwrap();
    world.until_jobs(&["js-w-0@many", "js-w-1@0"]).await;
    world
        .until("the Service is back", || async {
            world.services().get_opt("js").await.unwrap().map(|_| ())
        })
        .await;
    world.create(jobset("other", &[("w", 1)], json!({}))).await;
    world
        .until_jobs(&["js-w-0@many", "js-w-1@0", "other-w-0@0"])
        .await;
    assert_eq!(world.stats().panics(), 0);
}

/// I11.
#[tokio::test(start_paused = true)]
async fn leaves_jobsets_of_others_alone() {
    let world = World::start().await;
    world
        .create(jobset(
            "js",
            &[("w", 1)],
            json!({"managedBy": "example.com/other"}),
        ))
        .await;
    world.create(jobset("ours", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["ours-w-0@0"]).await;
    world.assert_quiet().await;
    assert!(world.jobset("js").await.status.is_none());
}

/// Many Jobs: each created once, few status writes, no request that changes nothing.
#[tokio::test(start_paused = true)]
async fn many_jobs_cost_one_creation_each() {
    let mut world = World::start().await;
    world.create(jobset("js", &[("w", 200)], json!({}))).await;
    world
        .until("all Jobs", || async {
            (world.stats().creates() == 201).then_some(())
        })
        .await;
    let start = tokio::time::Instant::now();
    for index in 0..200 {
        world.run_job(&format!("js-w-{index}")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world
        .until("all ready", || async {
            let status = world.jobset("js").await.status?;
            (status.replicated_jobs_status[0].ready == 200).then_some(())
        })
        .await;
    let seconds = start.elapsed().as_secs();
    world.assert_quiet().await;
    let stats = world.stats();
    let requests = stats.requests();
    assert_eq!(requests[&("create", "jobs")], 200);
    assert_eq!(
        stats.duplicate_creates() + stats.conflicts() + stats.noop_writes(),
        0
    );
    let writes = stats.status_writes();
    assert!(
        writes <= 2 * seconds + 4,
        "{writes} status writes in {seconds} s"
    );
    assert!(
        stats.reconciles() < 200,
        "{} reconciles",
        stats.reconciles()
    );
    world.stop_controller().await;
}
