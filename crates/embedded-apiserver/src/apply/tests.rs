use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::patch::tests::any_json;

const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:01:00Z";

fn by<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "v1",
        subresource: "",
        now,
    }
}

fn pod() -> Topology<'static> {
    Topology::built_in("Pod")
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn put(live: Option<&Value>, data: Value, manager: &str) -> Result<Value, ApplyError> {
    apply(
        live,
        &config(data),
        by(manager, NOW),
        false,
        Topology::built_in("ConfigMap"),
    )
}

fn owned(object: &Value, manager: &str) -> Value {
    let list = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.iter()
        .find(|e| e["manager"] == manager)
        .map_or(Value::Null, |e| e["fieldsV1"].clone())
}

#[test]
fn a_first_apply_owns_what_it_says() {
    let object = put(None, json!({"a": "1"}), "m").unwrap();
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([{
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }])
    );
}

#[test]
fn applying_again_changes_nothing() {
    let first = put(None, json!({"a": "1"}), "m").unwrap();
    let again = apply(
        Some(&first),
        &config(json!({"a": "1"})),
        by("m", LATER),
        false,
        Topology::built_in("ConfigMap"),
    );
    assert_eq!(again, Ok(first));
}

#[test]
fn what_is_no_longer_applied_goes() {
    let first = put(None, json!({"a": "1", "b": "2"}), "m").unwrap();
    let second = put(Some(&first), json!({"b": "2"}), "m").unwrap();
    assert_eq!(second["data"], json!({"b": "2"}));
    let mut without = config(json!({}));
    without.as_object_mut().unwrap().remove("data");
    let topology = Topology::built_in("ConfigMap");
    let third = apply(Some(&second), &without, by("m", NOW), false, topology).unwrap();
    assert_eq!(third.get("data"), None);
    assert_eq!(third["metadata"].get("managedFields"), None);
}

#[test]
fn what_others_own_or_nobody_stays() {
    let first = put(None, json!({"a": "1"}), "m").unwrap();
    let mut both = put(Some(&first), json!({"a": "1", "b": "2"}), "other").unwrap();
    both["data"]["free"] = json!("x");
    let left = put(Some(&both), json!({}), "m").unwrap();
    assert_eq!(left["data"], json!({"a": "1", "b": "2", "free": "x"}));
    let left = put(Some(&left), json!({"b": "2"}), "other").unwrap();
    assert_eq!(left["data"], json!({"b": "2", "free": "x"}));
}

#[test]
fn another_value_conflicts_and_force_takes_over() {
    let first = put(None, json!({"a": "1"}), "m").unwrap();
    let error = put(Some(&first), json!({"a": "2"}), "other").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"m\": .data.a"
    );
    let topology = Topology::built_in("ConfigMap");
    let taken = apply(
        Some(&first),
        &config(json!({"a": "2"})),
        by("other", NOW),
        true,
        topology,
    )
    .unwrap();
    assert_eq!(taken["data"]["a"], "2");
    assert_eq!(owned(&taken, "m"), Value::Null);
    assert_eq!(owned(&taken, "other"), json!({"f:data": {"f:a": {}}}));
}

#[test]
fn conflicts_with_updates_say_when() {
    let mut object = config(json!({"a": "1", "b": "1"}));
    let topology = Topology::built_in("ConfigMap");
    track_update(None, &mut object, Some(by("kubectl", NOW)), topology);
    assert_eq!(
        owned(&object, "kubectl"),
        json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}})
    );
    let error = put(Some(&object), json!({"a": "2", "b": "2"}), "m").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1 at {NOW}:\n\
             - .data.a\n- .data.b"
        )
    );
}

#[test]
fn updates_take_fields_from_appliers() {
    let old = put(None, json!({"a": "1", "b": "1"}), "m").unwrap();
    let mut new = old.clone();
    new["data"]["a"] = json!("2");
    let topology = Topology::built_in("ConfigMap");
    track_update(Some(&old), &mut new, Some(by("edit", LATER)), topology);
    assert_eq!(owned(&new, "m"), json!({"f:data": {"f:b": {}}}));
    assert_eq!(owned(&new, "edit"), json!({"f:data": {"f:a": {}}}));
    // And what an update removes, nobody owns.
    let mut gone = new.clone();
    gone["data"] = json!({"b": "1"});
    track_update(Some(&new), &mut gone, Some(by("edit", LATER)), topology);
    assert_eq!(owned(&gone, "edit"), Value::Null);
    assert_eq!(owned(&gone, "m"), json!({"f:data": {"f:b": {}}}));
}

