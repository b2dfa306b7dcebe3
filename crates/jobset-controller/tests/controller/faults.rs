//! What the network and the server may do to the controller.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::transport::Fault;
use crate::world::{World, jobset};

/// Every write's first try is carried out without an answer.
#[tokio::test(start_paused = true)]
async fn lost_answers_cost_time_but_nothing_else() {
    let world = World::start().await;
    let mut seen = std::collections::HashSet::new();
    world.transport.set(move |call| {
        let first = call.is_write() && seen.insert((call.method.clone(), call.path.clone()));
        first.then_some(Fault::ReplyLost)
    });
    let spec = json!({"failurePolicy": {"maxRestarts": 3}});
    world.create(jobset("js", &[("w", 2)], spec)).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.fail_job("js-w-0").await;
    world.until_jobs(&["js-w-0@1", "js-w-1@1"]).await;
    world.complete_job("js-w-0").await;
    world.complete_job("js-w-1").await;
    world.until_condition("js", "Completed", "True").await;
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 1);
}

/// I2, I3: the Job watch stands still while a restart happens.
#[tokio::test(start_paused = true)]
async fn a_stale_job_cache_creates_and_counts_nothing_twice() {
    let world = World::start().await;
    world.transport.hold("jobs");
    let spec = json!({"failurePolicy": {"maxRestarts": 5}});
    world.create(jobset("js", &[("w", 3)], spec)).await;
    world
        .until_jobs(&["js-w-0@0", "js-w-1@0", "js-w-2@0"])
        .await;
    for _ in 0..5 {
        world
            .patch_jobset("js", json!({"metadata": {"labels": {"touched": "1"}}}))
            .await;
        world
            .patch_jobset("js", json!({"metadata": {"labels": {"touched": "2"}}}))
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.stats().duplicate_creates(), 0);
    world.fail_job("js-w-1").await;
    world.transport.release();
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-w-2@1"])
        .await;
    world.transport.hold("jobs");
    world.fail_job("js-w-0").await;
    world.fail_job("js-w-2").await;
    world.transport.release();
    world
        .until_jobs(&["js-w-0@2", "js-w-1@2", "js-w-2@2"])
        .await;
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 2);
    assert_eq!(world.stats().creates(), 10);
    assert_eq!(world.stats().duplicate_creates(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_jobset_cache_counts_no_restart_twice() {
    let world = World::start().await;
    let spec = json!({"failurePolicy": {"maxRestarts": 5}});
    world.create(jobset("js", &[("w", 1)], spec)).await;
    world.until_jobs(&["js-w-0@0"]).await;
    world.transport.hold("jobsets");
    world.fail_job("js-w-0").await;
    world.until_jobs(&["js-w-0@1"]).await;
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 1);
    assert_eq!(world.stats().conflicts(), 0, "the own write is known");
    // Somebody else changes the JobSet unseen: the write is refused, and done once after that.
    world
        .patch_jobset("js", json!({"metadata": {"labels": {"touched": "1"}}}))
        .await;
    world.fail_job("js-w-0").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.stats().conflicts() > 0);
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 1);
    world.transport.release();
    world.until_jobs(&["js-w-0@2"]).await;
    assert_eq!(world.jobset("js").await.status.unwrap().restarts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_gets_everything_in_the_end() {
    let world = World::start().await;
    let mut number = 0_u32;
    world.transport.set(move |call| {
        number += 1;
        match number % 16 {
            0 if call.is_write() => Some(Fault::Busy(429)),
            5 if call.is_write() => Some(Fault::Busy(503)),
            10 => Some(Fault::Refused(500, "InternalError")),
            _ => None,
        }
    });
    world.create(jobset("js", &[("w", 40)], json!({}))).await;
    let names: Vec<String> = {
        let mut names: Vec<_> = (0..40).map(|index| format!("js-w-{index}@0")).collect();
        names.sort();
        names
    };
    world
        .until_jobs(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    world.transport.heal();
    world.assert_quiet().await;
}

/// The server forgets history while the controller is cut off.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_gone_starts_over() {
    let world = World::start().await;
    world.create(jobset("js", &[("w", 2)], json!({}))).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.transport.set(|call| {
        let watch = call.method == Method::GET && call.query.contains("watch=true");
        watch.then_some(Fault::Refused(410, "Expired"))
    });
    // Every watch ends by its own time limit and finds its revision gone.
    tokio::time::sleep(Duration::from_mins(6)).await;
    world.complete_job("js-w-0").await;
    world.complete_job("js-w-1").await;
    world.until_condition("js", "Completed", "True").await;
    assert!(world.stats().watch_errors() > 0);
    world.transport.heal();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_planned_before_every_cache_is_complete() {
    let mut world = World::without_controller().await;
    world.create(jobset("js", &[("w", 2)], json!({}))).await;
    world.start_controller();
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.stop_controller().await;
    let before = world.transport.writes();
    world.transport.set(|call| {
        call.is(Method::GET, "/jobs")
            .then_some(Fault::Refused(503, "ServiceUnavailable"))
    });
    world.start_controller();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.transport.writes(), before);
    world.transport.heal();
    world.complete_job("js-w-0").await;
    world.complete_job("js-w-1").await;
    world.until_condition("js", "Completed", "True").await;
    assert_eq!(world.stats().duplicate_creates(), 0);
}

/// A JobSet that cannot be worked on does not hold up the others.
#[tokio::test(start_paused = true)]
async fn a_stuck_jobset_delays_nobody() {
    let world = World::start().await;
    world
        .transport
        .set(|call| call.is(Method::POST, "/services").then_some(Fault::Lost));
    world.create(jobset("stuck", &[("w", 1)], json!({}))).await;
    let free = json!({"network": {"enableDNSHostnames": false}});
    world.create(jobset("free", &[("w", 1)], free)).await;
    world.until_jobs(&["free-w-0@0"]).await;
    world.transport.heal();
    world.until_jobs(&["free-w-0@0", "stuck-w-0@0"]).await;
}

/// A defect in the work on one JobSet costs one back-off.
#[tokio::test(start_paused = true)]
async fn a_panic_stops_nothing() {
    let mut world = World::without_controller().await;
    let mut calls = 0;
    world.start_controller_with_clock(move |now| {
        calls += 1;
        // A look reads the clock once or more.
        assert!(calls % 5 != 1, "many a look panics");
        now
    });
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.until_jobs(&["js-w-0@0"]).await;
    world.complete_job("js-w-0").await;
    world.until_condition("js", "Completed", "True").await;
    assert!(world.stats().panics() > 0);
}

/// A server that accepts requests and says nothing is asked again after the time limit.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_again() {
    let mut world = World::without_controller().await;
    let mut reads = 0;
    world.transport.set(move |call| {
        let silent = call.method == Method::GET && reads < 20;
        reads += 1;
        silent.then_some(Fault::Lost)
    });
    world.create(jobset("js", &[("w", 1)], json!({}))).await;
    world.start_controller();
    world.until_jobs(&["js-w-0@0"]).await;
    assert!(world.stats().watch_errors() >= 10);
}
