//! A client whose transport is the API server itself: no socket, no TLS.

use axum::Router;

/// A client of the server behind `router`, with `default` as its namespace.
///
/// Requests are ordinary HTTP requests; they only never leave the process.
pub fn in_process(router: Router) -> kube::Client {
    kube::Client::new(router, "default")
}
