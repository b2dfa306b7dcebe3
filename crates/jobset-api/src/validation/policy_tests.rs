//! Each line of the acceptance list for creation that is about policies, as tables.

use serde_json::{Value, json};

use super::create_tests::{Expected, INVALID, PLAIN, case, check, indexed, job, jobs, with};
use crate::features::Feature;

#[test]
fn failure_policy() {
    let rules = |rules: Value| {
        with(
            jobs(&[job("w", json!({}))]),
            json!({"failurePolicy": {"rules": rules}}),
        )
    };
    let rule = |more: Value| {
        let rule = json!({"name": "r", "action": "FailJobSet"});
        rules(json!([with(rule, more)]))
    };
    let named = |name: &str| rule(json!({ "name": name }));
    let many = |action: &str| {
        let mut spec = rule(json!({ "action": action }));
        spec["replicatedJobs"][0]["replicas"] = 1025.into();
        spec
    };
    check(vec![
        case(
            "camel case name, no action",
            rule(json!({"name": "aRule", "action": ""})),
            &[],
        ),
        case(
            "known reasons",
            rule(json!({"onJobFailureReasons": crate::constants::JOB_FAILURE_REASONS})),
            &[],
        ),
        case(
            "unknown reason",
            rule(json!({"onJobFailureReasons": ["Nix"]})),
            &[("", PLAIN, &["\"Nix\""])],
        ),
        case(
            "unknown target",
            rule(json!({"targetReplicatedJobs": ["w", "nix"]})),
            &[("", PLAIN, &["failure policy", "\"nix\""])],
        ),
        case(
            "empty name",
            named(""),
            &[
                ("", PLAIN, &["length 0", "1", "128"]),
                ("", PLAIN, &["\"\""]),
            ],
        ),
        case(
            "129 characters",
            named(&"a".repeat(129)),
            &[("", PLAIN, &["129", "between 1 and 128"])],
        ),
        case("128 characters", named(&"a".repeat(128)), &[]),
        case(
            "digit first",
            named("1a"),
            &[("", PLAIN, &["\"1a\"", "letter"])],
        ),
        case("comma last", named("a,"), &[("", PLAIN, &["\"a,\""])]),
        case(
            "same name twice",
            rules(json!([{"name": "a", "action": ""}, {"name": "a", "action": ""}])),
            &[("", PLAIN, &["[0 1]", "\"a\"", "unique"])],
        ),
        case(
            "RestartJob, 1025 replicas",
            many("RestartJob"),
            &[(
                "",
                PLAIN,
                &["RestartJob", "RestartJobAndIgnoreMaxRestarts", "1024"],
            )],
        )
        .gate(Feature::RestartJob),
        case(
            "RestartJobAndIgnoreMaxRestarts, 1025 replicas",
            many("RestartJobAndIgnoreMaxRestarts"),
            &[("", PLAIN, &["1024"])],
        )
        .gate(Feature::RestartJob),
        case(
            "RestartJob, gate on",
            rule(json!({"action": "RestartJob"})),
            &[],
        )
        .gate(Feature::RestartJob),
        case(
            "RestartJob, gate off: other failure policy rules are not looked at",
            rule(json!({"action": "RestartJob", "name": ""})),
            &[(
                "",
                PLAIN,
                &["RestartJobAndIgnoreMaxRestarts", "feature gate RestartJob"],
            )],
        ),
        case(
            "RestartJobAndIgnoreMaxRestarts, gate off",
            rule(json!({"action": "RestartJobAndIgnoreMaxRestarts"})),
            &[("", PLAIN, &["feature gate RestartJob"])],
        ),
    ]);
}

