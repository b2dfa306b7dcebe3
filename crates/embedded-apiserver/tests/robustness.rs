//! No request panics the server or gets an answer that is not Kubernetes'.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use embedded_apiserver::ApiServer;
use http::{Method, Request};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn send(server: &ApiServer, request: Request<Body>) -> (u16, String, Vec<u8>) {
    let response = server.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let kind = response
        .headers()
        .get("content-type")
        .map(|v| v.to_str().unwrap().to_owned());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, kind.unwrap_or_default(), bytes.to_vec())
}

async fn call(
    server: &ApiServer,
    method: Method,
    uri: &str,
    media_type: &str,
    body: impl Into<Body>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(uri);
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    let (code, _, bytes) = send(server, request.body(body.into()).unwrap()).await;
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn bad_requests_have_the_right_status() {
    let server = ApiServer::builder().build();
    let map = json!({"metadata": {"name": "a"}}).to_string();
    let big = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(4 << 20));
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let cases: Vec<(Method, &str, &str, String, u16, &str)> = vec![
        (
            Method::POST,
            MAPS,
            "application/json",
            "{".into(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "application/json",
            "[]".into(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "application/json",
            "\u{0}".into(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "text/plain",
            map.clone(),
            415,
            "UnsupportedMediaType",
        ),
        (
            Method::POST,
            MAPS,
            "application/json",
            big,
            413,
            "RequestEntityTooLarge",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"metadata": {"name": "A_"}}).to_string(),
            422,
            "Invalid",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"metadata": {}}).to_string(),
            422,
            "Invalid",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"metadata": 7}).to_string(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"metadata": {"labels": [1]}}).to_string(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"kind": "Pod"}).to_string(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "",
            json!({"metadata": {"namespace": "x"}}).to_string(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            jobs,
            "",
            json!({"metadata": {"name": "a"}, "spec": 1}).to_string(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            jobs,
            "",
            json!({"metadata": {"name": "a"}}).to_string(),
            422,
            "Invalid",
        ),
        (Method::PUT, MAPS, "", map.clone(), 405, "MethodNotAllowed"),
        (
            Method::PATCH,
            "/api/v1/namespaces/default/configmaps/a",
            "application/xml",
            "{}".into(),
            415,
            "UnsupportedMediaType",
        ),
        (
            Method::PUT,
            "/api/v1/namespaces/default/configmaps/a",
            "",
            map.clone(),
            404,
            "NotFound",
        ),
        (
            Method::GET,
            "/api/v1/nothing",
            "",
            String::new(),
            404,
            "NotFound",
        ),
        (
            Method::GET,
            "/api/v1/pods/a/b/c/d",
            "",
            String::new(),
            404,
            "NotFound",
        ),
        (
            Method::GET,
            "/api/v1/namespaces/default/nodes",
            "",
            String::new(),
            404,
            "NotFound",
        ),
        (
            Method::GET,
            "/api/v1/pods?limit=-1",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?limit=x",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?continue=x",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?resourceVersion=x",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?resourceVersion=999",
            "",
            String::new(),
            504,
            "Timeout",
        ),
        (
            Method::GET,
            "/api/v1/pods?labelSelector=a%20in%20(",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?fieldSelector=spec.none%3D1",
            "",
            String::new(),
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?watch=1&resourceVersion=999",
            "",
            String::new(),
            410,
            "Expired",
        ),
        (
            Method::DELETE,
            "/api/v1/namespaces/default",
            "",
            String::new(),
            403,
            "Forbidden",
        ),
        (
            Method::POST,
            "/api/v1/namespaces/none/configmaps",
            "",
            map,
            404,
            "NotFound",
        ),
        (
            Method::DELETE,
            "/api/v1/namespaces/default/pods/p?propagationPolicy=x",
            "",
            String::new(),
            422,
            "Invalid",
        ),
        (
            Method::POST,
            "/api/v1/namespaces/default/pods/p/eviction",
            "",
            "{}".into(),
            501,
            "NotImplemented",
        ),
        (
            Method::GET,
            "/api/v1/namespaces/default/pods/p/log",
            "",
            String::new(),
            404,
            "NotFound",
        ),
    ];
    for (method, uri, media_type, body, code, reason) in cases {
        let shown = format!(
            "{method} {uri} {}",
            body.chars().take(80).collect::<String>()
        );
        let (got, status) = call(&server, method, uri, media_type, body).await;
        assert_eq!(
            (got, status["reason"].as_str()),
            (code, Some(reason)),
            "{shown}: {status}"
        );
        assert_eq!(status["kind"], "Status", "{shown}");
        assert_eq!(status["code"], code, "{shown}");
    }
}

