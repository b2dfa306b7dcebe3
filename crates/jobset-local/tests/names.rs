//! Pods find each other by the names of their headless Service.

mod machine;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use machine::{cluster, create, ended, isolated, logs, phase, pod};
use serde_json::{Value, json};

const SERVER: &str = "
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((socket.gethostname(), 5000))
s.listen()
for _ in range(4):
    c, _ = s.accept()
    c.sendall(b'hello from ' + socket.gethostname().encode() + b'\\n')
    c.close()
";

const CLIENT: &str = "
import socket, time
for name in ['server.svc', 'server.svc.default', 'server.svc.default.svc.cluster.local', 'server']:
    while True:
        try:
            c = socket.create_connection((name, 5000), 5)
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    print(c.makefile().read(), end='')
print(len({a[4][0] for a in socket.getaddrinfo('svc', 5000)}))
print(socket.gethostbyname('localhost'))
";

fn python(name: &str, script: &str) -> Value {
    let mut object = pod(
        name,
        json!({
            "hostname": name, "subdomain": "svc",
            "containers": [{"name": "main", "image": "python", "command": ["python3", "-c", script]}]
        }),
    );
    object["metadata"]["labels"] = json!({"app": "x"});
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_by_name() {
    if !std::process::Command::new("python3")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success())
    {
        machine::skip("there is no python3");
        return;
    }
    let cluster = cluster().await;
    if !isolated(&cluster).await {
        return cluster.shutdown().await;
    }
    let client = cluster.client();
    let service = json!({"metadata": {"name": "svc"}, "spec":
        {"clusterIP": "None", "selector": {"app": "x"}, "publishNotReadyAddresses": true}});
    let services: Api<Service> = Api::default_namespaced(client.clone());
    services
        .create(
            &PostParams::default(),
            &serde_json::from_value(service).unwrap(),
        )
        .await
        .unwrap();
    // The client first: the server's name appears in a container that runs already.
    let mut early = python("client", CLIENT);
    early["spec"]["containers"][0]["command"][2] = json!(format!(
        "import socket, time\nwhile True:\n  try:\n    socket.gethostbyname('server.svc'); break\n  \
         except socket.gaierror: time.sleep(0.01)\n{CLIENT}"
    ));
    create(&client, early).await;
    create(&client, python("server", SERVER)).await;
    let found = ended(&client, "client").await;
    let log = logs(&client, "client").await;
    assert_eq!(phase(&found), "Succeeded", "{log}");
    let expected = format!("{}2\n127.0.0.1\n", "hello from server\n".repeat(4));
    assert_eq!(log, expected);
    assert_eq!(phase(&ended(&client, "server").await), "Succeeded");
    cluster.shutdown().await;
}
