//! Each line of the acceptance list for creation, as tables.

use serde_json::{Value, json};

use super::*;
use crate::{
    features::{Feature, FeatureGates},
    resource::JobSet,
};

/// An expected error: its path (empty for a plain one), kind, and parts of its explanation.
type Expected = (&'static str, ErrorKind, &'static [&'static str]);

const PLAIN: ErrorKind = ErrorKind::Internal;
const INVALID: ErrorKind = ErrorKind::Invalid;

struct Case {
    what: &'static str,
    name: String,
    spec: Value,
    gates: FeatureGates,
    expected: Vec<Expected>,
}

fn case(what: &'static str, spec: Value, expected: &[Expected]) -> Case {
    let gates = FeatureGates::default();
    Case {
        what,
        name: "js".into(),
        spec,
        gates,
        expected: expected.to_vec(),
    }
}

impl Case {
    fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    fn gate(self, feature: Feature) -> Self {
        let gates = self.gates.with(feature, true);
        Self { gates, ..self }
    }

    fn errors(&self) -> Vec<FieldError> {
        let jobset: JobSet =
            serde_json::from_value(json!({"metadata": {"name": self.name}, "spec": self.spec}))
                .unwrap();
        validate_create(&jobset, &self.gates)
    }
}

/// The errors must be the expected ones, in order and no more.
fn check(cases: Vec<Case>) {
    for case in cases {
        let errors = case.errors();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors.len(),
            case.expected.len(),
            "{}: {texts:#?}",
            case.what
        );
        for (error, (path, kind, parts)) in errors.iter().zip(&case.expected) {
            assert_eq!(
                (error.path.as_str(), error.kind),
                (*path, *kind),
                "{}: {error}",
                case.what
            );
            for part in *parts {
                assert!(
                    error.body().contains(part),
                    "{}: {part:?} in {error}",
                    case.what
                );
            }
        }
        if !errors.is_empty() {
            let status = invalid_status(&case.name, &errors);
            assert_eq!(
                (status.code, status.reason.as_deref()),
                (Some(422), Some("Invalid"))
            );
        }
    }
}

/// A replicated job of the default group.
fn job(name: &str, template_spec: Value) -> Value {
    json!({"name": name, "groupName": "default", "replicas": 1, "template": {"spec": template_spec}})
}

fn jobs(jobs: &[Value]) -> Value {
    json!({ "replicatedJobs": jobs })
}

/// `value` with the fields of `more`.
fn with(mut value: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
    value
}

fn indexed(completions: i32) -> Value {
    json!({"completionMode": "Indexed", "completions": completions, "parallelism": completions})
}

#[test]
fn general() {
    let a64 = "a".repeat(64);
    let sized = |replicas: i32, parallelism: i32| {
        let job = job("w", json!({"parallelism": parallelism}));
        with(job, json!({"replicas": replicas}))
    };
    check(vec![
        case(
            "products of extremes",
            jobs(&[
                sized(i32::MAX, i32::MAX),
                with(sized(i32::MIN, i32::MIN), json!({"name": "v"})),
            ]),
            &[
                ("", PLAIN, &["2147483647", "'w'"]),
                ("", PLAIN, &["2147483647", "'v'"]),
            ],
        ),
        case("parallelism absent", jobs(&[job("w", json!({}))]), &[]),
        case(
            "no replicas",
            jobs(&[with(job("w", json!({})), json!({"replicas": 0}))]),
            &[],
        ),
        case("no replicated jobs", json!({"replicatedJobs": []}), &[]),
        case("nothing", json!({}), &[]),
        case(
            "unknown success policy target",
            with(
                jobs(&[job("w", json!({}))]),
                json!({"successPolicy": {"operator": "All", "targetReplicatedJobs": ["w", "nix"]}}),
            ),
            &[(
                "",
                PLAIN,
                &["\"nix\" does not appear in .spec.ReplicatedJobs"],
            )],
        ),
        case(
            "long subdomain",
            json!({"network": {"subdomain": a64}}),
            &[(
                "spec.network.subdomain",
                INVALID,
                &[".spec.network.subdomain is too long"],
            )],
        ),
        case(
            "subdomain with a dot is no label",
            json!({"network": {"subdomain": "a.b"}}),
            &[("spec.network.subdomain", INVALID, &["\"a.b\"", "DNS-1035"])],
        ),
        case(
            "bad subdomain",
            json!({"network": {"subdomain": "A"}}),
            &[
                ("spec.network.subdomain", INVALID, &["RFC 1123"]),
                ("spec.network.subdomain", INVALID, &["DNS-1035"]),
            ],
        ),
        case(
            "empty subdomain",
            json!({"network": {"subdomain": ""}}),
            &[],
        ),
        case(
            "dot in a replicated job's name",
            jobs(&[job("w.x", json!({}))]),
            &[(
                "spec.replicatedJobs[0].name",
                INVALID,
                &[
                    "\"js-w.x-0\"",
                    "DNS-1035 label",
                    "[a-z]([-a-z0-9]*[a-z0-9])?",
                ],
            )],
        ),
        case(
            "long group",
            jobs(&[with(job("w", json!({})), json!({"groupName": a64}))]),
            &[(
                "spec.replicatedJobs[0].groupName",
                INVALID,
                &[".spec.replicatedJob[].groupName is too long"],
            )],
        ),
        case(
            "empty group",
            jobs(&[with(job("w", json!({})), json!({"groupName": ""}))]),
            &[("spec.replicatedJobs[0].groupName", INVALID, &["DNS-1035"])],
        ),
        case(
            "long job name",
            jobs(&[with(job("w", json!({})), json!({"replicas": 101}))]),
            &[(
                "spec.replicatedJobs[0].name",
                INVALID,
                &["JobSet name", "job names", "63"],
            )],
        )
        .named("a".repeat(62)),
        case(
            "long pod name shows the job's name",
            jobs(&[job("w", indexed(1))]),
            &[(
                "spec.replicatedJobs[0].name",
                INVALID,
                &["pod names", "63", "Invalid value: \"aaaa", "a-w-0\""],
            )],
        )
        .named("a".repeat(56)),
        case(
            "not Indexed: only the job name counts",
            jobs(&[job("w", json!({"completions": 1}))]),
            &[],
        )
        .named("a".repeat(56)),
    ]);
}

#[test]
fn generated_name_is_checked_with_its_random_suffix() {
    let jobset: JobSet = serde_json::from_value(json!({
        "metadata": {"generateName": "a".repeat(50)},
        "spec": {
            "replicatedJobs": [job("worker", json!({"template": {"spec": {"containers": [
                {"volumeMounts": [{"name": "datasets"}]},
            ]}}}))],
            "volumeClaimPolicies": [{"templates": [{"metadata": {"name": "datasets"}}]}],
        },
    }))
    .unwrap();
    let errors = validate_create(&jobset, &FeatureGates::default());
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.replicatedJobs[0].name",
            "spec.volumeClaimPolicies[0].template[0].name"
        ]
    );
    assert!(errors[0].detail.contains("job names"), "{}", errors[0]);
    assert!(errors[1].detail.contains("too long"), "{}", errors[1]);
}