#[tokio::test]
async fn unacceptable_representations() {
    let server = ApiServer::builder().build();
    for (accept, code) in [
        ("application/json", 200),
        ("*/*", 200),
        ("application/vnd.kubernetes.protobuf, application/json", 200),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
            200,
        ),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            200,
        ),
        ("application/vnd.kubernetes.protobuf", 406),
        ("text/html", 406),
    ] {
        let request = Request::get("/api/v1/namespaces")
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&server, request).await.0, code, "{accept}");
    }
}

/// A field of protobuf's wire format that holds bytes, up to 127 of them.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(number < 16 && length < 128);
    [&[number << 3 | 2, length], value].concat()
}

fn protobuf(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, raw)].concat()
}

#[tokio::test]
async fn protobuf_bodies() {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let server = ApiServer::builder().build();
    let named = field(1, &field(1, b"a"));
    let map = protobuf("v1", "ConfigMap", &named);
    let (code, created) = call(&server, Method::POST, MAPS, PROTOBUF, map.clone()).await;
    assert_eq!((code, &created["metadata"]["name"]), (201, &json!("a")));

    let refused = [
        (protobuf("apps/v1", "Deployment", &named), 415, "Deployment"),
        (protobuf("v1", "Secret", &named), 400, "Secret"),
        (
            protobuf("v1", "ConfigMap", &field(15, b"x")),
            400,
            "unknown field 15 of ConfigMap",
        ),
        (map[..map.len() - 1].to_vec(), 400, "invalid protobuf"),
        (Vec::new(), 400, "invalid protobuf"),
    ];
    for (body, expected, text) in refused {
        let (code, status) = call(&server, Method::POST, MAPS, PROTOBUF, body).await;
        let message = status["message"].as_str().unwrap();
        assert_eq!(code, expected, "{status}");
        assert!(message.contains(text), "{message}");
    }

    let one = format!("{MAPS}/a");
    let precondition = protobuf("v1", "DeleteOptions", &field(2, &field(1, b"another uid")));
    let (code, status) = call(&server, Method::DELETE, &one, PROTOBUF, precondition).await;
    assert_eq!(code, 409, "{status}");
    let (code, _) = call(&server, Method::DELETE, &one, PROTOBUF, map).await;
    assert_eq!(code, 400, "only DeleteOptions say how to delete");
    let options = protobuf("v1", "DeleteOptions", b"");
    let (code, status) = call(&server, Method::DELETE, &one, PROTOBUF, options).await;
    assert_eq!(code, 200, "{status}");
}

#[tokio::test]
async fn access_reviews() {
    let server = ApiServer::builder().build();
    let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let spec = json!({"resourceAttributes": {"verb": "create", "resource": "pods"}});
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": spec});
    let (code, answer) = call(&server, Method::POST, uri, "", review.to_string()).await;
    assert_eq!((code, &answer["spec"]), (201, &spec));
    assert_eq!(answer["status"]["allowed"], true);
    for (method, body, expected) in [
        (Method::GET, String::new(), 405),
        (Method::POST, "{}".to_owned(), 400),
        (
            Method::POST,
            json!({"kind": "SelfSubjectAccessReview"}).to_string(),
            400,
        ),
    ] {
        assert_eq!(call(&server, method, uri, "", body).await.0, expected);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z0-9./-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "apiVersion",
                "kind",
                "metadata",
                "name",
                "namespace",
                "labels",
                "annotations",
                "finalizers",
                "ownerReferences",
                "spec",
                "status",
                "template",
                "containers",
                "initContainers",
                "volumes",
                "env",
                "data",
                "stringData",
                "ports",
                "conditions",
                "schedulingGates",
                "generateName",
                "uid",
                "resourceVersion",
                "names",
                "versions",
                "selector",
                "tolerations",
                "podFailurePolicy",
                "rules",
                "resources",
                "limits",
                "managedFields",
                "creationTimestamp",
                "subsets",
                "message",
            ])
            .prop_map(str::to_owned),
            "[a-z]{1,4}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn uri() -> impl Strategy<Value = String> {
    let plural = prop::sample::select(vec![
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/default/events",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        "/apis/batch/v1/namespaces/default/jobs",
        "/api/v1/nodes",
        "/api/v1/namespaces",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ]);
    let tail = prop::sample::select(vec![
        "",
        "/x",
        "/x/status",
        "/x/binding",
        "/x/log",
        "/x/y/z",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        "\\?[a-zA-Z0-9=&%,()!]{0,20}".prop_map(|text| text.replace('%', "%25")),
        prop::sample::select(vec![
            "?dryRun=All",
            "?fieldValidation=Strict",
            "?labelSelector=a",
            "?fieldManager=m",
            "?limit=1",
            "?force=true&fieldManager=m",
            "?propagationPolicy=Foreground",
        ])
        .prop_map(str::to_owned),
    ];
    (plural, tail, query).prop_map(|(plural, tail, query)| format!("{plural}{tail}{query}"))
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ])
}

