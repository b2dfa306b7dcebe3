//! Why an apply is refused.

use std::fmt;

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns the field.
    pub manager: String,
    /// In which version the owner wrote it.
    pub api_version: String,
    /// Through which subresource; empty for none.
    pub subresource: String,
    /// When the owner updated the object, if known; `None` for an owner that applied.
    pub updated_at: Option<String>,
    /// Path of the field, such as `.spec.containers[name="app"].image`.
    pub field: String,
}

impl Conflict {
    /// With whom: the message of a status cause of type `FieldManagerConflict`.
    pub fn message(&self) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        let written = match self.updated_at.as_deref() {
            None => String::new(),
            Some("") => format!(" using {}", self.api_version),
            Some(time) => format!(" using {} at {time}", self.api_version),
        };
        format!("conflict with {:?}{subresource}{written}", self.manager)
    }
}

/// An apply that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Fields are owned by others: a 409 with a cause for each.
    Conflicts(Vec<Conflict>),
    /// The configuration is malformed: a 400.
    Invalid(String),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conflicts = match self {
            Self::Invalid(message) => return f.write_str(message),
            Self::Conflicts(conflicts) => conflicts,
        };
        if let [one] = conflicts.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: {}: {}",
                one.message(),
                one.field
            );
        }
        write!(f, "Apply failed with {} conflicts:", conflicts.len())?;
        let mut last = String::new();
        for conflict in conflicts {
            let message = conflict.message();
            if message != last {
                let plural = message.replacen("conflict", "conflicts", 1);
                write!(f, " {plural}:")?;
                last = message;
            }
            write!(f, "\n- {}", conflict.field)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}
