//! The TLS settings of the configuration file: `tls.minVersion` and `tls.cipherSuites`, named as
//! Go's `crypto/tls` names them.
//!
//! rustls has no suites with CBC, RC4, 3DES or RSA key exchange. Their names are accepted, with a
//! warning, so that a configuration made for the Go controller goes on to load. Suites of TLS 1.3
//! cannot be chosen, in Go neither: all of them are always offered.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ResolvesServerCert;
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion, version};

/// Protocols a server offers by ALPN, best first.
pub const HTTP2_AND_HTTP1: &[&[u8]] = &[b"h2", b"http/1.1"];
/// For a server that shall not speak HTTP/2.
pub const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Names of suites that rustls has, and what it calls them.
const SUITES: &[(&str, CipherSuite)] = &[
    (
        "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Names of suites that Go has and rustls lacks.
const LACKING: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Why the settings cannot be used: everything that is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct TlsError(Vec<String>);

/// Settings that can be used. The default is TLS 1.2 or later with every suite.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    only_13: bool,
    /// The suites of TLS 1.2 to offer; `None` is all of them.
    suites: Option<Vec<CipherSuite>>,
    warnings: Vec<String>,
}

impl TlsSettings {
    /// Reads `tls.minVersion` (empty where absent) and `tls.cipherSuites`.
    ///
    /// # Errors
    /// A name is not known, or no suite is left.
    pub fn parse(min_version: &str, cipher_suites: &[String]) -> Result<Self, TlsError> {
        let mut errors = Vec::new();
        let only_13 = min_tls_13(min_version).unwrap_or_else(|error| {
            errors.push(error);
            false
        });
        let mut settings = suites(cipher_suites).unwrap_or_else(|error| {
            errors.push(error);
            Self::default()
        });
        if !errors.is_empty() {
            return Err(TlsError(errors));
        }
        settings.only_13 = only_13;
        Ok(settings)
    }

    /// What the user should know, such as suites that will not be offered.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The lowest version that is spoken, as the configuration file names it.
    pub fn min_version(&self) -> &'static str {
        if self.only_13 {
            "VersionTLS13"
        } else {
            "VersionTLS12"
        }
    }

    /// A server with these settings that asks `certificates` for its certificate.
    ///
    /// # Errors
    /// The TLS library does not accept them.
    pub fn server_config(
        &self,
        certificates: Arc<dyn ResolvesServerCert>,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(self.provider()))
            .with_protocol_versions(&self.versions())?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let none_of_12 = self.suites.as_ref().is_some_and(Vec::is_empty);
        if self.only_13 || none_of_12 {
            vec![&version::TLS13]
        } else {
            vec![&version::TLS13, &version::TLS12]
        }
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(suites) = &self.suites {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || suites.contains(&suite.suite()));
        }
        provider
    }
}

fn min_tls_13(name: &str) -> Result<bool, String> {
    match name {
        "" | "VersionTLS12" => Ok(false),
        "VersionTLS13" => Ok(true),
        "VersionTLS10" | "VersionTLS11" => Err(format!(
            "invalid minVersion: {name} is not supported, use VersionTLS12 or VersionTLS13"
        )),
        _ => Err(format!(
            "invalid minVersion: {name:?} is not known, use VersionTLS12 or VersionTLS13"
        )),
    }
}

