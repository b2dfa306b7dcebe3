use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectRulesReview};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::field::{Kind, Message, Shape};
use super::{Error, MEDIA_TYPE, object, tables};

const KINDS: &[(&str, &str)] = &[
    ("v1", "Namespace"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("v1", "Pod"),
    ("batch/v1", "Job"),
    ("batch/v1", "DeleteOptions"),
    (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
    ),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(field) << 3), varint(value.cast_unsigned())].concat()
}

fn bytes(field: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut encoded = varint(u64::from(field) << 3 | 2);
    encoded.extend(varint(value.len() as u64));
    encoded.extend(value);
    encoded
}

fn message(field: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    bytes(field, parts.concat())
}

/// An envelope as Go's encoder writes it.
fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut body = b"k8s\0".to_vec();
    body.extend(message(1, &[bytes(1, api_version), bytes(2, kind)]));
    body.extend(bytes(2, raw));
    body.extend(bytes(3, ""));
    body.extend(bytes(4, ""));
    body
}

fn decode(kind: &str, parts: &[Vec<u8>]) -> Result<Value, Error> {
    let (api_version, _) = KINDS.iter().find(|(_, known)| *known == kind).unwrap();
    object(&envelope(api_version, kind, &parts.concat()))
}

/// A message with every field of its table set, as bytes.
fn full(of: &Message) -> Vec<u8> {
    let mut encoded = Vec::new();
    for field in of.fields {
        let n = field.number;
        let value = |n| match field.kind {
            Kind::Text | Kind::Bytes => bytes(n, "text"),
            Kind::Bool => number(n, 1),
            Kind::Int32 => number(n, -7),
            Kind::Int64 => number(n, 1 << 40),
            Kind::Time => message(n, &[number(1, 1), number(2, 0)]),
            Kind::Quantity => message(n, &[bytes(1, "1500m")]),
            Kind::IntOrString => message(n, &[number(1, 1), number(2, 0), bytes(3, "http")]),
            Kind::Json => message(n, &[bytes(1, r#"{"f:a":{}}"#)]),
            Kind::Nested(inner) => bytes(n, full(inner)),
        };
        encoded.extend(match field.shape {
            Shape::Map => message(n, &[bytes(1, "key"), value(2)]),
            Shape::List => [value(n), value(n)].concat(),
            _ => value(n),
        });
    }
    encoded
}

/// What the typed object keeps of a full one: a name or a type that is wrong does not survive.
fn same<T: Serialize + DeserializeOwned>(kind: &str) {
    let (api_version, _) = KINDS.iter().find(|(_, known)| *known == kind).unwrap();
    let raw = full(tables::find(api_version, kind).unwrap());
    let mut decoded = object(&envelope(api_version, kind, &raw)).unwrap();
    let typed: T = serde_json::from_value(decoded.clone()).unwrap();
    let mut expected = serde_json::to_value(typed).unwrap();
    for value in [&mut decoded, &mut expected] {
        value.as_object_mut().unwrap().remove("apiVersion");
        value.as_object_mut().unwrap().remove("kind");
    }
    assert_eq!(decoded, expected, "{kind}");
}

#[test]
fn all_fields_have_the_names_and_types_of_the_api() {
    same::<Namespace>("Namespace");
    same::<ConfigMap>("ConfigMap");
    same::<Secret>("Secret");
    same::<ServiceAccount>("ServiceAccount");
    same::<Service>("Service");
    same::<Pod>("Pod");
    same::<Job>("Job");
    same::<MutatingWebhookConfiguration>("MutatingWebhookConfiguration");
    same::<ValidatingWebhookConfiguration>("ValidatingWebhookConfiguration");
    same::<DeleteOptions>("DeleteOptions");
    same::<SelfSubjectAccessReview>("SelfSubjectAccessReview");
    same::<SelfSubjectRulesReview>("SelfSubjectRulesReview");
}

#[test]
fn tables_are_in_order() {
    fn check(message: &Message) {
        for pair in message.fields.windows(2) {
            assert!(pair[0].number < pair[1].number, "{}", message.name);
        }
        for field in message.fields {
            if let Kind::Nested(inner) = field.kind {
                check(inner);
            }
        }
    }
    for (api_version, kind) in KINDS {
        check(tables::find(api_version, kind).unwrap());
    }
}

#[test]
fn objects_as_go_writes_them() {
    // Everything that is not a pointer is written, with its zero value if it is not set.
    let meta = message(
        1,
        &[
            bytes(1, "a"),
            bytes(2, ""),
            bytes(3, ""),
            bytes(5, ""),
            bytes(6, ""),
            number(7, 0),
            message(8, &[]),
        ],
    );
    assert_eq!(
        decode(
            "Namespace",
            &[meta.clone(), message(2, &[]), message(3, &[bytes(1, "")])]
        )
        .unwrap(),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    );
    let entry = |key: &str, value: &[u8]| message(2, &[bytes(1, key), bytes(2, value)]);
    assert_eq!(
        decode(
            "Secret",
            &[meta.clone(), entry("k", b"\0\xff"), bytes(3, "Opaque")]
        )
        .unwrap(),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "data": {"k": "AP8="}, "type": "Opaque"})
    );
    assert_eq!(
        decode(
            "ConfigMap",
            &[meta, entry("k", "ü".as_bytes()), entry("e", b"")]
        )
        .unwrap(),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"k": "ü", "e": ""}})
    );
}

