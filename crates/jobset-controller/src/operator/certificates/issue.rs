//! Making certificates, and judging those there are. Pure functions of bytes and a time.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::pkcs8;

/// A certificate that would not be good so long from now is replaced today.
pub(crate) const LOOK_AHEAD: Duration = Duration::from_hours(90 * 24);
/// Certificates are valid a little into the past, for hosts whose clocks are behind.
const BACKDATED: Duration = Duration::from_hours(1);
const SERVER_VALIDITY: Duration = Duration::from_hours(365 * 24);
const CA_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);
const CA_NAME: &str = "jobset-ca";
const ORGANIZATION: &str = "jobset";

/// The certificates of the webhooks, as they are stored: PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) ca_cert: Vec<u8>,
    pub(crate) ca_key: Vec<u8>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What has to be done about stored certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// The server's certificate has to be replaced, for this reason.
    RenewServer(String),
    /// Both have to be replaced, for this reason.
    RenewAll(String),
}

/// Judges certificates for a server of these names at a time.
pub(crate) fn judge(material: &Material, names: &[String], now: UnixTime) -> Verdict {
    let at = later(now, LOOK_AHEAD);
    if material.ca_cert.is_empty() || material.ca_key.is_empty() {
        return Verdict::RenewAll("there is no certificate authority".to_owned());
    }
    if material.cert.is_empty() || material.key.is_empty() {
        return Verdict::RenewAll("there is no certificate".to_owned());
    }
    if let Err(why) = check_ca(material, at) {
        return Verdict::RenewAll(format!("the certificate authority is not good: {why}"));
    }
    match check_server(material, names, at) {
        Ok(()) => Verdict::Good,
        Err(why) => Verdict::RenewServer(format!("the certificate is not good: {why}")),
    }
}

fn check_ca(material: &Material, at: UnixTime) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(&material.ca_cert).map_err(|e| e.to_string())?;
    let (_, ca) = X509Certificate::from_der(&der).map_err(|e| e.to_string())?;
    if !ca.is_ca() {
        return Err("it is none".to_owned());
    }
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let validity = ca.validity();
    if seconds > validity.not_after.timestamp() {
        return Err(format!("it ends on {}", validity.not_after));
    }
    if seconds < validity.not_before.timestamp() {
        return Err(format!("it begins on {}", validity.not_before));
    }
    let key = ca_key(material)?;
    if key.subject_public_key_info() != ca.public_key().raw {
        return Err("its key belongs to another certificate".to_owned());
    }
    Ok(())
}

fn ca_key(material: &Material) -> Result<KeyPair, String> {
    let key = PrivateKeyDer::from_pem_slice(&material.ca_key).map_err(|e| e.to_string())?;
    KeyPair::try_from(&pkcs8::from(&key)?).map_err(|e| e.to_string())
}

fn check_server(material: &Material, names: &[String], at: UnixTime) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certified = certified(&material.cert, &material.key)?;
    let ca = CertificateDer::from_pem_slice(&material.ca_cert).map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|e| e.to_string())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| e.to_string())?;
    let (end, chain) = certified.cert.split_first().ok_or("it is empty")?;
    for name in names {
        let server = ServerName::try_from(name.as_str()).map_err(|e| e.to_string())?;
        verifier
            .verify_server_cert(end, chain, &server, &[], at)
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A certificate chain and its key, if they belong together.
fn certified(cert: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("tls.crt: {e}"))?;
    if chain.is_empty() {
        return Err("tls.crt: no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| format!("tls.key: {e}"))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|e| e.to_string())
}

/// A new authority, and a certificate by it for the server of these names.
pub(crate) fn create(names: &[String], now: UnixTime) -> Result<Material, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut params = params(&[CA_NAME.to_owned()], now, CA_VALIDITY)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, ORGANIZATION);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    let ca = params.self_signed(&ca_key)?;
    let material = Material {
        ca_cert: ca.pem().into(),
        ca_key: ca_key.serialize_pem().into(),
        ..Material::default()
    };
    let issuer = Issuer::new(params, ca_key);
    with_server(material, &issuer, names, now)
}

/// The same authority with a new certificate for the server of these names.
pub(crate) fn renew(
    material: Material,
    names: &[String],
    now: UnixTime,
) -> Result<Material, String> {
    let key = ca_key(&material)?;
    let der = CertificateDer::from_pem_slice(&material.ca_cert).map_err(|e| e.to_string())?;
    let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| e.to_string())?;
    with_server(material, &issuer, names, now).map_err(|e| e.to_string())
}

fn with_server(
    mut material: Material,
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    now: UnixTime,
) -> Result<Material, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = params(names, now, SERVER_VALIDITY)?;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    material.cert = certificate.pem().into();
    material.key = key.serialize_pem().into();
    Ok(material)
}

/// A certificate for serving under these names alone, which nobody has reason to trust.
pub(crate) fn self_signed(names: &[&str], now: UnixTime) -> Result<(Vec<u8>, Vec<u8>), String> {
    let make = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = params(&names, now, SERVER_VALIDITY)?.self_signed(&key)?;
        Ok((certificate.pem().into(), key.serialize_pem().into()))
    };
    make().map_err(|e| e.to_string())
}

