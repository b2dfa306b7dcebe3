use super::super::lifecycle::Stop;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn pod(spec: Value) -> Pod {
    let metadata = json!({"name": "p", "namespace": "n", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

struct Fixture {
    pod: Pod,
    state: PodState,
    backoff: RestartBackoff,
}

impl Fixture {
    fn new(spec: Value) -> Self {
        let pod = pod(spec);
        let backoff = RestartBackoff::default();
        let state = PodState::new(Unit::all(&pod), backoff);
        Self {
            pod,
            state,
            backoff,
        }
    }

    fn start(&mut self, second: i64) {
        for i in self.state.decide(at(second)).start {
            self.state.on_starting(i);
            self.state.on_started(i, at(second));
        }
    }

    fn end(&mut self, i: usize, exit_code: i32, second: i64) {
        let ended = Ended {
            exit_code,
            reason: "Error".to_owned(),
            message: None,
            started_at: Some(at(0)),
            finished_at: at(second),
        };
        self.state.on_ended(i, ended);
    }

    fn status(&self, previous: Option<&Value>, second: i64) -> Value {
        let around = Surroundings {
            pod: &self.pod,
            pod_ip: Some("127.9.0.1"),
            host_ip: "127.0.0.1",
            started_at: at(0),
            backoff: &self.backoff,
        };
        build(&self.state, &around, previous, at(second))
    }
}

/// `Type=Status/Reason`, the way tests want to read them.
fn conditions(status: &Value) -> Vec<String> {
    let list = status["conditions"].as_array().unwrap();
    let text = |c: &Value| {
        let reason = c["reason"].as_str().unwrap_or("-");
        format!(
            "{}={}/{reason}",
            c["type"].as_str().unwrap(),
            c["status"].as_str().unwrap()
        )
    };
    list.iter().map(text).collect()
}

#[test]
fn a_pod_over_its_life() {
    let mut f = Fixture::new(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}], "containers": [{"name": "a", "image": "img"}]}));
    let before = f.status(None, 0);
    assert_eq!(before["phase"], "Pending");
    assert_eq!(
        before["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert!(conditions(&before).contains(&"Initialized=False/ContainersNotInitialized".to_owned()));

    f.start(1);
    f.end(0, 0, 2);
    f.start(3);
    let running = f.status(Some(&before), 3);
    assert_eq!(running["phase"], "Running");
    assert_eq!(running["podIP"], "127.9.0.1");
    assert_eq!(running["initContainerStatuses"][0]["ready"], true);
    let container = &running["containerStatuses"][0];
    assert_eq!(
        (&container["ready"], &container["image"]),
        (&json!(true), &json!("img"))
    );
    assert_eq!(
        conditions(&running),
        [
            "PodReadyToStartContainers=True/-",
            "Initialized=True/-",
            "Ready=True/-",
            "ContainersReady=True/-",
            "PodScheduled=True/-",
        ]
    );

    f.end(1, 0, 4);
    f.state.decide(at(4));
    let over = f.status(Some(&running), 9);
    assert_eq!(over["phase"], "Succeeded");
    assert!(conditions(&over).contains(&"Ready=False/PodCompleted".to_owned()));
    assert_eq!(
        over["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        0
    );
    // Unchanged conditions keep their time, changed ones get a new one.
    let since = |status: &Value, kind: &str| {
        let list = status["conditions"].as_array().unwrap().clone();
        let found = list.into_iter().find(|c| c["type"] == kind).unwrap();
        found["lastTransitionTime"].clone()
    };
    assert_eq!(since(&over, "Initialized"), since(&running, "Initialized"));
    assert_ne!(since(&over, "Ready"), since(&running, "Ready"));
}

#[test]
fn a_container_that_crashes_again_and_again() {
    let mut f = Fixture::new(json!({"restartPolicy": "OnFailure", "containers": [{"name": "a"}]}));
    f.start(0);
    f.end(0, 1, 1);
    f.start(1);
    f.end(0, 2, 2);
    let status = f.status(None, 2);
    let container = &status["containerStatuses"][0];
    assert_eq!(status["phase"], "Running");
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(
        container["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=a pod=p_n(u)"
    );
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 2);
    assert_eq!(container["restartCount"], 1);
}

#[test]
fn a_blocked_container_says_why_also_while_it_is_tried() {
    let mut f = Fixture::new(json!({"containers": [{"name": "a"}]}));
    f.state.on_starting(0);
    f.state
        .on_blocked(0, "CreateContainerConfigError", "no".to_owned(), at(0));
    let waiting = f.status(None, 0);
    f.state.on_starting(0);
    let trying = f.status(Some(&waiting), 1);
    for status in [&waiting, &trying] {
        let shown = &status["containerStatuses"][0]["state"]["waiting"];
        assert_eq!(
            shown,
            &json!({"reason": "CreateContainerConfigError", "message": "no"})
        );
        assert_eq!(status["phase"], "Pending");
    }
}

#[test]
fn a_stopped_pod_shows_its_reason() {
    let mut f = Fixture::new(json!({"containers": [{"name": "a"}]}));
    f.start(0);
    f.state.stop = Some(Stop {
        failure: Some(("DeadlineExceeded", "late".to_owned())),
    });
    f.end(0, 143, 5);
    f.state.decide(at(5));
    let status = f.status(None, 5);
    assert_eq!(
        (&status["phase"], &status["reason"], &status["message"]),
        (&json!("Failed"), &json!("DeadlineExceeded"), &json!("late"))
    );
}

#[test]
fn a_binding_has_said_that_the_pod_is_scheduled() {
    let mut f = Fixture::new(json!({"containers": [{"name": "a"}]}));
    let condition = json!({"type": "PodScheduled", "status": "True"});
    f.pod.status = serde_json::from_value(json!({"conditions": [condition]})).unwrap();
    let shown = conditions(&f.status(None, 0));
    assert!(
        !shown.iter().any(|c| c.starts_with("PodScheduled")),
        "{shown:?}"
    );
}

#[test]
fn quality_of_service() {
    let with = |resources: Value| {
        let containers = json!([{"name": "a", "resources": resources}]);
        qos_class(&pod(json!({"containers": containers})))
    };
    let full = json!({"cpu": "1", "memory": "1Gi"});
    for (resources, expected) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": full}), "Guaranteed"),
        (json!({"limits": full, "requests": full}), "Guaranteed"),
        (
            json!({"limits": full, "requests": {"cpu": "500m"}}),
            "Burstable",
        ),
        (json!({"limits": {"example.com/gpu": "1"}}), "BestEffort"),
    ] {
        assert_eq!(with(resources.clone()), expected, "{resources}");
    }
}

#[test]
fn a_restart_of_all_containers() {
    let rules = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let mut f = Fixture::new(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}],
        "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": rules},
                       {"name": "b"}]}));
    f.start(0);
    f.end(0, 0, 1);
    f.start(1);
    let running = f.status(None, 1);
    let restarting = |status: &Value| {
        let list = status["conditions"].as_array().unwrap();
        let found = list.iter().find(|c| c["type"] == "AllContainersRestarting");
        found.unwrap().clone()
    };
    assert_eq!(restarting(&running)["status"], "False");
    f.end(1, 42, 2);
    assert_eq!(f.state.decide(at(2)).kill, [2]);
    let killing = f.status(Some(&running), 2);
    let condition = restarting(&killing);
    assert_eq!(condition["status"], "True");
    assert_eq!(condition["reason"], "RestartAllContainersStarted");
    assert_eq!(
        condition["message"],
        "container exited with restart policy rule"
    );
    assert_eq!(
        killing["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        42
    );
    assert_eq!(killing["phase"], "Running");
    f.end(2, 137, 3);
    let decision = f.state.decide(at(3));
    let between = f.status(Some(&killing), 3);
    // Nothing runs for a moment: the Pod is as it was. What has been initialized stays so.
    assert_eq!(between["phase"], "Running");
    let shown = conditions(&between);
    assert!(
        shown.contains(&"Initialized=True/-".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"AllContainersRestarting=False/-".to_owned()),
        "{shown:?}"
    );
    let b = &between["containerStatuses"][1];
    assert_eq!(b["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(
        b["lastState"]["terminated"]["reason"],
        "RestartingAllContainers"
    );
    assert_eq!(b["restartCount"], 1);
    for i in decision.start {
        f.state.on_starting(i);
        f.state.on_started(i, at(3));
    }
    // While an init container is seen to run, it is Pending, as on the kubelet.
    assert_eq!(f.status(Some(&between), 3)["phase"], "Pending");
    f.end(0, 0, 4);
    f.start(4);
    let again = f.status(Some(&between), 4);
    assert_eq!(again["phase"], "Running");
    assert!(conditions(&again).contains(&"Ready=True/-".to_owned()));
    for i in [1, 2] {
        f.end(i, 0, 5);
    }
    f.state.decide(at(5));
    let shown = conditions(&f.status(Some(&again), 5));
    assert!(
        shown.contains(&"AllContainersRestarting=False/PodCompleted".to_owned()),
        "{shown:?}"
    );
}
