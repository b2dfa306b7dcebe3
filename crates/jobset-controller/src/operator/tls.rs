//! TLS of the servers.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;

use super::config::Tls;

/// A server that shows what `certificates` says, under the configured restrictions.
pub(crate) fn server(
    settings: Option<&Tls>,
    protocols: &[&str],
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let only_13 = settings.is_some_and(|tls| tls.min_version == "VersionTLS13");
    let versions: &[_] = if only_13 {
        &[&rustls::version::TLS13]
    } else {
        rustls::ALL_VERSIONS
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|&name| name.into()).collect();
    Ok(config)
}