fn suites(names: &[String]) -> Result<TlsSettings, String> {
    if names.is_empty() {
        return Ok(TlsSettings::default());
    }
    let (mut usable, mut lacking, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        if let Some((_, suite)) = SUITES.iter().find(|(known, _)| known == name) {
            usable.push(*suite);
        } else if LACKING.contains(&name.as_str()) {
            lacking.push(name.as_str());
        } else {
            unknown.push(format!("{name:?}"));
        }
    }
    let use_these = || {
        let names: Vec<_> = SUITES.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    if !unknown.is_empty() {
        return Err(format!(
            "invalid cipher suites: {} not known, use some of {}",
            unknown.join(", "),
            use_these()
        ));
    }
    if usable.is_empty() {
        return Err(format!(
            "invalid cipher suites: none of {} can be offered by this server, use some of {}",
            lacking.join(", "),
            use_these()
        ));
    }
    let mut warnings = Vec::new();
    if !lacking.is_empty() {
        warnings.push(format!(
            "cipher suites that this server cannot offer are left out: {}",
            lacking.join(", ")
        ));
    }
    let of_13 = |suite: &CipherSuite| {
        let all = ring::ALL_CIPHER_SUITES.iter();
        all.filter(|known| known.tls13().is_some())
            .any(|known| known.suite() == *suite)
    };
    usable.retain(|suite| !of_13(suite));
    if usable.is_empty() {
        warnings.push("no cipher suite of TLS 1.2 is left, only TLS 1.3 is spoken".to_owned());
    }
    Ok(TlsSettings {
        only_13: false,
        suites: Some(usable),
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Certificates;

    fn parse(min_version: &str, suites: &[&str]) -> Result<TlsSettings, TlsError> {
        let suites: Vec<_> = suites.iter().map(ToString::to_string).collect();
        TlsSettings::parse(min_version, &suites)
    }

    /// Number of suites of TLS 1.2 that a server with these settings offers.
    fn offered_12(settings: &TlsSettings) -> usize {
        let suites = settings.provider().cipher_suites;
        assert_eq!(suites.iter().filter(|s| s.tls13().is_some()).count(), 3);
        let spoken = settings.versions().contains(&&version::TLS12);
        let all = suites.iter().filter(|s| s.tls13().is_none()).count();
        if spoken { all } else { 0 }
    }

    const AES128: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    const AES256: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    const CBC: &str = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";
    const RC4: &str = "TLS_RSA_WITH_RC4_128_SHA";
    const V13: &str = "TLS_AES_128_GCM_SHA256";

    #[test]
    fn settings_that_can_be_used() {
        for (min_version, suites, expected_version, of_12, warnings) in [
            ("", &[][..], "VersionTLS12", 6, 0),
            ("VersionTLS12", &[], "VersionTLS12", 6, 0),
            ("VersionTLS13", &[], "VersionTLS13", 0, 0),
            ("", &[AES128], "VersionTLS12", 1, 0),
            (
                "VersionTLS12",
                &[AES128, AES256, AES256],
                "VersionTLS12",
                2,
                0,
            ),
            ("VersionTLS12", &[AES128, CBC, RC4], "VersionTLS12", 1, 1),
            // Refused by the validation of the configuration, not here.
            ("VersionTLS13", &[V13, AES128], "VersionTLS13", 0, 0),
            // TLS 1.2 has no suite left; TLS 1.3 has all of its own.
            ("VersionTLS12", &[V13], "VersionTLS12", 0, 1),
            (
                "",
                &[
                    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
                    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                ],
                "VersionTLS12",
                1,
                0,
            ),
        ] {
            let settings = parse(min_version, suites).unwrap();
            assert_eq!(settings.min_version(), expected_version);
            assert_eq!(offered_12(&settings), of_12, "{min_version} {suites:?}");
            assert_eq!(
                settings.warnings().len(),
                warnings,
                "{:?}",
                settings.warnings()
            );
            let config = settings.server_config(Certificates::new(), HTTP1).unwrap();
            assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        }
        assert_eq!(offered_12(&TlsSettings::default()), 6);
    }

    #[test]
    fn settings_that_cannot() {
        for (min_version, suites, parts) in [
            (
                "VersionTLS10",
                &[][..],
                &[
                    "VersionTLS10 is not supported",
                    "VersionTLS12 or VersionTLS13",
                ][..],
            ),
            (
                "VersionTLS11",
                &[],
                &[
                    "VersionTLS11 is not supported",
                    "VersionTLS12 or VersionTLS13",
                ],
            ),
            ("nonsense", &[], &["invalid minVersion", "\"nonsense\""]),
            (
                "",
                &["NONSENSE"],
                &["invalid cipher suites", "\"NONSENSE\"", AES128, V13],
            ),
            (
                "",
                &[AES128, "NONSENSE"],
                &["invalid cipher suites", "\"NONSENSE\""],
            ),
            ("", &[CBC, RC4], &["invalid cipher suites", CBC, RC4]),
        ] {
            let error = parse(min_version, suites).unwrap_err();
            assert_eq!(error.0.len(), 1);
            for part in parts {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
        let both = parse("nonsense", &["NONSENSE"]).unwrap_err().to_string();
        let version = both.find("invalid minVersion").unwrap();
        let suites = both.find("invalid cipher suites").unwrap();
        assert!(version < suites, "{both}");
    }

    #[test]
    fn every_name_of_go_is_known() {
        for name in SUITES.iter().map(|(name, _)| name).chain(LACKING) {
            parse("", &[AES128, name]).unwrap();
        }
        assert_eq!(SUITES.len() + LACKING.len(), 27);
        for suite in ring::ALL_CIPHER_SUITES {
            assert!(SUITES.iter().any(|(_, known)| *known == suite.suite()));
        }
    }
}
