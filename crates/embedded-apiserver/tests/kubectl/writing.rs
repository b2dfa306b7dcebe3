//! create, apply, edit, patch, label, annotate, delete.

use serde_json::{Value, json};

use crate::fixture::{Kubectl, job, kubectl, pod, widget};

#[test]
fn create_and_its_errors() {
    let Some(k) = kubectl("create") else { return };
    assert!(
        k.ok_with(&["create", "-f", "-"], &widget("w", 1))
            .contains("created")
    );
    let refused = |object: &Value| {
        let output = k.run(&["create", "-f", "-"], Some(object.to_string().as_bytes()));
        assert!(!output.status.success(), "{object}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&widget("w", 1)).contains("AlreadyExists"));
    assert!(refused(&widget("x", 0)).contains("spec.size"));
    assert!(refused(&widget("UPPER", 1)).contains("metadata.name"));
    let mut unknown = widget("y", 1);
    unknown["spec"]["sise"] = json!(1);
    assert!(refused(&unknown).contains("sise"));
    let mut unknown = job("y");
    unknown["spec"]["template"]["spec"]["container"] = json!([]);
    assert!(refused(&unknown).contains("container"));
    let mut wrong = job("z");
    wrong["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    assert!(refused(&wrong).contains("restartPolicy"));
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"generateName": "cm-"}, "data": {"a": "b"}});
    assert!(
        k.ok_with(&["create", "-f", "-", "-o", "name"], &generated)
            .starts_with("configmap/cm-")
    );
    let dry = k.ok_with(
        &["create", "--dry-run=server", "-f", "-"],
        &widget("dry", 1),
    );
    assert!(dry.contains("server dry run"));
    k.refused(&["get", "widget", "dry"]);
}

#[test]
fn apply_on_the_client() {
    let Some(k) = kubectl("apply-client") else {
        return;
    };
    for (name, mut object) in [("widget/w", widget("w", 1)), ("job/j", job("j"))] {
        assert!(
            k.ok_with(&["apply", "-f", "-"], &object)
                .contains("created")
        );
        assert!(
            k.ok_with(&["apply", "-f", "-"], &object)
                .contains("unchanged"),
            "{name}"
        );
        object["metadata"]["labels"]["app"] = json!("changed");
        object["metadata"]["annotations"] = json!({"note": "x"});
        assert!(
            k.ok_with(&["apply", "-f", "-"], &object)
                .contains("configured"),
            "{name}"
        );
        assert_eq!(k.get(name)["metadata"]["labels"]["app"], "changed");
        object["metadata"]["annotations"] = Value::Null;
        k.ok_with(&["apply", "-f", "-"], &object);
        assert!(
            k.get(name)["metadata"]["annotations"].get("note").is_none(),
            "{name}"
        );
    }
    let mut object = widget("w", 2);
    object["spec"]["parts"] = json!([{"name": "b", "value": "2"}]);
    k.ok_with(&["apply", "-f", "-"], &object);
    let stored = k.get("widget/w");
    assert_eq!(stored["spec"]["size"], 2);
    assert_eq!(stored["spec"]["parts"][0]["name"], "b");
    assert!(k.ok_with(&["diff", "-f", "-"], &object).is_empty());
}

