//! Lists: selectors, pages, versions, other forms.

use serde_json::{Value, json};

use super::config_maps::ALL;
use crate::differential::requests::Step;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

pub(super) fn steps() -> Vec<Step> {
    let object = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}, "data": {"k": name}});
    // The cluster's own ConfigMap with its certificates must not be among them.
    let ours = |query: &str| format!("{ALL}?labelSelector=ours{query}");
    let labels = |selector: &str| format!("{ALL}?labelSelector=ours,{selector}");
    vec![
        Step::post(
            "c1",
            ALL,
            object("c1", json!({"ours": "", "app": "x", "n": "1"})),
        ),
        Step::post(
            "c2",
            ALL,
            object("c2", json!({"ours": "", "app": "y", "n": "2"})),
        ),
        Step::post("c3", ALL, object("c3", json!({"ours": "", "app": "y"})))
            .save("third", "/metadata/resourceVersion"),
        Step::post("c4", ALL, object("c4", json!({"ours": "", "n": "4"}))),
        Step::get("all", &ours("")),
        Step::get("equal", &labels("app%3Dy")),
        Step::get("double-equal", &labels("app%3D%3Dy")),
        Step::get("unequal", &labels("app!%3Dy")),
        Step::get("in", &labels("app%20in%20(x,%20z)")),
        Step::get("not-in", &labels("app%20notin%20(x)")),
        Step::get("exists", &labels("n")),
        Step::get("absent", &labels("!n")),
        Step::get("greater", &labels("n%3E1")),
        Step::get("both", &labels("app%3Dy,n%3D2")),
        Step::get("bad-selector", &labels("app%20is%20y")),
        Step::get("bad-value", &labels("app%3D-y-")),
        Step::get("field", &format!("{ALL}?fieldSelector=metadata.name%3Dc2")),
        Step::get("field-unequal", &ours("&fieldSelector=metadata.name!%3Dc2")),
        Step::get("bad-field", &format!("{ALL}?fieldSelector=data.k%3Dc1")),
        Step::get("page-1", &ours("&limit=3")).save("continue", "/metadata/continue"),
        Step::get("page-2", &ours("&limit=3&continue={continue}")),
        Step::get("bad-continue", &ours("&limit=3&continue=nonsense")),
        Step::get("bad-limit", &ours("&limit=some")),
        Step::get("any-version", &ours("&resourceVersion=0")),
        Step::get("bad-version", &ours("&resourceVersion=x")),
        Step::get(
            "not-older",
            &ours("&resourceVersion={third}&resourceVersionMatch=NotOlderThan"),
        ),
        Step::get(
            "exact",
            &ours("&resourceVersion={third}&resourceVersionMatch=Exact"),
        ),
        Step::get(
            "match-without-version",
            &ours("&resourceVersionMatch=Exact"),
        ),
        Step::get(
            "match-unknown",
            &ours("&resourceVersion={third}&resourceVersionMatch=Nearly"),
        ),
        Step::get(
            "continue-with-version",
            &ours("&continue={continue}&resourceVersion={third}"),
        ),
        Step::get("as-table", &ours("")).accept(TABLE),
        Step::get("as-metadata", &ours("")).accept(METADATA_LIST),
        Step::get("one", &format!("{ALL}/c1")),
        Step::get("one-as-table", &format!("{ALL}/c1")).accept(TABLE),
        Step::get("one-as-metadata", &format!("{ALL}/c1")).accept(METADATA),
        Step::get("as-nothing-known", &format!("{ALL}/c1")).accept("text/csv"),
        Step::get(
            "one-at-version",
            &format!("{ALL}/c1?resourceVersion={{third}}"),
        ),
        Step::get(
            "other-namespace",
            "/api/v1/namespaces/no-such-namespace/configmaps",
        ),
        Step::get(
            "everywhere",
            "/api/v1/configmaps?labelSelector=ours,app%3Dx,none",
        ),
    ]
}
