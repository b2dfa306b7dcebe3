use jobset_api::Feature;
use jobset_api::defaulting::default_value;
use serde_json::json;

use super::*;

/// A JobSet as a server stores it.
fn stored() -> Value {
    let mut jobset = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": "js", "namespace": "default", "uid": "u"},
        "spec": {"replicatedJobs": [{"name": "w", "replicas": 2, "template": {"spec": {
            "parallelism": 2, "completions": 2,
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}}]},
    });
    default_value(&mut jobset);
    manifest::default_jobset(&mut jobset);
    jobset
}

const TEMPLATE: &str = "/spec/replicatedJobs/0/template/spec";
const POD: &str = "/spec/replicatedJobs/0/template/spec/template/spec";

fn judged(change: impl FnOnce(&mut Value), gates: FeatureGates) -> Vec<(String, &'static str)> {
    let live = stored();
    let mut file = live.clone();
    change(&mut file);
    let comparison = compare(&live, &edited(&live, &file), gates).unwrap();
    comparison
        .judged
        .iter()
        .flat_map(|judged| {
            let verdict = match judged.verdict {
                Verdict::Allowed => "allowed",
                Verdict::WhileSuspended(_) => "suspended",
                Verdict::Forbidden(_) => "forbidden",
            };
            judged.edits.iter().map(move |e| (e.path(), verdict))
        })
        .collect()
}

fn at<'a>(object: &'a mut Value, place: &str) -> &'a mut Value {
    object.pointer_mut(place).unwrap()
}

#[test]
fn each_edit_is_judged_by_itself() {
    let gates = FeatureGates::default();
    let one = |path: &str, verdict| vec![(path.to_owned(), verdict)];
    assert_eq!(judged(|_| (), gates), []);
    assert_eq!(
        judged(|js| at(js, "/spec")["suspend"] = true.into(), gates),
        one("spec.suspend", "allowed")
    );
    let selector = "spec.replicatedJobs[0].template.spec.template.spec.nodeSelector";
    let select = |js: &mut Value| at(js, POD)["nodeSelector"] = json!({"a": "b"});
    assert_eq!(judged(select, gates), one(selector, "suspended"));
    assert_eq!(
        judged(
            |js| {
                select(js);
                at(js, "/spec")["suspend"] = true.into();
                at(js, "/spec/replicatedJobs/0")["replicas"] = 3.into();
                at(js, "/spec/network")["subdomain"] = "x".into();
                js["metadata"]["labels"] = json!({"team": "x"});
            },
            gates
        ),
        [
            ("metadata.labels", "allowed"),
            ("spec.network.subdomain", "forbidden"),
            ("spec.replicatedJobs[0].replicas", "forbidden"),
            (selector, "allowed"),
            ("spec.suspend", "allowed"),
        ]
        .map(|(path, verdict)| (path.to_owned(), verdict))
    );
}

#[test]
fn the_size_of_a_job_is_one_edit() {
    let scale = |js: &mut Value| {
        at(js, TEMPLATE)["parallelism"] = 4.into();
        at(js, TEMPLATE)["completions"] = 4.into();
    };
    let verdicts = |gates: FeatureGates| -> Vec<&str> {
        judged(scale, gates).iter().map(|(_, v)| *v).collect()
    };
    let gates = FeatureGates::default();
    assert_eq!(verdicts(gates), ["forbidden", "forbidden"]);
    let elastic = gates.with(Feature::ElasticJobSet, true);
    assert_eq!(verdicts(elastic), ["allowed", "allowed"]);
}

#[test]
fn what_the_file_does_not_name_stays() {
    let mut live = stored();
    live["metadata"]["labels"] = json!({"by": "queue"});
    live["status"] = json!({"restarts": 1});
    let new = edited(&live, &stored());
    assert_eq!(new, live);
    assert!(
        compare(&live, &new, FeatureGates::default())
            .unwrap()
            .judged
            .is_empty()
    );
}

#[test]
fn consequences_are_what_the_plan_does_because_of_the_edit() {
    let gates = FeatureGates::default();
    let live: JobSet = serde_json::from_value(stored()).unwrap();
    let mut around = Surroundings {
        service: true,
        ..Surroundings::default()
    };
    let rendered = jobset_core::render(&live, &gates);
    around.jobs = rendered.roles[0]
        .jobs()
        .map(|(name, mut body)| {
            body["metadata"]["uid"] = name.into();
            let job = serde_json::from_value(body).unwrap();
            Arc::new(ChildJob::from_job(&job))
        })
        .collect();
    let now = Timestamp::UNIX_EPOCH;
    let shown = |live: &JobSet, new: &JobSet, around: &Surroundings| -> Vec<String> {
        consequences(live, new, around, gates, now)
            .iter()
            .map(|c| format!("{} {} {}", c.action, c.kind, c.name))
            .collect()
    };
    assert_eq!(shown(&live, &live, &around), [""; 0]);
    let mut suspended = live.clone();
    suspended.spec.suspend = Some(true);
    assert_eq!(
        shown(&live, &suspended, &around),
        ["suspend Job js-w-0", "suspend Job js-w-1"]
    );
    for job in &mut around.jobs {
        Arc::make_mut(job).suspend = true;
    }
    assert_eq!(
        shown(&suspended, &live, &around),
        ["resume Job js-w-0", "resume Job js-w-1"]
    );
    // What the controller is about to do anyway is not the edit's doing.
    around.jobs.clear();
    assert_eq!(shown(&live, &live, &around), [""; 0]);
}

#[test]
fn what_an_installation_without_webhooks_stores_is_what_the_file_says() {
    let file = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": "js"},
        "spec": {"replicatedJobs": [{"name": "w", "replicas": 2, "template": {"spec": {
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}}]},
    });
    // No default of admission is there, and it has been resumed.
    let mut live = file.clone();
    live["metadata"] = json!({"name": "js", "namespace": "default", "uid": "u"});
    live["spec"]["suspend"] = false.into();
    let compared = |file: &Value| {
        let edition = Edition::of(&live, file);
        compare(&edition.live, &edition.new, FeatureGates::default()).unwrap()
    };
    assert!(compared(&file).judged.is_empty(), "{:?}", compared(&file));

    let mut suspended = file.clone();
    suspended["spec"]["suspend"] = true.into();
    suspended["metadata"]["labels"] = json!({"a": "b"});
    let comparison = compared(&suspended);
    let edits = comparison.judged.iter().flat_map(|judged| &judged.edits);
    let paths: Vec<String> = edits.map(Edit::path).collect();
    assert_eq!(paths, ["metadata.labels", "spec.suspend"]);
    assert!(comparison.refusals.is_empty(), "{comparison:?}");
    // The server is asked about these two, and not about defaults.
    let mut expected = live.clone();
    expected["metadata"]["labels"] = json!({"a": "b"});
    expected["spec"]["suspend"] = true.into();
    assert_eq!(comparison.applied_to(&live), expected);
}
