//! The controller dies at every single request of a life, and another one takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use crate::transport::Fault;
use crate::world::{World, jobset};

/// Lets the controller die at its `n`-th write, which is still carried out or not.
async fn life_with_crash(n: usize, applied: bool) -> bool {
    let mut world = World::start().await;
    let crash = Arc::new(Notify::new());
    let happened = Arc::new(AtomicBool::new(false));
    let writes = Arc::new(AtomicUsize::new(0));
    {
        let (crash, happened, writes) = (crash.clone(), happened.clone(), writes.clone());
        world.transport.set(move |call| {
            if happened.load(Ordering::Relaxed) {
                return Some(Fault::Lost);
            }
            if call.is_write() && writes.fetch_add(1, Ordering::Relaxed) == n {
                happened.store(true, Ordering::Relaxed);
                crash.notify_one();
                return Some(if applied {
                    Fault::ReplyLost
                } else {
                    Fault::Lost
                });
            }
            None
        });
    }
    let life = async {
        let spec = json!({"failurePolicy": {"maxRestarts": 1}});
        world
            .create(jobset("js", &[("a", 1), ("b", 2)], spec))
            .await;
        world
            .until_jobs(&["js-a-0@0", "js-b-0@0", "js-b-1@0"])
            .await;
        world.fail_job("js-b-0").await;
        world
            .until_jobs(&["js-a-0@1", "js-b-0@1", "js-b-1@1"])
            .await;
        for name in ["js-a-0", "js-b-0", "js-b-1"] {
            world.complete_job(name).await;
        }
        world.until_condition("js", "Completed", "True").await;
    };
    // The life is told by polling the server only, so it may be cut anywhere and told on.
    let crashed = tokio::select! {
        biased;
        () = crash.notified() => true,
        () = life => false,
    };
    if crashed {
        // Let a write that is still carried out reach the server.
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.kill_controller().await;
        world.transport.heal();
        world.start_controller();
        go_on(&world).await;
    }
    let status = world.jobset("js").await.status.unwrap();
    assert_eq!(status.restarts, 1, "crash at write {n}, applied: {applied}");
    assert_eq!(status.terminal_state, "Completed");
    world.assert_quiet().await;
    crashed
}

/// Tells the rest of the life from whatever state it is in.
async fn go_on(world: &World) {
    world
        .until("a first or second attempt", || async {
            let status = world.jobset("js").await.status?;
            if !status.terminal_state.is_empty() || status.restarts == 1 {
                return Some(());
            }
            let jobs = world.list_jobs().await;
            let failed = jobs.iter().any(|job| {
                job.status
                    .as_ref()
                    .and_then(|status| status.failed)
                    .unwrap_or_default()
                    > 0
            });
            if jobs.len() == 3 && !failed {
                world.fail_job("js-b-0").await;
            }
            None
        })
        .await;
    if world
        .jobset("js")
        .await
        .status
        .unwrap()
        .terminal_state
        .is_empty()
    {
        world
            .until_jobs(&["js-a-0@1", "js-b-0@1", "js-b-1@1"])
            .await;
        for name in ["js-a-0", "js-b-0", "js-b-1"] {
            world.complete_job(name).await;
        }
    }
    world.until_condition("js", "Completed", "True").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_any_write_is_made_good() {
    crash_at_every_write(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_is_made_good() {
    crash_at_every_write(true).await;
}

async fn crash_at_every_write(applied: bool) {
    let mut n = 0;
    while life_with_crash(n, applied).await {
        n += 1;
    }
    assert!(n >= 10, "the life has only {n} writes");
}

#[tokio::test(start_paused = true)]
async fn a_warm_restart_writes_nothing() {
    let mut world = World::start().await;
    world.create(jobset("js", &[("w", 20)], json!({}))).await;
    world
        .until("all Jobs", || async {
            (world.stats().creates() == 21).then_some(())
        })
        .await;
    world.assert_quiet().await;
    world.stop_controller().await;
    let before = world.transport.writes();
    world.start_controller();
    world.assert_quiet().await;
    assert_eq!(world.transport.writes(), before);
}