#[test]
fn a_write_without_a_manager_keeps_the_record() {
    let old = put(None, json!({"a": "1"}), "m").unwrap();
    let mut new = config(json!({"a": "2"}));
    track_update(Some(&old), &mut new, None, Topology::built_in("ConfigMap"));
    assert_eq!(
        new["metadata"]["managedFields"],
        old["metadata"]["managedFields"]
    );
    let mut fresh = config(json!({}));
    track_update(None, &mut fresh, None, Topology::Unknown);
    assert_eq!(fresh, config(json!({})));
}

#[test]
fn the_record_can_be_cleared() {
    let old = put(None, json!({"a": "1"}), "m").unwrap();
    let mut new = old.clone();
    new["metadata"]["managedFields"] = json!([{}]);
    track_update(
        Some(&old),
        &mut new,
        Some(by("edit", NOW)),
        Topology::Unknown,
    );
    assert_eq!(new["metadata"].get("managedFields"), None);
}

#[test]
fn keyed_lists_are_owned_by_element() {
    let spec = |containers: Value| json!({"kind": "Pod", "apiVersion": "v1", "spec": {"containers": containers}});
    let first = apply(
        None,
        &spec(json!([{"name": "a", "image": "1", "ports": [{"containerPort": 80}]}])),
        by("m", NOW),
        false,
        pod(),
    )
    .unwrap();
    assert_eq!(
        owned(&first, "m"),
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {
            ".": {},
            "f:name": {},
            "f:image": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                ".": {}, "f:containerPort": {},
            }},
        }}}})
    );
    // Another manager adds a sidecar; the first keeps its own.
    let both = apply(
        Some(&first),
        &spec(json!([{"name": "s", "image": "2"}])),
        by("n", NOW),
        false,
        pod(),
    )
    .unwrap();
    assert_eq!(both["spec"]["containers"].as_array().unwrap().len(), 2);
    // A default that nobody owns goes with its element.
    let mut defaulted = both.clone();
    defaulted["spec"]["containers"][0]["terminationMessagePath"] = json!("/dev/x");
    defaulted["spec"]["containers"][1]["terminationMessagePath"] = json!("/dev/x");
    let left = apply(
        Some(&defaulted),
        &spec(json!([])),
        by("n", NOW),
        false,
        pod(),
    )
    .unwrap();
    let names: Vec<_> = left["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["a"]);
    // An element others own part of stays with that part and its key.
    let shared = apply(
        Some(&first),
        &spec(json!([{"name": "a", "tty": true}])),
        by("n", NOW),
        false,
        pod(),
    )
    .unwrap();
    let left = apply(Some(&shared), &spec(json!([])), by("m", NOW), false, pod()).unwrap();
    assert_eq!(
        left["spec"]["containers"],
        json!([{"name": "a", "tty": true}])
    );
    // A conflict names the element.
    let error = apply(
        Some(&first),
        &spec(json!([{"name": "a", "image": "9"}])),
        by("n", NOW),
        false,
        pod(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(": .spec.containers[name=\"a\"].image"),
        "{error}"
    );
}

#[test]
fn lists_keep_the_applied_order_and_others_their_place() {
    for (old, applied, expected) in [
        ("ab", "c", "abc"),
        ("abc", "ca", "cab"),
        ("abc", "ac", "abc"),
        ("xay", "ba", "xbay"),
        ("", "ba", "ba"),
    ] {
        let list = |names: &str| -> Value {
            let items: Vec<Value> = names
                .chars()
                .map(|c| json!({"name": c.to_string()}))
                .collect();
            json!({"spec": {"containers": items}})
        };
        let merged = apply(Some(&list(old)), &list(applied), by("m", NOW), false, pod()).unwrap();
        assert_eq!(merged["spec"], list(expected)["spec"], "{old} + {applied}");
    }
}

#[test]
fn sets_are_owned_by_value_and_atomics_whole() {
    let object = json!({
        "metadata": {"finalizers": ["x/y"]},
        "spec": {"tolerations": [{"key": "a"}], "nodeSelector": {"a": "1"}},
    });
    let first = apply(None, &object, by("m", NOW), false, pod()).unwrap();
    assert_eq!(
        owned(&first, "m"),
        json!({
            "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {"f:tolerations": {}, "f:nodeSelector": {}},
        })
    );
    let other = json!({"spec": {"nodeSelector": {"b": "1"}}});
    let error = apply(Some(&first), &other, by("n", NOW), false, pod()).unwrap_err();
    assert!(
        error.to_string().ends_with(": .spec.nodeSelector"),
        "{error}"
    );
}

#[test]
fn custom_resources_take_keys_from_their_schema() {
    let schema = crate::schema::Schema::compile(&json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "properties": {
                "port": {"type": "integer"},
                "protocol": {"type": "string", "default": "TCP"},
                "note": {"type": "string", "nullable": true},
            }},
        }}}},
    }))
    .unwrap();
    let at = Topology::custom(&schema);
    let spec = |ports: Value| json!({"metadata": {"name": "x"}, "spec": {"ports": ports}});
    let first = apply(None, &spec(json!([{"port": 1}])), by("m", NOW), false, at).unwrap();
    let second = apply(
        Some(&first),
        &spec(json!([{"port": 1, "protocol": "UDP", "note": null}])),
        by("n", NOW),
        false,
        at,
    )
    .unwrap();
    assert_eq!(
        second["spec"]["ports"],
        json!([{"port": 1}, {"port": 1, "protocol": "UDP", "note": null}])
    );
    let missing = apply(None, &spec(json!([{"note": "x"}])), by("m", NOW), false, at);
    assert!(
        matches!(missing, Err(ApplyError::Invalid(_))),
        "{missing:?}"
    );
    let twice = apply(
        None,
        &spec(json!([{"port": 1}, {"port": 1, "protocol": "TCP"}])),
        by("m", NOW),
        false,
        at,
    );
    assert!(matches!(twice, Err(ApplyError::Invalid(_))), "{twice:?}");
}

