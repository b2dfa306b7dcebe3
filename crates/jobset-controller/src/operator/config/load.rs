//! Reading the file, strictly: what is not understood is an error that says where and what is
//! known there.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::{API_VERSION, Configuration, KIND};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file is not there or not readable.
    #[error("read {}: {}", path.display(), os_text(error))]
    Read {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{}:{what}", path.display())]
    Decode { path: PathBuf, what: Mistake },
}

/// The operating system's words without Rust's error number.
fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// A mistake in the text of a configuration.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// Line and column, counted from 1.
    place: Option<(u64, u64)>,
    /// Field, as `webhook.port`.
    path: String,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " strict decoding error: {}", self.what)?;
        if !self.path.is_empty() && self.path != "." {
            write!(f, " (at {})", self.path)?;
        }
        Ok(())
    }
}

/// Reads the file; defaults are not filled in.
pub(crate) fn load(path: &Path) -> Result<Configuration, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        error,
    })?;
    decode(&text).map_err(|what| LoadError::Decode {
        path: path.to_owned(),
        what,
    })
}

/// Reads a configuration from its text, YAML or JSON.
pub(super) fn decode(text: &str) -> Result<Configuration, Mistake> {
    let mut track = serde_path_to_error::Track::new();
    let decoded = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        let deserializer = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        Configuration::deserialize(deserializer)
    });
    let configuration = decoded.map_err(|error| mistake(&error, track.path().to_string()))?;
    for (field, found, expected) in [
        ("apiVersion", &configuration.api_version, API_VERSION),
        ("kind", &configuration.kind, KIND),
    ] {
        if found.as_deref() != Some(expected) {
            let found = found.as_deref().unwrap_or_default();
            return Err(Mistake {
                place: None,
                path: field.to_owned(),
                what: format!("{field} must be {expected:?}, not {found:?}"),
            });
        }
    }
    Ok(configuration)
}

fn mistake(error: &serde_saphyr::Error, path: String) -> Mistake {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let what = match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => format!(
            "unknown field {field:?}; known fields here: {}",
            expected.join(", ")
        ),
        Error::DuplicateMappingKey { key, .. } => {
            format!("duplicate field {:?}", key.as_deref().unwrap_or_default())
        }
        other => other.to_string(),
    };
    Mistake {
        place: error
            .location()
            .map(|location| (location.line(), location.column())),
        path,
        what,
    }
}
