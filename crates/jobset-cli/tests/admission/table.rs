//! The acceptance list for the webhooks in a whole API server, line by line.

use jobset_api::{Feature, FeatureGates};
use serde_json::{Value, json};

use super::{Server, jobset, role};

const TEMPLATE: &str = "/spec/replicatedJobs/0/template/spec";

/// Sets the values at these pointers, missing objects on the way included.
fn set(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, new) in changes {
        let mut target = &mut value;
        for part in pointer.split('/').skip(1) {
            target = match part.parse::<usize>() {
                Ok(index) => &mut target[index],
                Err(_) => &mut target[part],
            };
        }
        *target = new.clone();
    }
    value
}

fn at(path: &str) -> String {
    format!("{TEMPLATE}/{path}")
}

/// What, the fields set beyond a plain JobSet, and what must be in the refusal, or else what is
/// stored.
type Creation = (
    &'static str,
    Vec<(String, Value)>,
    Result<Vec<(&'static str, Value)>, &'static str>,
);

fn creations() -> Vec<Creation> {
    let text = |path: &str| path.to_owned();
    let on = |status: &str| json!([{"name": "a", "status": status}]);
    let claims = |n: usize| -> Value {
        (0..n)
            .map(|i| json!({"metadata": {"name": format!("d{i}")}, "spec": {}}))
            .collect()
    };
    let mounted = || {
        (
            at("template/spec/containers/0/volumeMounts"),
            json!([{"name": "d0", "mountPath": "/d"}]),
        )
    };
    let policies = |policies: Value| (text("/spec/volumeClaimPolicies"), policies);
    vec![
        (
            "completionMode, restartPolicy, successPolicy, DNS and publishNotReady defaults",
            vec![],
            Ok(vec![
                (
                    "/spec/replicatedJobs/0/template/spec/completionMode",
                    json!("Indexed"),
                ),
                (
                    "/spec/replicatedJobs/0/template/spec/template/spec/restartPolicy",
                    json!("OnFailure"),
                ),
                ("/spec/successPolicy", json!({"operator": "All"})),
                (
                    "/spec/network",
                    json!({"enableDNSHostnames": true, "publishNotReadyAddresses": true}),
                ),
                ("/spec/replicatedJobs/0/replicas", json!(1)),
            ]),
        ),
        (
            "completionMode preserved",
            vec![(at("completionMode"), json!("NonIndexed"))],
            Ok(vec![(
                "/spec/replicatedJobs/0/template/spec/completionMode",
                json!("NonIndexed"),
            )]),
        ),
        (
            "success policy with an unknown replicated job",
            vec![(
                text("/spec/successPolicy"),
                json!({"operator": "All", "targetReplicatedJobs": ["nix"]}),
            )],
            Err("nix"),
        ),
        (
            "replicas -1",
            vec![(text("/spec/replicatedJobs/0/replicas"), json!(-1))],
            Err("greater than or equal to 0"),
        ),
        (
            "replicas 0",
            vec![(text("/spec/replicatedJobs/0/replicas"), json!(0))],
            Ok(vec![("/spec/replicatedJobs/0/replicas", json!(0))]),
        ),
        (
            "empty failure policy",
            vec![(text("/spec/failurePolicy"), json!({}))],
            Ok(vec![(
                "/spec/failurePolicy/restartStrategy",
                json!("Recreate"),
            )]),
        ),
        (
            "dependsOn with AnyOrder",
            vec![
                (text("/spec/replicatedJobs/1/dependsOn"), on("Ready")),
                (
                    text("/spec/startupPolicy"),
                    json!({"startupPolicyOrder": "AnyOrder"}),
                ),
            ],
            Ok(vec![]),
        ),
        (
            "dependsOn with InOrder",
            vec![
                (text("/spec/replicatedJobs/1/dependsOn"), on("Ready")),
                (
                    text("/spec/startupPolicy"),
                    json!({"startupPolicyOrder": "InOrder"}),
                ),
            ],
            Err("mutually exclusive"),
        ),
        (
            "dependsOn on the first replicated job",
            vec![(text("/spec/replicatedJobs/0/dependsOn"), on("Ready"))],
            Err("first ReplicatedJob"),
        ),
        (
            "dependsOn with status Failed",
            vec![(text("/spec/replicatedJobs/1/dependsOn"), on("Failed"))],
            Err("Unsupported value"),
        ),
        (
            "no replicated jobs",
            vec![(text("/spec/replicatedJobs"), json!([]))],
            Ok(vec![]),
        ),
        (
            "60 characters of name with a coordinator",
            vec![
                (text("/metadata/name"), "a".repeat(60).into()),
                (at("completions"), json!(1)),
                (text("/spec/coordinator"), json!({"replicatedJob": "a"})),
            ],
            Err("jobset.sigs.k8s.io/coordinator"),
        ),
        (
            "volume claims are deleted with the JobSet by default",
            vec![mounted(), policies(json!([{"templates": claims(1)}]))],
            Ok(vec![(
                "/spec/volumeClaimPolicies/0/retentionPolicy",
                json!({"whenDeleted": "Delete"}),
            )]),
        ),
        (
            "namespace in a claim template",
            vec![
                mounted(),
                policies(
                    json!([{"templates": [{"metadata": {"name": "d0", "namespace": "x"}, "spec": {}}]}]),
                ),
            ],
            Err("namespace cannot be set"),
        ),
        (
            "51 policies",
            vec![policies(
                (0..51).map(|_| json!({"templates": []})).collect(),
            )],
            Err("at most 50"),
        ),
        (
            "51 templates",
            vec![policies(json!([{"templates": claims(51)}]))],
            Err("at most 50"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn creation() {
    let server = Server::start(FeatureGates::default()).await;
    for (index, (what, changes, expected)) in creations().into_iter().enumerate() {
        let changes: Vec<_> = changes
            .iter()
            .map(|(p, v)| (p.as_str(), v.clone()))
            .collect();
        let object = set(
            jobset(&format!("js{index}"), &[role("a"), role("b")]),
            &changes,
        );
        match (server.create(&object).await, expected) {
            (Ok(stored), Ok(fields)) => {
                for (pointer, value) in fields {
                    assert_eq!(stored.pointer(pointer), Some(&value), "{what}: {pointer}");
                }
            }
            (Err(refusal), Err(part)) => assert!(refusal.contains(part), "{what}: {refusal}"),
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
    server.cluster.shutdown().await;
}

/// What, the fields set in the object as created, those changed then, and what must be in the
/// refusal, if it is refused.
type Update = (
    &'static str,
    Vec<(String, Value)>,
    Vec<(String, Value)>,
    Option<&'static str>,
);

fn updates() -> Vec<Update> {
    let text = |path: &str| path.to_owned();
    let suspend = |value: bool| (text("/spec/suspend"), json!(value));
    let one = |path: String, value: Value| vec![(path, value)];
    let selector = || (at("template/spec/nodeSelector"), json!({"a": "b"}));
    let annotations = || (at("template/metadata/annotations"), json!({"a": "b"}));
    let gates = || {
        (
            at("template/spec/schedulingGates"),
            json!([{"name": "a/b"}]),
        )
    };
    let claims = |when: &str| {
        (
            text("/spec/volumeClaimPolicies"),
            json!([{"templates": [{"metadata": {"name": "d"}, "spec": {}}], "retentionPolicy": {"whenDeleted": when}}]),
        )
    };
    let mounted = (
        at("template/spec/containers/0/volumeMounts"),
        json!([{"name": "d", "mountPath": "/d"}]),
    );
    let on = |status: &str| {
        (
            text("/spec/replicatedJobs/1/dependsOn"),
            json!([{"name": "a", "status": status}]),
        )
    };
    let immutable = Some("immutable");
    vec![
        (
            "node selector while suspended",
            vec![suspend(true)],
            vec![selector()],
            None,
        ),
        (
            "node selector while running",
            vec![],
            vec![selector()],
            immutable,
        ),
        (
            "hostname while running",
            vec![],
            one(at("template/spec/hostname"), json!("x")),
            immutable,
        ),
        (
            "subdomain while running",
            vec![],
            one(at("template/spec/subdomain"), json!("x")),
            immutable,
        ),
        ("suspended", vec![], vec![suspend(true)], None),
        ("resumed", vec![suspend(true)], vec![suspend(false)], None),
        (
            "success policy",
            vec![],
            one(text("/spec/successPolicy/operator"), json!("Any")),
            immutable,
        ),
        (
            "failure policy",
            one(text("/spec/failurePolicy"), json!({"maxRestarts": 1})),
            one(text("/spec/failurePolicy/maxRestarts"), json!(2)),
            immutable,
        ),
        (
            "managedBy added later",
            vec![],
            one(text("/spec/managedBy"), json!("a.io/b")),
            immutable,
        ),
        (
            "annotations and gates while suspended",
            vec![suspend(true)],
            vec![annotations(), gates()],
            None,
        ),
        (
            "annotations while running",
            vec![],
            vec![annotations()],
            immutable,
        ),
        (
            "dependsOn",
            vec![on("Ready")],
            vec![on("Complete")],
            immutable,
        ),
        (
            "volume claim policies",
            vec![mounted, claims("Delete")],
            vec![claims("Retain")],
            immutable,
        ),
        (
            "scaled with the gate off",
            vec![(at("parallelism"), json!(2)), (at("completions"), json!(2))],
            vec![(at("parallelism"), json!(3)), (at("completions"), json!(3))],
            immutable,
        ),
        (
            "admitted by a queue in one update",
            vec![suspend(true)],
            vec![
                suspend(false),
                selector(),
                annotations(),
                gates(),
                (at("template/metadata/labels"), json!({"a": "b"})),
                (
                    at("template/spec/tolerations"),
                    json!([{"key": "k", "operator": "Exists"}]),
                ),
            ],
            None,
        ),
        (
            "evicted in one update",
            vec![selector(), annotations(), gates()],
            vec![
                suspend(true),
                (at("template/spec/nodeSelector"), json!({})),
                (at("template/metadata/annotations"), json!({})),
                (at("template/spec/schedulingGates"), json!([])),
            ],
            None,
        ),
    ]
}

fn elastic_updates() -> Vec<Update> {
    let size = |p: i32, c: i32| vec![(at("parallelism"), json!(p)), (at("completions"), json!(c))];
    let mut not_indexed = size(2, 2);
    not_indexed.push((at("completionMode"), json!("NonIndexed")));
    vec![
        ("scaled", size(2, 2), size(8, 8), None),
        (
            "unequal",
            size(2, 2),
            size(4, 5),
            Some("equal to parallelism"),
        ),
        ("not Indexed", not_indexed, size(3, 3), Some("immutable")),
        (
            "below one",
            size(2, 2),
            size(0, 0),
            Some("greater than or equal to 1"),
        ),
    ]
}

async fn check_updates(gates: FeatureGates, updates: Vec<Update>) {
    let server = Server::start(gates).await;
    let apply = |object: Value, changes: &[(String, Value)]| {
        let changes: Vec<_> = changes
            .iter()
            .map(|(p, v)| (p.as_str(), v.clone()))
            .collect();
        set(object, &changes)
    };
    for (index, (what, first, then, refusal)) in updates.into_iter().enumerate() {
        let object = jobset(&format!("js{index}"), &[role("a"), role("b")]);
        let stored = server.create(&apply(object, &first)).await;
        let stored = stored.unwrap_or_else(|error| panic!("{what}: {error}"));
        let updated = server.update(&apply(stored, &then)).await;
        match (updated, refusal) {
            (Ok(_), None) => {}
            (Err(found), Some(part)) => assert!(found.contains(part), "{what}: {found}"),
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
    server.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes() {
    check_updates(FeatureGates::default(), updates()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_with_elastic_jobs() {
    let gates = FeatureGates::default().with(Feature::ElasticJobSet, true);
    check_updates(gates, elastic_updates()).await;
}
