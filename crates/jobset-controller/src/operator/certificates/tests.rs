use serde_json::json;

use super::*;

fn secret(data: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"},
        "type": "Opaque", "data": data,
    }))
    .unwrap()
}

#[test]
fn the_server_is_called_by_its_service() {
    let settings = Settings {
        namespace: "ns".to_owned(),
        secret: "secret".to_owned(),
        service: "svc".to_owned(),
    };
    assert_eq!(settings.server_name(), "svc.ns.svc");
}

#[test]
fn a_secret_keeps_what_is_not_ours() {
    for data in [json!({"other": "b2s="}), Value::Null] {
        let mut secret = secret(data.clone());
        assert!(read(&secret) == Material::default());
        let material = issue::create("svc.ns.svc", UnixTime::now()).unwrap();
        write(&mut secret, &material);
        assert!(read(&secret) == material);
        assert_eq!(secret.data["type"], "Opaque");
        assert_eq!(secret.data["data"]["other"], data["other"]);
    }
}

#[test]
fn the_bundle_comes_into_each_webhook_once() {
    let mut configuration = json!({"webhooks": [
        {"name": "a", "clientConfig": {"service": {"name": "svc"}}, "unknown": 1},
        {"name": "b", "clientConfig": {"caBundle": "new"}},
    ]});
    assert!(set_bundles(&mut configuration, "new"));
    assert_eq!(
        configuration["webhooks"][0]["clientConfig"]["caBundle"],
        "new"
    );
    assert_eq!(
        configuration["webhooks"][0]["clientConfig"]["service"]["name"],
        "svc"
    );
    assert_eq!(configuration["webhooks"][0]["unknown"], 1);
    assert!(!set_bundles(&mut configuration, "new"));
    assert!(!set_bundles(&mut json!({}), "new"));
}
