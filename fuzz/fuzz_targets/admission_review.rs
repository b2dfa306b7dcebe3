//! Any bytes as the body of a request to the webhook server.
#![no_main]

use std::sync::{Arc, LazyLock};

use jobset_api::FeatureGates;
use jobset_controller::admission::Admission;
use jobset_controller::webhook::Hook;
use jobset_controller::webhook::patch::additions;
use jobset_controller::webhook::review::{Review, review};
use jobset_core::placement::{NodeTopology, PlacedPod, PlacementView};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Every leader is there, on a node in a domain.
struct Placed;

impl PlacementView for Placed {
    fn pods_named(&self, _: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        let found = PlacedPod {
            name: format!("{prefix}-abcde"),
            node: Some("node".to_owned()),
            owner_uid: Some("u".to_owned()),
            finished: prefix.len() % 4 == 3,
            succeeded: prefix.len() % 4 == 3,
            ..PlacedPod::default()
        };
        vec![Arc::new(found)]
    }

    fn topology(&self, _: &str, key: &str) -> NodeTopology {
        match key.len() % 3 {
            0 => NodeTopology::NoNode,
            1 => NodeTopology::NoLabel,
            _ => NodeTopology::Domain("domain".to_owned()),
        }
    }
}

/// With the gates as they are by default, and with all of them on.
static ADMISSIONS: LazyLock<[Admission; 2]> = LazyLock::new(|| {
    let all = FeatureGates::parse("AllAlpha=true").expect("a known gate");
    [FeatureGates::default(), all].map(|gates| Admission::new(gates, Arc::new(Placed)))
});

/// Some claims exist, some do not, some cannot be looked up.
fn claims(name: &str) -> Result<Option<Value>, String> {
    match name.len() % 3 {
        0 => Ok(None),
        1 => Ok(Some(json!({"spec": {"accessModes": ["ReadWriteOnce"]}}))),
        _ => Err("no answer".to_owned()),
    }
}

const JSON: Option<&[u8]> = Some(b"application/json");

fuzz_target!(|body: &[u8]| {
    for admission in &*ADMISSIONS {
        for hook in Hook::ALL {
            if let Ok(review) = Review::decode(JSON, body) {
                review.claims(hook, admission);
            }
            let answer = review(hook, JSON, body, admission, &claims);
            assert!(!answer.panicked);
            assert_eq!(answer, review(hook, JSON, body, admission, &claims));
            let answer: Value = serde_json::from_slice(&answer.body).expect("an AdmissionReview");
            let response = &answer["response"];
            assert!(response["uid"].is_string());
            let allowed = response["allowed"].as_bool().expect("a verdict");
            assert_eq!(allowed, response["status"]["code"] == 200);
            assert!(allowed || response.get("patch").is_none());
        }
    }
    let whole = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let Some(before) = whole
        .pointer("/request/object")
        .filter(|value| value.is_object())
    else {
        return;
    };
    let mut after = before.clone();
    ADMISSIONS[0].default_jobset(&mut after);
    let adds = serde_json::to_value(additions(before, &after)).expect("a patch");
    let patch: json_patch::Patch = serde_json::from_value(adds).expect("a patch");
    let mut patched = before.clone();
    json_patch::patch(&mut patched, &patch).expect("a patch that applies");
    assert_eq!(patched, after);
    let once = after.clone();
    ADMISSIONS[0].default_jobset(&mut after);
    assert_eq!(after, once, "defaulting again changes nothing");
});
