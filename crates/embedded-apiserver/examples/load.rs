//! How long the server takes for a typical load: Jobs created, watched, and their status written.
//!
//! ```text
//! cargo run --release -p embedded-apiserver --example load -- 1000
//! ```
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use embedded_apiserver::ApiServer;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

async fn send(router: &Router, request: Request<Body>) -> Result<usize, Box<dyn Error>> {
    let response = router.clone().oneshot(request).await?;
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if code.is_success() {
        Ok(body.len())
    } else {
        Err(String::from_utf8_lossy(&body).into_owned().into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let jobs: usize = std::env::args().nth(1).map_or(Ok(1000), |n| n.parse())?;
    let start = Instant::now();
    let server = ApiServer::builder().build();
    let router = server.router();
    println!("start: {:?}", start.elapsed());

    let watch = Request::get(format!("{JOBS}?watch=1")).body(Body::empty())?;
    let mut watch = router.clone().oneshot(watch).await?.into_body();
    let mut job = json!({"spec": {"template": {"spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "busybox", "command": ["true"]}],
    }}}});

    let start = Instant::now();
    for n in 0..jobs {
        job["metadata"] = json!({"name": format!("job-{n}")});
        let body = Body::from(job.to_string());
        send(&router, Request::post(JOBS).body(body)?).await?;
        if n == 0 {
            println!("first create: {:?}", start.elapsed());
        }
    }
    println!("{jobs} creates: {:?}", start.elapsed());

    let start = Instant::now();
    for round in 1..=5 {
        for n in 0..jobs {
            let patch = json!({"status": {"active": round}}).to_string();
            let request = Request::patch(format!("{JOBS}/job-{n}/status"))
                .header("content-type", "application/merge-patch+json")
                .body(Body::from(patch))?;
            send(&router, request).await?;
        }
    }
    println!("{} status patches: {:?}", 5 * jobs, start.elapsed());

    let start = Instant::now();
    let size = send(&router, Request::get(JOBS).body(Body::empty())?).await?;
    println!("list of {size} bytes: {:?}", start.elapsed());

    let start = Instant::now();
    let mut events = 0;
    while events < jobs * 6 {
        let Some(frame) = watch.frame().await else {
            break;
        };
        let lines = frame?.into_data().unwrap_or_default();
        events += lines.split(|&byte| byte == b'\n').count() - 1;
    }
    println!("{events} events read: {:?}", start.elapsed());
    Ok(())
}
