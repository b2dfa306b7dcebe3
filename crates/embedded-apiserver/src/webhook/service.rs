//! Where the Services are that webhook configurations name.

use std::net::SocketAddr;

/// Finds the Services that `clientConfig.service` of a webhook names.
///
/// The server itself has no network for Services. Without a resolver a webhook behind a Service
/// cannot be called, which its failure policy then decides about.
pub trait ServiceResolver: Send + Sync {
    /// The address behind a port of a Service, or why there is none. Must not block.
    fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String>;
}

impl<F> ServiceResolver for F
where
    F: Fn(&str, &str, u16) -> Result<SocketAddr, String> + Send + Sync,
{
    fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
        self(namespace, name, port)
    }
}