#[test]
fn coordinator() {
    let spec = |coordinator: Value, template: Value| {
        with(
            jobs(&[job("w", template)]),
            json!({ "coordinator": coordinator }),
        )
    };
    let long = "a".repeat(60);
    let label: &[&str] = &["jobset.sigs.k8s.io/coordinator", "63"];
    check(vec![
        case("good", spec(json!({"replicatedJob": "w"}), indexed(2)), &[]),
        case(
            "unknown replicated job",
            spec(json!({"replicatedJob": "nix"}), indexed(1)),
            &[("", PLAIN, &["nix", "does not exist"])],
        ),
        case(
            "completions missing",
            spec(
                json!({"replicatedJob": "w"}),
                json!({"completionMode": "Indexed"}),
            ),
            &[("", PLAIN, &["Indexed", "completions"])],
        ),
        case(
            "not Indexed",
            spec(json!({"replicatedJob": "w"}), json!({"completions": 1})),
            &[("", PLAIN, &["Indexed", "completions"])],
        ),
        case(
            "job index = replicas",
            spec(json!({"replicatedJob": "w", "jobIndex": 1}), indexed(1)),
            &[("", PLAIN, &["job index 1", "w"])],
        ),
        case(
            "pod index = completions",
            spec(json!({"replicatedJob": "w", "podIndex": 1}), indexed(1)),
            &[("", PLAIN, &["pod index 1", "w", "job index 0"])],
        ),
        case(
            "negative pod index",
            spec(json!({"replicatedJob": "w", "podIndex": -1}), indexed(1)),
            &[("", PLAIN, &["pod index -1"])],
        ),
        case(
            "label too long because of the subdomain",
            with(
                spec(json!({"replicatedJob": "w"}), indexed(1)),
                json!({"network": {"subdomain": long}}),
            ),
            &[("", PLAIN, label)],
        ),
    ]);
    // A long JobSet or replicated job name breaks rules for generated names too.
    let by_jobset = case(
        "JobSet",
        spec(json!({"replicatedJob": "w"}), indexed(1)),
        &[],
    );
    let mut by_job = spec(json!({"replicatedJob": long}), indexed(1));
    by_job["replicatedJobs"][0]["name"] = long.clone().into();
    for case in [by_jobset.named(long), case("replicated job", by_job, &[])] {
        let errors = case.errors();
        let found = errors
            .iter()
            .any(|e| label.iter().all(|part| e.detail.contains(part)));
        assert!(found, "{}: {errors:?}", case.what);
    }
}

#[test]
fn volume_claims() {
    let pod = |pod: Value| json!({"template": {"spec": pod}});
    let mounting = |name: &str| json!([{"name": "c", "volumeMounts": [{"name": name}]}]);
    let claims = |policies: &[&[&str]]| {
        let policies: Vec<_> = policies
            .iter()
            .map(|names| {
                let templates: Vec<_> = names
                    .iter()
                    .map(|name| json!({"metadata": {"name": name}}))
                    .collect();
                json!({ "templates": templates })
            })
            .collect();
        json!({ "volumeClaimPolicies": policies })
    };
    let mounted = |name: &str| jobs(&[job("w", pod(json!({"containers": mounting(name)})))]);
    let path = "spec.volumeClaimPolicies[0].template[0].name";
    let long = "a".repeat(64);
    check(vec![
        case("mounted", with(mounted("data"), claims(&[&["data"]])), &[]),
        case(
            "mounted by an init container of the second replicated job",
            with(
                jobs(&[
                    job("w", json!({})),
                    job("v", pod(json!({"initContainers": mounting("data")}))),
                ]),
                claims(&[&["data"]]),
            ),
            &[],
        ),
        case(
            "same name in two policies",
            with(mounted("data"), claims(&[&["data"], &["data"]])),
            &[(
                "spec.volumeClaimPolicies[1].template[0].name",
                INVALID,
                &["unique", "\"data\""],
            )],
        ),
        case(
            "upper case",
            with(mounted("Data"), claims(&[&["Data"]])),
            &[(path, INVALID, &["RFC 1123 subdomain"])],
        ),
        case(
            "64 characters",
            with(mounted(&long), claims(&[&[&long]])),
            &[(path, INVALID, &["too long"])],
        ),
        case(
            "not mounted",
            with(mounted("other"), claims(&[&["data"]])),
            &[
                (
                    "spec.replicatedJobs",
                    INVALID,
                    &["volumeMount", "\"data\"", "[{"],
                ),
                (
                    "spec.replicatedJobs[0].template.spec.template.spec.containers[0]\
                     .volumeMounts[0].name",
                    INVALID,
                    &["\"other\""],
                ),
            ],
        ),
        case(
            "volume of the same name",
            with(
                jobs(&[job(
                    "w",
                    pod(json!({"containers": mounting("data"), "volumes": [
                        {"name": "other"}, {"name": "data"},
                    ]})),
                )]),
                claims(&[&["data"]]),
            ),
            &[(
                "spec.replicatedJobs[0].template.spec.template.spec.volumes[1].name",
                INVALID,
                &["conflicts", "\"data\""],
            )],
        ),
    ]);
}

