//! Who may talk to the server over TCP, and how a client knows that it is the right server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why credentials could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A certificate could not be generated.
    #[error("generating a certificate failed: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The operating system gave no random bytes.
    #[error("the system's random source failed")]
    Random,
    /// The TLS library refused the certificate.
    #[error("TLS configuration failed: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority of its own, a certificate for the server's addresses, and a random
/// bearer token that is the administrator.
#[derive(Clone)]
pub struct Credentials {
    ca_pem: String,
    token: Arc<str>,
    tls: Arc<ServerConfig>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token must not reach a log.
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Makes fresh credentials for a server that listens on this address.
    ///
    /// The certificate is valid for the address, for the loopback addresses and for `localhost`.
    pub fn generate(address: SocketAddr) -> Result<Self, CredentialsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut secret = [0; 32];
        provider
            .secure_random
            .fill(&mut secret)
            .map_err(|_| CredentialsError::Random)?;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);

        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "embedded-apiserver CA");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let own = address.ip().to_string();
        if !address.ip().is_unspecified() && !names.contains(&own) {
            names.push(own);
        }
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "embedded-apiserver");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?;

        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            ca_pem: ca.pem(),
            token: token.into(),
            tls: Arc::new(tls),
        })
    }

    /// The certificate authority, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A kubeconfig for a server that is reached at this URL. JSON, which is YAML.
    pub fn kubeconfig(&self, server_url: &str) -> String {
        let name = "embedded";
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{
                "name": name,
                "cluster": {
                    "server": server_url,
                    "certificate-authority-data": STANDARD.encode(&self.ca_pem),
                },
            }],
            "users": [{"name": name, "user": {"token": &*self.token}}],
            "contexts": [{
                "name": name,
                "context": {"cluster": name, "user": name, "namespace": "default"},
            }],
        });
        format!("{config:#}\n")
    }

    /// Writes the kubeconfig into a file that only its owner can read, replacing it atomically.
    pub fn write_kubeconfig(&self, path: &Path, server_url: &str) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = Path::new(&temporary);
        let _ = std::fs::remove_file(temporary);
        let written = (|| {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(temporary)?;
            file.write_all(self.kubeconfig(server_url).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(temporary, path)
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(temporary);
        }
        written
    }

    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// Whether an `Authorization` header carries the token. Takes the same time for every wrong
    /// token of the right length.
    pub(crate) fn accepts(&self, authorization: &[u8]) -> bool {
        let Some(given) = authorization.strip_prefix(b"Bearer ") else {
            return false;
        };
        let expected = self.token.as_bytes();
        given.len() == expected.len()
            && given
                .iter()
                .zip(expected)
                .fold(0, |different, (a, b)| different | (a ^ b))
                == 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_token_is_accepted() {
        let credentials = Credentials::generate(([127, 0, 0, 1], 6443).into()).unwrap();
        let good = format!("Bearer {}", credentials.token());
        assert!(credentials.accepts(good.as_bytes()));
        for bad in [
            "",
            "Bearer ",
            "Basic x",
            &good[..good.len() - 1],
            &format!("{good}0"),
        ] {
            assert!(!credentials.accepts(bad.as_bytes()), "{bad}");
        }
        assert!(!format!("{credentials:?}").contains(credentials.token()));
    }

    #[test]
    fn kubeconfig_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        let credentials = Credentials::generate(([127, 0, 0, 1], 6443).into()).unwrap();
        credentials
            .write_kubeconfig(&path, "https://127.0.0.1:6443")
            .unwrap();
        credentials
            .write_kubeconfig(&path, "https://127.0.0.1:6443")
            .unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