fn apply(k: &Kubectl<'_>, manager: &str, object: &Value, extra: &[&str]) -> (bool, String) {
    let manager = format!("--field-manager={manager}");
    let mut args = vec!["apply", "--server-side", &manager, "-f", "-"];
    args.extend(extra);
    let output = k.run(&args, Some(object.to_string().as_bytes()));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn apply_on_the_server() {
    let Some(k) = kubectl("apply-server") else {
        return;
    };
    let mut object = widget("w", 1);
    assert!(apply(&k, "one", &object, &[]).0);
    assert!(apply(&k, "one", &object, &[]).0);
    // Another manager adds a part; the first one's stays.
    let mut second = widget("w", 1);
    second["spec"] = json!({"parts": [{"name": "b", "value": "2"}]});
    second["metadata"].as_object_mut().unwrap().remove("labels");
    assert!(apply(&k, "two", &second, &[]).0);
    assert_eq!(
        k.get("widget/w")["spec"]["parts"].as_array().unwrap().len(),
        2
    );
    // A value the first one owns is a conflict, unless forced.
    second["spec"]["size"] = json!(5);
    let (done, text) = apply(&k, "two", &second, &[]);
    assert!(
        !done && text.contains("conflict") && text.contains(".spec.size"),
        "{text}"
    );
    assert!(apply(&k, "two", &second, &["--force-conflicts"]).0);
    assert_eq!(k.get("widget/w")["spec"]["size"], 5);
    // What a manager no longer applies goes.
    object["spec"] = json!({"size": 5});
    let (done, text) = apply(&k, "one", &object, &[]);
    assert!(done, "{text}");
    let parts = k.get("widget/w")["spec"]["parts"].clone();
    assert_eq!(parts, json!([{"name": "b", "value": "2"}]));

    let mut object = job("j");
    assert!(apply(&k, "one", &object, &[]).0);
    object["spec"]["suspend"] = json!(true);
    let (done, text) = apply(&k, "one", &object, &[]);
    assert!(done, "{text}");
    assert_eq!(k.get("job/j")["spec"]["suspend"], true);
    let shown = k.ok(&["get", "job", "j", "--show-managed-fields", "-o", "yaml"]);
    assert!(
        shown.contains("manager: one") && shown.contains("f:suspend"),
        "{shown}"
    );
}

#[test]
fn edit_with_a_script() {
    let Some(k) = kubectl("edit") else { return };
    k.ok_with(&["create", "-f", "-"], &widget("w", 1));
    k.ok_with(&["create", "-f", "-"], &job("j"));
    for (what, script) in [
        ("widget/w", "sed -i s/size:.1/size:\\ 7/"),
        ("job/j", "sed -i s/suspend:.false/suspend:\\ true/"),
    ] {
        let mut command = k.command(&["edit", what]);
        let output = command.env("KUBE_EDITOR", script).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {text}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("edited"),
            "{what}"
        );
    }
    assert_eq!(k.get("widget/w")["spec"]["size"], 7);
    assert_eq!(k.get("job/j")["spec"]["suspend"], true);
}

#[test]
fn patch_in_three_ways() {
    let Some(k) = kubectl("patch") else { return };
    k.ok_with(&["create", "-f", "-"], &job("j"));
    k.ok_with(&["create", "-f", "-"], &widget("w", 1));
    let patch = |what: &str, kind: &str, patch: Value| {
        k.ok(&[
            "patch",
            what,
            &format!("--type={kind}"),
            "-p",
            &patch.to_string(),
        ])
    };
    patch("job/j", "merge", json!({"spec": {"suspend": true}}));
    patch(
        "job/j",
        "json",
        json!([{"op": "replace", "path": "/spec/parallelism", "value": 3}]),
    );
    patch(
        "job/j",
        "strategic",
        json!({"spec": {"template": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}}}),
    );
    let stored = k.get("job/j");
    assert_eq!(stored["spec"]["suspend"], true);
    assert_eq!(stored["spec"]["parallelism"], 3);
    assert_eq!(
        stored["spec"]["template"]["spec"]["tolerations"][0]["key"],
        "a"
    );
    assert_eq!(
        stored["spec"]["template"]["spec"]["containers"][0]["name"],
        "main"
    );
    patch("widget/w", "merge", json!({"spec": {"color": "blue"}}));
    patch(
        "widget/w",
        "json",
        json!([{"op": "add", "path": "/spec/size", "value": 9}]),
    );
    assert_eq!(k.get("widget/w")["spec"]["size"], 9);
    assert!(
        k.refused(&[
            "patch",
            "widget",
            "w",
            "--type=strategic",
            "-p",
            "{\"spec\":{}}"
        ])
        .contains("415")
            || k.refused(&["patch", "widget", "w", "--type=strategic", "-p", "{}"])
                .contains("media type")
    );
    let status = "{\"status\":{\"phase\":\"Good\"}}";
    k.ok(&[
        "patch",
        "widget",
        "w",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ]);
    assert_eq!(k.get("widget/w")["status"]["phase"], "Good");
    assert!(
        k.ok(&["patch", "widget", "w", "--type=merge", "-p", "{}"])
            .contains("no change")
    );
}