#[test]
fn many_updaters_are_folded() {
    let mut object = config(json!({}));
    for index in 0..15 {
        let old = object.clone();
        object["data"][format!("k{index}")] = json!("1");
        let (manager, now) = (format!("m{index}"), format!("2026-01-01T00:00:{index:02}Z"));
        let topology = Topology::built_in("ConfigMap");
        track_update(Some(&old), &mut object, Some(by(&manager, &now)), topology);
    }
    assert_eq!(
        object["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert!(owned(&object, "ancient-changes")["f:data"]["f:k0"].is_object());
}

#[test]
fn fields_v1_round_trips() {
    let fields = json!({
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {"f:x": {"k:{\"b\":1,\"a\":\"z\"}": {".": {}, "f:b": {}}, "v:3": {}, "i:0": {}}},
    });
    let mut expected = fields.clone();
    let list = expected["f:spec"]["f:x"].as_object_mut().unwrap();
    let item = list.remove("k:{\"b\":1,\"a\":\"z\"}").unwrap();
    list.insert("k:{\"a\":\"z\",\"b\":1}".to_owned(), item);
    assert_eq!(FieldSet::from_fields_v1(&fields).to_fields_v1(), expected);
}

proptest! {
    #[test]
    fn never_panics(live in any_json(), applied in any_json(), other in any_json()) {
        if let Ok(object) = apply(Some(&live), &applied, by("m", NOW), true, pod()) {
            let _ = apply(Some(&object), &other, by("n", NOW), false, pod());
        }
        let mut new = applied;
        track_update(Some(&live), &mut new, Some(by("m", NOW)), pod());
    }

    #[test]
    fn applying_twice_is_applying_once(live in any_json(), applied in any_json()) {
        let applied = json!({"spec": applied});
        let mut live = json!({"spec": live});
        track_update(None, &mut live, Some(by("k", NOW)), pod());
        if let Ok(once) = apply(Some(&live), &applied, by("m", NOW), true, pod()) {
            let twice = apply(Some(&once), &applied, by("m", LATER), false, pod());
            prop_assert_eq!(twice, Ok(once));
        }
    }

    #[test]
    fn applying_nothing_takes_everything_back(applied in any_json()) {
        let object = json!({"metadata": {"name": "x"}, "spec": applied});
        if let Ok(created) = apply(None, &object, by("m", NOW), false, pod()) {
            let nothing = json!({"metadata": {"name": "x"}});
            let left = apply(Some(&created), &nothing, by("m", NOW), false, pod()).unwrap();
            prop_assert_eq!(left, json!({"metadata": {"name": "x"}}));
        }
    }
}
