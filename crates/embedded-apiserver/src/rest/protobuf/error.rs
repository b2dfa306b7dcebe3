//! Why a body could not be decoded.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// The body is well-formed as far as it was looked at, and of a kind or an encoding that is
    /// not read.
    #[error("{0}")]
    Unsupported(String),
    /// The body breaks the encoding, or has a field the tables do not know.
    #[error("{}{}{what}", .path, if .path.is_empty() { "" } else { ": " })]
    Malformed {
        /// Where, by JSON names: `spec.containers[0].env`.
        path: String,
        what: String,
    },
}

impl Error {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed {
            path: String::new(),
            what: what.into(),
        }
    }

    /// The same error, seen from the message that has the failed one as a field.
    pub(crate) fn under(self, name: &str) -> Self {
        match self {
            Self::Malformed { path, what } => {
                let path = match path.chars().next() {
                    None => name.to_owned(),
                    Some('[') => format!("{name}{path}"),
                    Some(_) => format!("{name}.{path}"),
                };
                Self::Malformed { path, what }
            }
            unsupported @ Self::Unsupported(_) => unsupported,
        }
    }
}