#[test]
fn label_and_annotate() {
    let Some(k) = kubectl("label") else { return };
    for (what, object) in [
        ("widget/w", widget("w", 1)),
        ("job/j", job("j")),
        ("pod/p", pod("p", &["main"])),
    ] {
        k.ok_with(&["create", "-f", "-"], &object);
        assert!(k.ok(&["label", what, "tier=front"]).contains("labeled"));
        assert!(
            k.refused(&["label", what, "tier=back"])
                .contains("--overwrite")
        );
        k.ok(&["label", what, "tier=back", "--overwrite"]);
        k.ok(&["annotate", what, "note=some text"]);
        let meta = k.get(what)["metadata"].clone();
        assert_eq!(meta["labels"]["tier"], "back");
        assert_eq!(meta["annotations"]["note"], "some text");
        k.ok(&["label", what, "tier-"]);
        assert!(k.get(what)["metadata"]["labels"].get("tier").is_none());
    }
    assert!(k.refused(&["label", "pod", "p", "a=-x-"]).contains("valid"));
}

#[test]
fn delete_with_every_cascade() {
    let Some(k) = kubectl("delete") else { return };
    k.ok_with(&["create", "-f", "-"], &job("background"));
    assert!(
        k.ok(&["delete", "job", "background", "--cascade=background"])
            .contains("deleted")
    );
    k.refused(&["get", "job", "background"]);
    for (cascade, finalizer) in [("foreground", "foregroundDeletion"), ("orphan", "orphan")] {
        k.ok_with(&["create", "-f", "-"], &job(cascade));
        k.ok(&[
            "delete",
            "job",
            cascade,
            &format!("--cascade={cascade}"),
            "--wait=false",
        ]);
        let waiting = k.get(&format!("job/{cascade}"));
        assert_eq!(waiting["metadata"]["finalizers"], json!([finalizer]));
        assert!(waiting["metadata"]["deletionTimestamp"].is_string());
        // The garbage collector's part, while kubectl waits.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| k.run(&["delete", "job", cascade, "--wait"], None));
            let patch = "{\"metadata\":{\"finalizers\":null}}";
            k.run(
                &["patch", "job", cascade, "--type=merge", "-p", patch],
                None,
            );
            // Whichever came first, the job goes: the second delete may find it gone.
            let _ = waiting.join();
        });
        let output = k.run(
            &["get", "job", cascade, "--ignore-not-found", "-o", "name"],
            None,
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
    for name in ["a", "b"] {
        k.ok_with(&["create", "-f", "-"], &widget(name, 1));
    }
    k.ok(&["delete", "widgets", "-l", "app=test"]);
    assert_eq!(k.ok(&["get", "widgets", "-o", "name"]), "");
    k.ok_with(&["create", "-f", "-"], &widget("c", 1));
    k.ok(&["delete", "widgets", "--all"]);
    k.running_pod("p", &["main"]);
    k.ok(&["delete", "pod", "p", "--wait=false"]);
    assert_eq!(k.get("pod/p")["metadata"]["deletionGracePeriodSeconds"], 30);
    k.ok(&["delete", "pod", "p", "--force", "--grace-period=0"]);
    k.refused(&["get", "pod", "p"]);
    assert!(k.refused(&["delete", "pod", "none"]).contains("NotFound"));
    k.ok(&["delete", "namespace", "delete"]);
}
