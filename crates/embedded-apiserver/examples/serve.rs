//! Serves an empty API on a loopback port, for trying it with kubectl.
//!
//! ```text
//! cargo run -p embedded-apiserver --example serve -- /tmp/kubeconfig
//! KUBECONFIG=/tmp/kubeconfig kubectl api-resources
//! ```
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::path::PathBuf;

use embedded_apiserver::{ApiServer, Credentials};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "kubeconfig".to_owned()),
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let credentials = Credentials::generate(address)?;
    credentials.write_kubeconfig(&path, &format!("https://{address}"))?;
    println!("export KUBECONFIG={}", path.display());
    let server = ApiServer::builder().build();
    server
        .serve(listener, &credentials, CancellationToken::new())
        .await?;
    Ok(())
}
