//! The serving certificate, replaced while serving.
//!
//! Each TLS handshake asks for the certificate that is current at that moment; connections that
//! are open already keep theirs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::stats::Counter;

/// File of the certificate chain, the server's own first.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// File of the private key.
pub const KEY_FILE: &str = "tls.key";
/// Where the webhook's files are unless configured otherwise.
pub const WEBHOOK_DIRECTORY: &str = "/tmp/k8s-webhook-server/serving-certs";
/// Pause between two looks at the files unless configured otherwise.
pub const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What should be PEM is not.
    #[error("cannot read the {what}: {error}")]
    Pem {
        /// "certificate" or "private key".
        what: &'static str,
        /// Why.
        error: pem::Error,
    },
    /// The key is of an unknown kind, or it is not the certificate's.
    #[error("certificate and private key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// A certificate with its key that can be replaced at any time. There is none in the beginning:
/// handshakes fail until it is [set](Certificates::set) or [loaded](Certificates::load).
#[derive(Debug, Default)]
pub struct Certificates {
    current: RwLock<Current>,
    reads: Counter,
    read_errors: Counter,
}

#[derive(Debug, Default)]
struct Current {
    key: Option<Arc<CertifiedKey>>,
    /// What it was made from, to tell whether something has changed.
    pem: (Vec<u8>, Vec<u8>),
}

impl Certificates {
    /// Without a certificate yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether there is a certificate to serve with.
    pub fn is_ready(&self) -> bool {
        self.read().key.is_some()
    }

    /// Times the files were read: `certwatcher_read_certificate_total`.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Times that failed: `certwatcher_read_certificate_errors_total`.
    pub fn read_errors(&self) -> u64 {
        self.read_errors.get()
    }

    /// Serves with this certificate from now on. Keys in PKCS#1, PKCS#8 and SEC1 are understood.
    /// Returns whether it is another one than before.
    ///
    /// # Errors
    /// It cannot be used; the one before stays.
    pub fn set(&self, certificates: &[u8], key: &[u8]) -> Result<bool, CertificateError> {
        {
            let current = self.read();
            if current.key.is_some() && current.pem.0 == certificates && current.pem.1 == key {
                return Ok(false);
            }
        }
        let certified = Arc::new(parse(certificates, key)?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current {
            key: Some(certified),
            pem: (certificates.to_vec(), key.to_vec()),
        };
        Ok(true)
    }

    /// Serves with the certificate in a directory from now on. Returns whether it is another one
    /// than before.
    ///
    /// # Errors
    /// It cannot be read or used; the one before stays.
    pub fn load(&self, directory: &Path) -> Result<bool, CertificateError> {
        self.reads.add_one();
        let read = |file: &str| {
            let path = directory.join(file);
            fs::read(&path).map_err(|error| CertificateError::File { path, error })
        };
        let loaded = (|| self.set(&read(CERTIFICATE_FILE)?, &read(KEY_FILE)?))();
        if loaded.is_err() {
            self.read_errors.add_one();
        }
        loaded
    }

    /// Loads the certificate in a directory, at once and whenever it changes, until the shutdown.
    ///
    /// The files are read and compared at each look: that sees every way of replacing them, the
    /// swapped symbolic links of mounted Secrets among them. While they are missing, broken or
    /// half written, the certificate before stays.
    pub async fn follow(
        self: Arc<Self>,
        directory: PathBuf,
        every: Duration,
        shutdown: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (certificates, from) = (self.clone(), directory.clone());
            let loaded = tokio::task::spawn_blocking(move || certificates.load(&from)).await;
            match loaded {
                Ok(Ok(true)) => info!(directory = %directory.display(), "certificate loaded"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let error = error.to_string();
                    // Said once, not at each look.
                    if error != complaint {
                        warn!(%error, "keeping the certificate from before, if there is one");
                        complaint = error;
                    }
                    continue;
                }
                // The runtime ends, or the load panicked; the next look tells.
                Err(error) => warn!(%error, "the certificate was not looked at"),
            }
            complaint.clear();
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.read().key.clone()
    }
}

fn parse(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |what| move |error| CertificateError::Pem { what, error };
    let chain = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable("certificate"))?;
    if chain.is_empty() {
        return Err(unreadable("certificate")(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(unreadable("private key"))?;
    Ok(CertifiedKey::from_der(
        chain,
        key,
        &ring::default_provider(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::testing::self_signed;

    #[test]
    fn keys_of_every_form_load() {
        let rsa = include_bytes!("../../tests/data/rsa.crt").as_slice();
        let ec = include_bytes!("../../tests/data/ec.crt").as_slice();
        for (certificate, key, header) in [
            (
                rsa,
                include_str!("../../tests/data/rsa-pkcs1.key"),
                "BEGIN RSA PRIVATE KEY",
            ),
            (
                rsa,
                include_str!("../../tests/data/rsa-pkcs8.key"),
                "BEGIN PRIVATE KEY",
            ),
            (
                ec,
                include_str!("../../tests/data/ec-sec1.key"),
                "BEGIN EC PRIVATE KEY",
            ),
            (
                ec,
                include_str!("../../tests/data/ec-pkcs8.key"),
                "BEGIN PRIVATE KEY",
            ),
        ] {
            assert!(key.contains(header));
            let certificates = Certificates::new();
            assert!(certificates.set(certificate, key.as_bytes()).unwrap());
            assert!(certificates.is_ready());
        }
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let (certificate, key) = self_signed("a");
        let (other_certificate, _) = self_signed("b");
        let certificates = Certificates::new();
        for (certificate, key, part) in [
            ("", &*key, "certificate"),
            ("text", &*key, "certificate"),
            (&certificate[..certificate.len() / 2], &*key, "certificate"),
            (&*certificate, "", "private key"),
            (&*certificate, &key[..key.len() / 2], "private key"),
            (&*other_certificate, &*key, "cannot be used"),
            (&*key, &*key, "certificate"),
        ] {
            let result = certificates.set(certificate.as_bytes(), key.as_bytes());
            let error = result.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!certificates.is_ready());
        }
        assert!(
            certificates
                .set(certificate.as_bytes(), key.as_bytes())
                .unwrap()
        );
        let before = certificates.read().key.clone().unwrap();
        certificates
            .set(other_certificate.as_bytes(), key.as_bytes())
            .unwrap_err();
        assert!(
            !certificates
                .set(certificate.as_bytes(), key.as_bytes())
                .unwrap()
        );
        assert!(Arc::ptr_eq(
            &before,
            &certificates.read().key.clone().unwrap()
        ));
    }

    #[test]
    fn reads_and_errors_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::new();
        let counts =
            |certificates: &Certificates| (certificates.reads(), certificates.read_errors());
        let error = certificates.load(directory.path()).unwrap_err();
        assert!(error.to_string().contains(CERTIFICATE_FILE), "{error}");
        assert_eq!(counts(&certificates), (1, 1));
        let (certificate, key) = self_signed("a");
        fs::write(directory.path().join(CERTIFICATE_FILE), certificate).unwrap();
        certificates.load(directory.path()).unwrap_err();
        fs::write(directory.path().join(KEY_FILE), key).unwrap();
        assert!(certificates.load(directory.path()).unwrap());
        assert!(!certificates.load(directory.path()).unwrap());
        assert_eq!(counts(&certificates), (4, 2));
    }
}
