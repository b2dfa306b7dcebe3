//! Private keys in the one form that the certificate library reads.
//!
//! The reference stores RSA keys as PKCS#1 (`RSA PRIVATE KEY`). PKCS#8 is the same bytes in an
//! envelope that names the algorithm.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// `version 0, AlgorithmIdentifier { rsaEncryption, NULL }`.
const RSA_HEAD: [u8; 18] = [
    0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    0x05, 0x00,
];
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The key as PKCS#8.
pub(super) fn from<'a>(key: &'a PrivateKeyDer<'_>) -> Result<PrivatePkcs8KeyDer<'a>, String> {
    match key {
        PrivateKeyDer::Pkcs8(key) => Ok(key.secret_pkcs8_der().into()),
        PrivateKeyDer::Pkcs1(key) => {
            let mut content = RSA_HEAD.to_vec();
            content.extend(element(OCTET_STRING, key.secret_pkcs1_der()));
            Ok(element(SEQUENCE, &content).into())
        }
        _ => Err("keys other than PKCS#8 and PKCS#1 are not read".to_owned()),
    }
}

/// Tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    if length < 0x80 {
        element.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let used = &bytes[bytes.iter().position(|&byte| byte != 0).unwrap_or(0)..];
        element.push(0x80 | used.len() as u8);
        element.extend(used);
    }
    element.extend(content);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(element(4, &[7; 2]), [4, 2, 7, 7]);
        assert_eq!(element(4, &[7; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[7; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
    }
}