/// What a certificate for these names says; it is called by the first of them.
fn params(
    names: &[String],
    now: UnixTime,
    validity: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        names.first().cloned().unwrap_or_default(),
    );
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.as_secs());
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + validity;
    Ok(params)
}

fn later(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs()) + by)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn names() -> Vec<String> {
        vec!["jobset-webhook-service.jobset-system.svc".to_owned()]
    }

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_hours(500_000))
    }

    #[test]
    fn what_is_created_is_good_until_ninety_days_before_its_end() {
        let material = create(&names(), now()).unwrap();
        assert_eq!(judge(&material, &names(), now()), Verdict::Good);
        assert_eq!(
            judge(&material, &names(), later(now(), DAY * 274)),
            Verdict::Good
        );
        let late = judge(&material, &names(), later(now(), DAY * 276));
        assert!(matches!(late, Verdict::RenewServer(_)), "{late:?}");
        let late = judge(&material, &names(), later(now(), DAY * (3650 - 89)));
        assert!(matches!(late, Verdict::RenewAll(_)), "{late:?}");
    }

    #[test]
    fn a_renewed_certificate_is_of_the_same_authority() {
        let first = create(&names(), now()).unwrap();
        let later = later(now(), DAY * 300);
        let second = renew(first.clone(), &names(), later).unwrap();
        assert_eq!(second.ca_cert, first.ca_cert);
        assert_eq!(second.ca_key, first.ca_key);
        assert_ne!(second.cert, first.cert);
        assert_eq!(judge(&second, &names(), later), Verdict::Good);
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_replaced() {
        let good = create(&names(), now()).unwrap();
        let other = create(&names(), now()).unwrap();
        let change = |change: fn(&mut Material, &Material)| {
            let mut material = good.clone();
            change(&mut material, &other);
            judge(&material, &names(), now())
        };
        let all: &[fn(&mut Material, &Material)] = &[
            |m, _| *m = Material::default(),
            |m, _| m.ca_cert.clear(),
            |m, _| m.ca_key.clear(),
            |m, _| m.cert.clear(),
            |m, _| m.key.clear(),
            |m, _| m.ca_cert = b"nonsense".to_vec(),
            |m, o| m.ca_key.clone_from(&o.ca_key),
            |m, o| m.ca_cert.clone_from(&o.ca_cert),
            |m, _| m.ca_cert.clone_from(&m.cert),
        ];
        for (number, broken) in all.iter().enumerate() {
            let verdict = change(*broken);
            assert!(
                matches!(verdict, Verdict::RenewAll(_)),
                "{number}: {verdict:?}"
            );
        }
        let server: &[fn(&mut Material, &Material)] = &[
            |m, _| m.cert = b"nonsense".to_vec(),
            |m, o| m.key.clone_from(&o.key),
            |m, o| {
                m.cert.clone_from(&o.cert);
                m.key.clone_from(&o.key);
            },
        ];
        for (number, broken) in server.iter().enumerate() {
            let verdict = change(*broken);
            assert!(
                matches!(verdict, Verdict::RenewServer(_)),
                "{number}: {verdict:?}"
            );
        }
        let verdict = judge(&good, &["other.jobset-system.svc".to_owned()], now());
        assert!(matches!(verdict, Verdict::RenewServer(_)), "{verdict:?}");
        let more = [
            names(),
            vec!["127.0.0.1".to_owned(), "a.example".to_owned()],
        ]
        .concat();
        let verdict = judge(&good, &more, now());
        assert!(matches!(verdict, Verdict::RenewServer(_)), "{verdict:?}");
        let renewed = renew(good, &more, now()).unwrap();
        assert_eq!(judge(&renewed, &more, now()), Verdict::Good);
    }

    /// What the reference has stored is taken over, and renewed under its own authority.
    #[test]
    fn rsa_certificates_with_pkcs1_keys() {
        let stored = Material {
            ca_cert: include_bytes!("testdata/ca.crt").to_vec(),
            ca_key: include_bytes!("testdata/ca.key").to_vec(),
            cert: include_bytes!("testdata/tls.crt").to_vec(),
            key: include_bytes!("testdata/tls.key").to_vec(),
        };
        assert!(stored.ca_key.starts_with(b"-----BEGIN RSA PRIVATE KEY"));
        assert_eq!(judge(&stored, &names(), now()), Verdict::Good);
        let later = later(now(), DAY * 300);
        let verdict = judge(&stored, &names(), later);
        assert!(matches!(verdict, Verdict::RenewServer(_)), "{verdict:?}");
        let renewed = renew(stored.clone(), &names(), later).unwrap();
        assert_eq!(renewed.ca_cert, stored.ca_cert);
        assert_eq!(judge(&renewed, &names(), later), Verdict::Good);
    }

    #[test]
    fn a_self_signed_certificate_can_be_served() {
        let (cert, key) = self_signed(&["localhost", "127.0.0.1"], now()).unwrap();
        assert!(certified(&cert, &key).is_ok());
        let (_, other) = self_signed(&["localhost"], now()).unwrap();
        assert!(certified(&cert, &other).is_err());
    }
}