fn media_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/json",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Sequences of odd requests on one server: every answer is one a client understands, and
    /// what was stored can be read back.
    #[test]
    fn odd_requests_are_answered(
        requests in prop::collection::vec((method(), uri(), media_type(), json_value()), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = ApiServer::builder().build();
            for (method, uri, media_type, body) in requests {
                if uri.contains("watch") {
                    continue;
                }
                let mut body = body;
                if let Some(map) = body.as_object_mut()
                    && !uri.contains("/x")
                {
                    map.remove("apiVersion");
                    map.remove("kind");
                    let meta = map.entry("metadata").or_insert_with(|| json!({}));
                    if let Some(meta) = meta.as_object_mut() {
                        meta.insert("name".to_owned(), json!("x"));
                    }
                }
                let shown = format!("{method} {uri} {body}");
                let (code, answer) =
                    call(&server, method, &uri, media_type, body.to_string()).await;
                prop_assert!(code < 500 || code == 501 || code == 504, "{shown}: {answer}");
                prop_assert!(answer.is_object(), "{shown}: {code}");
                if code >= 400 {
                    prop_assert_eq!(&answer["kind"], "Status", "{}", shown);
                    prop_assert!(answer["reason"].is_string(), "{}: {}", shown, answer);
                }
            }
            for uri in ["/api/v1/pods", "/apis/batch/v1/jobs", "/api/v1/events",
                "/apis/events.k8s.io/v1/events", "/api/v1/services"] {
                let request = Request::get(uri)
                    .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
                    .body(Body::empty()).unwrap();
                prop_assert_eq!(send(&server, request).await.0, 200);
            }
            Ok(())
        })?;
    }

    /// Any bytes as a body, any text as a path.
    #[test]
    fn any_bytes_are_answered(path in "/[ -~]{0,40}", body in prop::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = ApiServer::builder().build();
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let Ok(request) = Request::builder().method(method.clone()).uri(&path)
                    .body(Body::from(body.clone())) else { continue };
                if path.contains("watch") {
                    continue;
                }
                let (code, _, _) = send(&server, request).await;
                prop_assert!(code < 500, "{} {}", method, path);
            }
            let (code, _) = call(&server, Method::POST, MAPS, "application/json", body).await;
            prop_assert!((400..500).contains(&code));
            Ok(())
        })?;
    }
}

/// As in Kubernetes, whoever may create events does not fill the memory with them in the long run.
#[tokio::test]
async fn events_expire_an_hour_after_their_last_write() {
    let seconds = Arc::new(AtomicI64::new(1_700_000_000));
    let clock = Arc::clone(&seconds);
    let server = ApiServer::builder()
        .clock(Arc::new(move || {
            jiff::Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap()
        }))
        .build();
    let core = "/api/v1/namespaces/default/events";
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = |name: &str| {
        json!({
            "metadata": {"name": name},
            "eventTime": "2023-11-14T22:13:20.000000Z", "reportingController": "c",
            "reportingInstance": "i", "action": "A", "reason": "R", "type": "Normal",
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        })
        .to_string()
    };
    let create = async |name: &str| {
        let body = event(name);
        let (code, answer) = call(&server, Method::POST, newer, "application/json", body).await;
        assert_eq!(code, 201, "{answer}");
    };
    let names = async || {
        let (_, list) = call(&server, Method::GET, core, "", "").await;
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    create("a").await;
    create("b").await;
    seconds.fetch_add(1800, Ordering::Relaxed);
    let series = json!({"series": {"count": 2, "lastObservedTime": "2023-11-14T22:43:20.000000Z"}});
    let one = format!("{newer}/b");
    let patch = "application/merge-patch+json";
    let (code, answer) = call(&server, Method::PATCH, &one, patch, series.to_string()).await;
    assert_eq!(code, 200, "{answer}");
    seconds.fetch_add(1799, Ordering::Relaxed);
    create("c").await;
    assert_eq!(names().await, ["a", "b", "c"]);
    seconds.fetch_add(1, Ordering::Relaxed);
    create("d").await;
    assert_eq!(names().await, ["b", "c", "d"], "a repeated event goes on");
}
