//! Sidecar mode: what the probe finds.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::until;
use crate::process::{Agent, RESTART, lonely};

/// Where nobody listens, on every address. Outside the range from which the kernel takes the ports of
/// outgoing connections: those of other tests would be in the way, or a connection meet itself.
pub(crate) async fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .is_ok()
        {
            return port;
        }
    }
}

/// The status code that a request is answered with, if somebody listens.
pub(crate) async fn ask(port: u16, method: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    assert_eq!(body, "");
    answer.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn the_probe_succeeds_once_the_barrier_is_down() {
    let cluster = lonely().await;
    let port = free_port().await;
    let port_text = port.to_string();
    let variables = [("STARTUP_PROBE_PORT", port_text.as_str())];
    let mut agent = Agent::start(&cluster, "pod", &variables);
    agent.until_log("waiting for the others").await;
    assert_eq!(ask(port, "GET", "/barrier-is-down").await, None);
    cluster.set_attempts(Some(0), None).await;
    until("the barrier is down", async || {
        ask(port, "GET", "/barrier-is-down").await == Some(200)
    })
    .await;
    for (method, path, code) in [
        ("POST", "/barrier-is-down", 200),
        ("HEAD", "/barrier-is-down?x=1", 200),
        ("GET", "/barrier-is-down/", 404),
        ("GET", "/", 404),
    ] {
        assert_eq!(ask(port, method, path).await, Some(code), "{method} {path}");
    }
    // It goes on listening, and following.
    cluster.set_attempts(Some(0), Some(0)).await;
    agent.until_exit(RESTART).await;
}

#[tokio::test]
async fn path_and_address_can_be_chosen() {
    let cluster = lonely().await;
    cluster
        .patch_jobset(serde_json::json!({"metadata": {"annotations": {
            "jobset.sigs.k8s.io/disable-in-place-restart": ""}}}))
        .await;
    let port = free_port().await;
    // Somebody else has the port, on another address of the machine.
    let _other = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let port_text = port.to_string();
    let variables = [
        ("STARTUP_PROBE_PORT", port_text.as_str()),
        ("STARTUP_PROBE_PATH", "/up"),
        ("STARTUP_PROBE_ADDRESS", "127.0.0.1"),
    ];
    let agent = Agent::start(&cluster, "pod", &variables);
    until("bypassed", async || {
        ask(port, "GET", "/up").await == Some(200)
    })
    .await;
    assert_eq!(ask(port, "GET", "/barrier-is-down").await, Some(404));
    assert_eq!(
        cluster.reported("pod").await,
        None,
        "bypassed agents write nothing"
    );
    agent.signal(Signal::SIGTERM);
    agent.until_exit(143).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let cluster = lonely().await;
    cluster.set_attempts(None, None).await;
    let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let agent = Agent::start(&cluster, "pod", &[("STARTUP_PROBE_PORT", &port)]);
    cluster.until_reported("pod", "0").await;
    cluster.set_attempts(Some(0), None).await;
    let log = agent.until_exit(1).await;
    assert!(
        log.contains(&format!("cannot listen on port {port}")),
        "{log}"
    );
}
