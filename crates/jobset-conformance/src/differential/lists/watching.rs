//! Watches, each of them over after a second.

use serde_json::json;

use super::config_maps::ALL;
use crate::differential::requests::Step;

const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

pub(super) fn steps() -> Vec<Step> {
    let one = |name: &str| format!("{ALL}/{name}");
    let watch = |query: &str| format!("{ALL}?watch=true&timeoutSeconds=1{query}");
    // A real cluster puts a ConfigMap of its own into every namespace, at any time.
    let ours = |name: &str| json!({"metadata": {"name": name, "labels": {"ours": ""}}});
    let app = |value| json!({"metadata": {"labels": {"app": value}}});
    vec![
        Step::post("first", ALL, ours("a")).save("start", "/metadata/resourceVersion"),
        Step::post("second", ALL, ours("b")),
        Step::patch("enters", "merge", &one("b"), app("x")),
        Step::patch("changes", "merge", &one("b"), json!({"data": {"k": "1"}})),
        Step::patch("leaves", "merge", &one("b"), app("y")),
        Step::patch("enters-again", "merge", &one("b"), app("x")),
        Step::delete("goes", &one("b"), json!(null)),
        Step::get(
            "since",
            &watch("&resourceVersion={start}&labelSelector=ours"),
        ),
        Step::get(
            "since-one",
            &watch("&resourceVersion={start}&fieldSelector=metadata.name%3Db"),
        ),
        Step::get(
            "since-labelled",
            &watch("&resourceVersion={start}&labelSelector=app%3Dx"),
        ),
        Step::get(
            "since-as-metadata",
            &watch("&resourceVersion={start}&fieldSelector=metadata.name%3Db"),
        )
        .accept(METADATA),
        Step::get("from-now", &watch("&fieldSelector=metadata.name%3Da")),
        Step::get(
            "from-any",
            &watch("&resourceVersion=0&fieldSelector=metadata.name%3Da"),
        ),
        Step::get("bad-version", &watch("&resourceVersion=x")),
        Step::get("bad-selector", &watch("&labelSelector=a%20is%20b")),
        Step::get(
            "initial-events",
            &watch(
                "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                 &allowWatchBookmarks=true&fieldSelector=metadata.name%3Da",
            ),
        ),
        Step::get(
            "initial-events-unmatched",
            &watch("&sendInitialEvents=true"),
        ),
        Step::get(
            "match-without-initial",
            &watch("&resourceVersionMatch=NotOlderThan"),
        ),
    ]
}
