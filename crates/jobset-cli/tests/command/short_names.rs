//! Short names inside Pods that are processes.

use serde_json::{Value, json};

use crate::support::{Place, has};

/// Compares short names with long ones, in every form, once all Pods are there. A name that leads to
/// somebody else, or nowhere, ends the Pod with an error.
const LOOK: &str = r#"
import os, socket, sys, time

def of(name):
    try:
        return {a[4][0] for a in socket.getaddrinfo(name, 1, socket.AF_INET)}
    except socket.gaierror:
        return set()

own, other, attempt = os.environ["OWN"], os.environ["OTHER"], os.environ["ATTEMPT"]
index = int(os.environ["JOB_COMPLETION_INDEX"])

def long(jobset, pod):
    return of(f"{jobset}-leader-0-{pod}.{jobset}")

def right():
    pods = [long(own, 0), long(own, 1)]
    theirs = [long(other, 0), long(other, 1)]
    if not all(len(addresses) == 1 for addresses in pods + theirs):
        return False
    full = f"{own}.default.svc.cluster.local"
    return (
        pods[index] == {os.environ["POD_IP"]}
        and of("leader-0") == pods[0] | pods[1]
        and of("leader-0-0") == of(f"leader-0-0.{own}") == of(f"leader-0-0.{full}") == pods[0]
        and of("leader-0-1") == of(f"leader-0-1.{own}") == of(f"leader-0-1.{full}") == pods[1]
        and of(f"leader-0.{own}") == pods[0] | pods[1]
        and of(f"leader-0.{other}") == theirs[0] | theirs[1]
        and of("leader-1") == of("leader-0-2") == of("off-0") == of("off-0-0") == set()
    )

while not right():
    time.sleep(0.02)
print(f"the names are right in attempt {attempt}", flush=True)
# Everybody has to see the others: nobody leaves before all have.
open(f"{os.environ['SEEN']}/{own}-{index}-{attempt}", "w").close()
first = {f"{jobset}-{pod}-0" for jobset in (own, other) for pod in (0, 1)}
while not first <= set(os.listdir(os.environ["SEEN"])):
    time.sleep(0.02)
if own == "a" and attempt == "0":
    sys.exit(1 if index == 1 else 0)
wanted = {"a-0-1", "a-1-1"}
while not wanted <= set(os.listdir(os.environ["SEEN"])):
    time.sleep(0.02)
"#;

fn role(name: &str, pods: u32, env: &Value, script: &str) -> Value {
    json!({"name": name, "template": {"spec": {
        "parallelism": pods, "completions": pods, "backoffLimit": 0,
        "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "python", "env": env,
                            "command": ["python3", "-c", script]}],
        }},
    }}})
}

fn jobset(name: &str, role: Value, spec: &Value) -> Value {
    let mut jobset = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
        "spec": {"replicatedJobs": [role]},
    });
    for (key, value) in spec.as_object().unwrap() {
        jobset["spec"][key] = value.clone();
    }
    jobset
}

/// Two JobSets of the same roles in one namespace, of which one restarts.
#[test]
fn each_pod_sees_the_names_of_its_own_jobset() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let seen = place.path("seen");
    std::fs::create_dir(&seen).unwrap();
    let looking = |own: &str, other: &str| {
        let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        let env = json!([
            {"name": "OWN", "value": own}, {"name": "OTHER", "value": other},
            {"name": "SEEN", "value": seen},
            {"name": "POD_IP", "valueFrom": field("status.podIP")},
            {"name": "ATTEMPT",
             "valueFrom": field("metadata.labels['jobset.sigs.k8s.io/restart-attempt']")},
        ]);
        let spec = json!({"failurePolicy": {"maxRestarts": 1}});
        jobset(own, role("leader", 2, &env, LOOK), &spec)
    };
    // A name of its own is there from the start, if there is one.
    let off = "import socket\ntry: socket.gethostbyname('off-0'); print('found')\n\
               except socket.gaierror: print('not found')";
    let off = role("off", 1, &json!([]), off);
    let off = jobset(
        "off",
        off,
        &json!({"network": {"enableDNSHostnames": false}}),
    );
    let documents = [looking("a", "b"), looking("b", "a"), off].map(|value| value.to_string());
    let file = place.write("jobsets.yaml", documents.join("\n---\n"));
    let ended = place.run(&["run", file.to_str().unwrap(), "-o", "json"]);
    ended.expect_code(0);
    let said = |line: &str| {
        ended
            .stderr
            .lines()
            .filter(|l| l.ends_with(&format!("│ {line}")))
            .count()
    };
    assert_eq!(said("the names are right in attempt 0"), 4, "{ended:#?}");
    assert_eq!(said("the names are right in attempt 1"), 2, "{ended:#?}");
    assert_eq!(said("not found"), 1, "{ended:#?}");
}
