//! Each line of the acceptance list for creation, as tables; the first column is the line.
//!
//! | lines about | test |
//! |---|---|
//! | general | `general`, `generated_name_is_checked_with_its_random_suffix` |
//! | the name that is validated | `name_for_validation` |
//! | `managedBy` | `managed_by` |
//! | `dependsOn` | `depends_on`; no replicated jobs at all: `general` |
//! | failure policy, coordinator, volume claims, in-place restart | `policy_tests.rs`, a test each |
//!
//! The lines about what an API server does with the whole object, with the schema's own rules, are
//! in `crates/jobset-cli/tests/admission`.

use serde_json::{Value, json};

use super::*;
use crate::{
    features::{Feature, FeatureGates},
    resource::JobSet,
};

/// An expected error: its path (empty for a plain one), kind, and parts of its explanation.
pub(super) type Expected = (&'static str, ErrorKind, &'static [&'static str]);

pub(super) const PLAIN: ErrorKind = ErrorKind::Internal;
pub(super) const INVALID: ErrorKind = ErrorKind::Invalid;

pub(super) struct Case {
    pub(super) what: &'static str,
    name: String,
    spec: Value,
    gates: FeatureGates,
    expected: Vec<Expected>,
}

pub(super) fn case(what: &'static str, spec: Value, expected: &[Expected]) -> Case {
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
    pub(super) fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    pub(super) fn gate(self, feature: Feature) -> Self {
        let gates = self.gates.with(feature, true);
        Self { gates, ..self }
    }

    pub(super) fn errors(&self) -> Vec<FieldError> {
        let spec = complete(self.spec.clone());
        let jobset: JobSet =
            serde_json::from_value(json!({"metadata": {"name": self.name}, "spec": spec})).unwrap();
        validate_create(&jobset, &self.gates)
    }
}

/// Fills in what Pods must have, so that a table need not repeat it.
fn complete(mut spec: Value) -> Value {
    let jobs = spec["replicatedJobs"].as_array_mut();
    for job in jobs.into_iter().flatten() {
        let pod = &mut job["template"]["spec"]["template"]["spec"];
        if pod["containers"].is_null() {
            pod["containers"] = json!([{"name": "default"}]);
        }
        for list in ["containers", "initContainers"] {
            for container in pod[list].as_array_mut().into_iter().flatten() {
                let named = with(json!({"name": "c", "image": "i"}), container.clone());
                *container = named;
                for mount in container["volumeMounts"]
                    .as_array_mut()
                    .into_iter()
                    .flatten()
                {
                    mount["mountPath"] = "/data".into();
                }
            }
        }
    }
    spec
}

/// The errors must be the expected ones, in order and no more.
pub(super) fn check(cases: Vec<Case>) {
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
pub(super) fn job(name: &str, template_spec: Value) -> Value {
    json!({"name": name, "groupName": "default", "replicas": 1, "template": {"spec": template_spec}})
}

pub(super) fn jobs(jobs: &[Value]) -> Value {
    json!({ "replicatedJobs": jobs })
}

/// `value` with the fields of `more`.
pub(super) fn with(mut value: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
    value
}

pub(super) fn indexed(completions: i32) -> Value {
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
        "spec": complete(json!({
            "replicatedJobs": [job("worker", json!({"template": {"spec": {"containers": [
                {"volumeMounts": [{"name": "datasets"}]},
            ]}}}))],
            "volumeClaimPolicies": [{"templates": [{"metadata": {"name": "datasets"}}]}],
        })),
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