#[test]
fn name_for_validation() {
    let jobset = |metadata: Value| -> JobSet {
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    };
    assert_eq!(
        validation_name(&jobset(json!({"name": "js", "generateName": "x"}))),
        "js"
    );
    let base = "abcdefghij".repeat(6);
    let generated = jobset(json!({"generateName": base}));
    let name = validation_name(&generated);
    assert_eq!((name.len(), &name[..58]), (63, &base[..58]));
    assert_eq!(validation_name(&jobset(json!({}))), "");
    // A character that spans the cut must not panic.
    let wide = jobset(json!({"generateName": "ä".repeat(40)}));
    assert!(validation_name(&wide).len() <= 63);
}

#[test]
fn managed_by() {
    let managed_by = |name: &str| json!({ "managedBy": name });
    let path = "spec.managedBy";
    check(vec![
        case(
            "built-in",
            managed_by("jobset.sigs.k8s.io/jobset-controller"),
            &[],
        ),
        case("other", managed_by("acme.io/foo/bar:1"), &[]),
        case(
            "no prefix",
            managed_by("foo"),
            &[(path, INVALID, &["domain-prefixed path", "\"foo\""])],
        ),
        case(
            "empty path",
            managed_by("foo/"),
            &[(path, INVALID, &["domain-prefixed path"])],
        ),
        case(
            "empty host",
            managed_by("/foo"),
            &[(path, INVALID, &["domain-prefixed path"])],
        ),
        case(
            "bad host and path",
            managed_by("Foo/b r"),
            &[
                (path, INVALID, &["RFC 1123", "\"Foo\""]),
                (path, INVALID, &["invalid path", "\"b r\""]),
            ],
        ),
        case(
            "long",
            managed_by(&format!("foo.bar/{}", "a".repeat(63))),
            &[(path, ErrorKind::TooLong, &["63"])],
        ),
        case(
            "long and not prefixed",
            managed_by(&"a".repeat(64)),
            &[
                (path, INVALID, &["domain-prefixed"]),
                (path, ErrorKind::TooLong, &["63"]),
            ],
        ),
        case("empty", managed_by(""), &[(path, ErrorKind::Required, &[])]),
    ]);
}

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
fn depends_on() {
    let job = |name: &str, dependencies: &[&str]| {
        let list: Vec<_> = dependencies
            .iter()
            .map(|name| json!({"name": name, "status": "Ready"}))
            .collect();
        let job = job(name, json!({}));
        if list.is_empty() {
            job
        } else {
            with(job, json!({ "dependsOn": list }))
        }
    };
    let cannot = |on: &'static str| -> Expected {
        let parts: &'static [&'static str] = match on {
            "c" => &["replicatedJob: c"],
            _ => &["replicatedJob: nix"],
        };
        ("", PLAIN, parts)
    };
    check(vec![
        case(
            "2 and 3 on 1",
            jobs(&[job("a", &[]), job("b", &["a"]), job("c", &["a"])]),
            &[],
        ),
        case(
            "a chain",
            jobs(&[job("a", &[]), job("b", &["a"]), job("c", &["b"])]),
            &[],
        ),
        case(
            "3 on 1 and 2",
            jobs(&[job("a", &[]), job("b", &[]), job("c", &["a", "b"])]),
            &[],
        ),
        case(
            "2 on a later one",
            jobs(&[job("a", &[]), job("b", &["c"]), job("c", &[])]),
            &[cannot("c")],
        ),
        case(
            "2 on 1 and a later one",
            jobs(&[job("a", &[]), job("b", &["a", "c"]), job("c", &[])]),
            &[cannot("c")],
        ),
        case(
            "unknown",
            jobs(&[job("a", &[]), job("b", &["nix"])]),
            &[cannot("nix")],
        ),
        case(
            "on the first",
            jobs(&[job("a", &["nix"])]),
            &[
                ("", PLAIN, &["DependsOn", "first ReplicatedJob"]),
                cannot("nix"),
            ],
        ),
        case(
            "an empty list on the first counts",
            jobs(&[with(job("a", &[]), json!({"dependsOn": []}))]),
            &[("", PLAIN, &["first ReplicatedJob"])],
        ),
        case(
            "on itself passes",
            jobs(&[job("a", &[]), job("b", &["b"])]),
            &[],
        ),
    ]);
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
            &[(
                "spec.replicatedJobs",
                INVALID,
                &["volumeMount", "\"data\"", "[{"],
            )],
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
