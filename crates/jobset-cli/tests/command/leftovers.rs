//! However the command ends, nothing of it stays: no process, no temporary file, no mount.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::processes::{family, survivors};
use crate::support::{Place, jobset};

/// A run with an obstinate process tree, which goes on until `place/go` exists.
fn manifest(place: &Place, token: &str, last: &str) -> Value {
    // A child that has left its session and ignores every polite signal, and a volume.
    let script = format!(
        "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1000.{token}; done' & \
         echo x > /cache/file; echo running; \
         while ! test -e {}; do sleep 0.05; done; {last}",
        place.path("go").display()
    );
    let mut manifest = jobset("js", &[("one", &script)], &json!({}));
    let pod = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["containers"][0]["volumeMounts"] = json!([{"name": "cache", "mountPath": "/cache"}]);
    pod["volumes"] = json!([{"name": "cache", "emptyDir": {}}]);
    manifest
}

#[track_caller]
fn check(name: &str, last: &str, signal: Option<Signal>, code: Option<i32>) {
    let place = Place::new();
    let token = format!(
        "{:05}{}",
        std::process::id(),
        name.bytes().map(u32::from).sum::<u32>()
    );
    place.write("js.json", manifest(&place, &token, last).to_string());
    let mut running = place.start(&["run", "js.json"]);
    running.wait_for("one-0-0 │ running");
    let family = family(running.pid());
    assert!(family.len() > 3, "{family:#?}");
    match signal {
        Some(signal) => running.signal(signal),
        None => drop(place.write("go", "")),
    }
    let ended = running.wait();
    assert_eq!(ended.code(), code, "{ended:#?}");
    if code.is_none() {
        assert_eq!(ended.status.signal(), signal.map(|signal| signal as i32));
    }
    assert_eq!(
        survivors(&family, &format!("1000.{token}")),
        [],
        "processes"
    );
    assert_eq!(
        place.temporary_files(),
        [] as [PathBuf; 0],
        "temporary files"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let directory = place.temporary_directory().to_str().unwrap();
    assert!(!mounts.contains(directory), "mounts");
}

#[test]
fn after_success() {
    check("success", "exit 0", None, Some(0));
}

#[test]
fn after_failure() {
    check("failure", "exit 1", None, Some(1));
}

#[test]
fn after_an_interrupt() {
    check("interrupt", "", Some(Signal::SIGINT), Some(130));
}

#[test]
fn after_termination() {
    check("terminate", "", Some(Signal::SIGTERM), Some(130));
}

#[test]
fn after_a_hang_up() {
    check("hang up", "", Some(Signal::SIGHUP), Some(130));
}

#[test]
fn after_being_killed() {
    check("kill", "", Some(Signal::SIGKILL), None);
}