#[test]
fn values() {
    let port = |target: Vec<u8>| {
        let ports = message(1, &[bytes(1, ""), number(3, 80), target, number(5, 0)]);
        let service = decode("Service", &[bytes(2, ports)]).unwrap();
        service["spec"]["ports"][0].clone()
    };
    let target = |is, int, text: &str| message(4, &[number(1, is), number(2, int), bytes(3, text)]);
    assert_eq!(
        port(target(0, 8080, "")),
        json!({"port": 80, "targetPort": 8080})
    );
    assert_eq!(
        port(target(1, 0, "http")),
        json!({"port": 80, "targetPort": "http"})
    );
    assert_eq!(port(target(0, 0, "")), json!({"port": 80}));

    // A pointer to zero is zero, not absent.
    let job = decode("Job", &[message(2, &[number(1, 0), number(3, -1)])]).unwrap();
    assert_eq!(
        job["spec"],
        json!({"parallelism": 0, "activeDeadlineSeconds": -1})
    );

    let time = message(1, &[message(8, &[number(1, 1_700_000_000), number(2, 5)])]);
    assert_eq!(
        decode("Pod", &[time]).unwrap()["metadata"]["creationTimestamp"],
        "2023-11-14T22:13:20Z"
    );

    // A volume's source is inline: `emptyDir` stands beside `name`, and may be empty.
    let volume = message(
        1,
        &[bytes(1, "tmp"), message(2, &[message(2, &[bytes(1, "")])])],
    );
    assert_eq!(
        decode("Pod", &[bytes(2, volume)]).unwrap()["spec"]["volumes"],
        json!([{"name": "tmp", "emptyDir": {}}])
    );

    // Numbers in a list, packed or not.
    let codes = |values: &[Vec<u8>]| {
        let rule = message(1, &[message(2, &[bytes(2, "In"), values.concat()])]);
        decode("Job", &[message(2, &[message(11, &[rule])])]).unwrap()["spec"]["podFailurePolicy"]["rules"]
            [0]["onExitCodes"]["values"]
            .clone()
    };
    assert_eq!(codes(&[number(3, 1), number(3, 300)]), json!([1, 300]));
    assert_eq!(
        codes(&[bytes(3, [varint(1), varint(300)].concat())]),
        json!([1, 300])
    );
}

#[test]
fn what_is_not_read() {
    let refused = |body: Vec<u8>| match object(&body).unwrap_err() {
        Error::Unsupported(what) => what,
        error @ Error::Malformed { .. } => panic!("{error}"),
    };
    assert_eq!(
        refused(envelope("apps/v1", "Deployment", b"")),
        "\"Deployment\" of \"apps/v1\" is not read from protobuf"
    );
    let with = |extra| [envelope("v1", "Pod", b""), extra].concat();
    assert!(refused(with(bytes(3, "gzip"))).contains("gzip"));
    assert!(refused(with(bytes(4, "application/json"))).contains("application/json"));
    assert!(object(&with(bytes(4, MEDIA_TYPE))).is_ok());
}

#[test]
fn what_is_malformed() {
    let said = |kind: &str, parts: &[Vec<u8>]| decode(kind, parts).unwrap_err().to_string();
    let pod = |container: Vec<u8>| said("Pod", &[message(2, &[message(2, &[container])])]);
    let cases = [
        (
            pod(bytes(99, "x")),
            "spec.containers[0]: unknown field 99 of Container (1 bytes)",
        ),
        (
            pod(message(7, &[bytes(1, [0xff])])),
            "spec.containers[0].env[0].name: the text is not UTF-8",
        ),
        (
            pod(number(1, 5)),
            "spec.containers[0].name: a number where text or a message belongs",
        ),
        (
            pod(bytes(16, "")),
            "spec.containers[0].stdin: text or a message where a number belongs",
        ),
        (
            pod(message(6, &[number(3, 1 << 32)])),
            "spec.containers[0].ports[0].containerPort: the number is not one of 32 bits",
        ),
        (
            pod([bytes(2, "a"), bytes(2, "b")].concat()),
            "spec.containers[0].image: the field is there twice",
        ),
        (
            said(
                "ConfigMap",
                &[message(2, &[bytes(1, "k"), bytes(2, [0xff])])],
            ),
            "data[\"k\"]: the text is not UTF-8",
        ),
        (
            said("Pod", &[message(1, &[message(8, &[number(1, i64::MAX)])])]),
            "metadata.creationTimestamp: 9223372036854775807 seconds is not a time",
        ),
        (
            said("Pod", &[vec![0x0a, 0x05, 0x00]]),
            "field 1 is longer than what holds it",
        ),
        (
            said("Pod", &[vec![0x0d, 0, 0, 0, 0]]),
            "field 1 has wire type 5, which is not used in this API",
        ),
        (said("Pod", &[vec![0x80]]), "a number is cut off"),
        (
            said("Pod", &[vec![0x00, 0x00]]),
            "a field has an impossible number",
        ),
        (
            said("Pod", &[vec![0xff; 10]]),
            "a number is longer than 64 bits",
        ),
        (
            object(b"{}").unwrap_err().to_string(),
            "the body does not start as Kubernetes' protobuf does",
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}

proptest! {
    #[test]
    fn arbitrary_bodies_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = object(&body);
        let _ = object(&[b"k8s\0", body.as_slice()].concat());
        for (api_version, kind) in KINDS {
            let _ = object(&envelope(api_version, kind, &body));
        }
    }

    #[test]
    fn damaged_bodies_do_not_panic(
        kind in proptest::sample::select(KINDS),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let (api_version, kind) = kind;
        let mut body = envelope(api_version, kind, &full(tables::find(api_version, kind).unwrap()));
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = object(&body);
    }
}
