//! Certificates and keys of one control plane, in PEM.

use std::{fs, path::Path};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::files::write_private;

/// Who a certificate is for: file name, common name, organisation.
const IDENTITIES: [(&str, &str, &str); 6] = [
    // Serves clients and other members, and is a client of itself.
    ("etcd", "etcd", ""),
    ("etcd-client", "kube-apiserver", ""),
    ("kube-apiserver", "kube-apiserver", ""),
    ("admin", "kubernetes-admin", "system:masters"),
    (
        "kube-controller-manager",
        "system:kube-controller-manager",
        "",
    ),
    ("kube-scheduler", "system:kube-scheduler", ""),
];

/// Writes an authority, a certificate for every part and the keys of service accounts.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "control plane for tests");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write_private(&folder.join("ca.crt"), &ca.pem())?;

    for (file, common_name, organisation) in IDENTITIES {
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"];
        let mut params = CertificateParams::new(names.map(str::to_owned))?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, common_name);
        if !organisation.is_empty() {
            name.push(DnType::OrganizationName, organisation);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?;
        write_private(&folder.join(format!("{file}.crt")), &certificate.pem())?;
        write_private(&folder.join(format!("{file}.key")), &key.serialize_pem())?;
    }

    let tokens = KeyPair::generate()?;
    write_private(&folder.join("tokens.key"), &tokens.serialize_pem())?;
    write_private(&folder.join("tokens.pub"), &tokens.public_key_pem())
}
