//! Certificates that somebody else puts into a directory: read now, and again when they change.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::issue;
use super::serving::Resolver;

/// Time between two looks. A kubelet takes a minute to project a changed Secret, so that a watch on
/// the directory would gain nothing.
const INTERVAL: Duration = Duration::from_secs(5);
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// How often certificates were read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) total: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// Whether the directory has a certificate and a key.
pub(crate) async fn exist(directory: &Path) -> bool {
    let there = async |name| {
        tokio::fs::try_exists(directory.join(name))
            .await
            .unwrap_or(false)
    };
    there(CERTIFICATE).await && there(KEY).await
}

/// Shows what is in the directory, for ever. `loaded` is called when a certificate was read.
pub(crate) async fn follow(
    directory: &Path,
    resolver: &Resolver,
    reads: &Reads,
    loaded: impl Fn(),
) {
    let mut present = (Vec::new(), Vec::new());
    let mut told = None;
    loop {
        match read(directory).await {
            Ok(found) if found == present => {}
            Ok(found) => {
                reads.total.fetch_add(1, Ordering::Relaxed);
                match issue::certified(&found.0, &found.1) {
                    Ok(certified) => {
                        resolver.set(certified);
                        tracing::info!(directory = %directory.display(), "serving the certificate of the directory");
                        present = found;
                        told = None;
                        loaded();
                    }
                    Err(error) => complain(error, directory, reads, &mut told),
                }
            }
            Err(error) => complain(error, directory, reads, &mut told),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Both files. One may be newer than the other for a moment; they then do not belong together, and
/// the next look finds both.
async fn read(directory: &Path) -> Result<(Vec<u8>, Vec<u8>), String> {
    let file = async |name: &str| {
        tokio::fs::read(directory.join(name))
            .await
            .map_err(|error| format!("{name}: {error}"))
    };
    Ok((file(CERTIFICATE).await?, file(KEY).await?))
}

/// Counts each failure, and logs it if the last one was another.
fn complain(error: String, directory: &Path, reads: &Reads, told: &mut Option<String>) {
    reads.errors.fetch_add(1, Ordering::Relaxed);
    if told.as_ref() != Some(&error) {
        tracing::warn!(directory = %directory.display(), error, "cannot read a certificate; looking again");
        *told = Some(error);
    }
}
