//! Rules that a configuration has to keep. All broken ones are reported together.

use std::fmt;

use jobset_controller::webhook::tls::TlsSettings;

use super::Configuration;

/// The broken rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Invalid(pub(crate) Vec<FieldError>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match &errors[..] {
            [one] => f.write_str(one),
            several => write!(f, "[{}]", several.join(", ")),
        }
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// Path of the field.
    pub(crate) field: &'static str,
    /// The value as it would be written.
    pub(crate) value: String,
    /// The rule.
    pub(crate) detail: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            detail,
        } = self;
        write!(f, "{field}: Invalid value: {value}: {detail}")
    }
}

/// Checks a configuration whose defaults are filled in.
pub(crate) fn validate(configuration: &Configuration) -> Result<(), Invalid> {
    let mut errors = Vec::new();
    names(configuration, &mut errors);
    tls(configuration, &mut errors);
    extensions(configuration, &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Invalid(errors))
    }
}

fn names(configuration: &Configuration, errors: &mut Vec<FieldError>) {
    let Some(management) = &configuration.internal_cert_management else {
        return;
    };
    if management.enable != Some(true) {
        return;
    }
    if let Some(name) = &management.webhook_service_name
        && !is_label_1035(name)
    {
        errors.push(FieldError {
            field: "internalCertManagement.webhookServiceName",
            value: format!("{name:?}"),
            detail: "a Service's name has at most 63 lower case letters, digits and '-', begins \
                     with a letter and ends with a letter or digit"
                .to_owned(),
        });
    }
    if let Some(name) = &management.webhook_secret_name
        && !is_subdomain(name)
    {
        errors.push(FieldError {
            field: "internalCertManagement.webhookSecretName",
            value: format!("{name:?}"),
            detail: "a Secret's name has at most 253 lower case letters, digits, '-' and '.', and \
                     each part between dots begins and ends with a letter or digit"
                .to_owned(),
        });
    }
}

fn tls(configuration: &Configuration, errors: &mut Vec<FieldError>) {
    let Some(tls) = &configuration.tls else {
        return;
    };
    if let Err(error) = TlsSettings::parse(&tls.min_version, &tls.cipher_suites) {
        errors.push(FieldError {
            field: "tls",
            value: format!("{:?} {:?}", tls.min_version, tls.cipher_suites),
            detail: error.to_string(),
        });
    } else if tls.min_version == "VersionTLS13" && !tls.cipher_suites.is_empty() {
        errors.push(FieldError {
            field: "tls.cipherSuites",
            value: format!("{:?}", tls.cipher_suites),
            detail: "the suites of TLS 1.3 cannot be chosen; leave the list out".to_owned(),
        });
    }
}

fn extensions(configuration: &Configuration, errors: &mut Vec<FieldError>) {
    let Some(extensions) = &configuration.extensions else {
        return;
    };
    for (field, value) in [
        ("extensions.workers", extensions.workers),
        ("extensions.maxInFlight", extensions.max_in_flight),
    ] {
        if value == Some(0) {
            errors.push(FieldError {
                field,
                value: "0".to_owned(),
                detail: "must be at least 1".to_owned(),
            });
        }
    }
    if let Some(namespace) = &extensions.namespace
        && !is_label(namespace)
    {
        errors.push(FieldError {
            field: "extensions.namespace",
            value: format!("{namespace:?}"),
            detail: "is no name of a namespace".to_owned(),
        });
    }
}

/// RFC 1123 label.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_label_1035(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_subdomain(text: &str) -> bool {
    // Parts of a subdomain, unlike labels by themselves, have no limit but the whole's.
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
