//! The certificate that a TLS server shows, replaceable while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Answers handshakes with the certificate set last; without one they fail.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    present: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Resolver {
    /// Shows this certificate from now on.
    pub(crate) fn set(&self, certified: CertifiedKey) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