#[test]
fn in_place_restart() {
    let spec = |more: Value| {
        let template = json!({
            "completions": 1, "parallelism": 1, "backoffLimit": i32::MAX,
            "podReplacementPolicy": "Failed",
        });
        with(
            jobs(&[job("w", with(template, more))]),
            json!({"failurePolicy": {"restartStrategy": "InPlaceRestart"}}),
        )
    };
    let on = |what, more, expected: &[Expected]| {
        case(what, spec(more), expected).gate(Feature::InPlaceRestart)
    };
    let completions: Expected = (
        "spec.replicatedJobs[0].template.spec.completions",
        INVALID,
        &["'w'", "equal", "in-place restart"],
    );
    check(vec![
        case(
            "gate off",
            spec(json!({"backoffLimit": 0})),
            &[(
                "",
                PLAIN,
                &[
                    "InPlaceRestart is not allowed",
                    "feature gate InPlaceRestart",
                ],
            )],
        ),
        on("good", json!({}), &[]),
        on(
            "backoffLimit 0",
            json!({"backoffLimit": 0}),
            &[(
                "spec.replicatedJobs[0].template.spec.backoffLimit",
                INVALID,
                &["'w'", "2147483647", "value: 0"],
            )],
        ),
        on(
            "backoffLimit absent",
            json!({"backoffLimit": null}),
            &[(
                "spec.replicatedJobs[0].template.spec.backoffLimit",
                INVALID,
                &["value: null"],
            )],
        ),
        on(
            "replacement of terminating Pods",
            json!({"podReplacementPolicy": "TerminatingOrFailed"}),
            &[(
                "spec.replicatedJobs[0].template.spec.podReplacementPolicy",
                INVALID,
                &["'w'", "Failed"],
            )],
        ),
        on("unequal", json!({"completions": 2}), &[completions]),
        on(
            "completions absent",
            json!({"completions": null}),
            &[completions],
        ),
        on(
            "parallelism absent",
            json!({"parallelism": null}),
            &[completions],
        ),
    ]);
}

#[test]
fn existing_claims() {
    use super::{FieldError, claim_names, validate_claims};
    use crate::resource::JobSet;

    let spec = |size: &str| json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
    let jobset = |retention: Value, metadata: Value| -> JobSet {
        let templates =
            ["data", "logs"].map(|name| json!({"metadata": {"name": name}, "spec": spec("1Gi")}));
        let policy = with(json!({ "templates": templates }), retention);
        serde_json::from_value(json!({
            "metadata": with(json!({"namespace": "ns"}), metadata),
            "spec": {"volumeClaimPolicies": [policy]},
        }))
        .unwrap()
    };
    let named = || json!({"name": "js"});
    let retention = |when: Value| json!({"retentionPolicy": {"whenDeleted": when}});
    let check = |retention: Value, claim: Result<Value, String>| -> Vec<FieldError> {
        validate_claims(&jobset(retention, named()), |name| match name {
            "data-js" => claim.clone().map(Some),
            "logs-js" => Ok(None),
            other => panic!("{other} was looked up"),
        })
    };
    let claim = |spec: Value| Ok(json!({ "spec": spec }));
    let bound = with(
        spec("1024Mi"),
        json!({"volumeName": "pv", "volumeMode": "Filesystem", "storageClassName": "fast"}),
    );
    let when_deleted = "spec.volumeClaimPolicies[0].retentionPolicy.whenDeleted";
    let different = "spec.volumeClaimPolicies[0].template[0].spec";
    let retain = || retention(json!("Retain"));
    type Row<'a> = (
        &'a str,
        Value,
        Result<Value, String>,
        &'a [(&'a str, &'a str)],
    );
    let table: &[Row<'_>] = &[
        ("equal, Retain", retain(), claim(spec("1Gi")), &[]),
        ("equal once bound", retain(), claim(bound), &[]),
        ("equal, no policy", json!({}), claim(spec("1Gi")), &[]),
        (
            "equal, Delete",
            retention(json!("Delete")),
            claim(spec("1Gi")),
            &[(when_deleted, "must be Retain")],
        ),
        (
            "equal, when deleted not given",
            retention(Value::Null),
            claim(spec("1Gi")),
            &[(when_deleted, "\"Delete\"")],
        ),
        (
            "different size",
            retain(),
            claim(spec("2Gi")),
            &[(different, "\"data-js\" in namespace \"ns\"")],
        ),
        (
            "no spec",
            retain(),
            Ok(json!({})),
            &[(different, "does not match")],
        ),
        (
            "look-up failed",
            retain(),
            Err("connection refused".to_owned()),
            &[(
                "spec.volumeClaimPolicies[0].template[0]",
                "Internal error: cannot look up the persistent volume claim \"data-js\": connection",
            )],
        ),
    ];
    for (what, retention, claim, expected) in table {
        let errors = check(retention.clone(), claim.clone());
        let found: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        let paths: Vec<_> = expected.iter().map(|&(path, _)| path).collect();
        assert_eq!(found, paths, "{what}: {errors:#?}");
        for (error, (_, part)) in errors.iter().zip(*expected) {
            assert!(error.body().contains(part), "{what}: {error}");
        }
    }
    assert_eq!(
        claim_names(&jobset(retain(), named())),
        ["data-js", "logs-js"]
    );
    // Whatever name it will get, no claim can exist for it.
    let unnamed = jobset(retain(), json!({"generateName": "js-"}));
    assert_eq!(claim_names(&unnamed), [""; 0]);
    assert_eq!(validate_claims(&unnamed, |_| panic!("looked up")), []);
}
