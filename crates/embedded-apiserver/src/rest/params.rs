//! Query parameters of resource requests.

use axum::extract::Query;
use http::Uri;

use crate::builtin::field;
use crate::status::Status;

/// The query parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Status> {
        Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| Status::bad_request(format!("invalid query: {error}")))
    }

    /// A parameter that is present and not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// A boolean as Kubernetes reads it: anything but an explicit "false" or "0" is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        match self
            .0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
        {
            None | Some("false" | "0" | "False" | "FALSE") => false,
            Some(_) => true,
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        self.get(key)
            .map(|value| {
                value.parse().map_err(|_| {
                    Status::bad_request(format!("invalid value {value:?} of parameter {key}"))
                })
            })
            .transpose()
    }

    /// Whether nothing is to be stored. [`Params::check`] refuses what is neither yes nor no.
    pub(crate) fn dry_run(&self) -> bool {
        self.get("dryRun") == Some(DRY_RUN)
    }

    /// Who the caller says it is for field ownership: the parameter, if it is present.
    pub(crate) fn field_manager(&self) -> Option<&str> {
        self.get("fieldManager")
    }

    /// Refuses options of a write that say nothing, or contradict its kind.
    pub(crate) fn check(&self, options: Options) -> Result<(), Status> {
        let mut errors = Vec::new();
        match options {
            Options::Apply if self.field_manager().is_none() => {
                errors.push(field::required(
                    "fieldManager",
                    "is required for apply patch",
                ));
            }
            Options::Patch if self.get("force").is_some() => errors.push(field::forbidden(
                "force",
                "may not be specified for non-apply patch",
            )),
            _ => {}
        }
        let manager = self.field_manager().unwrap_or_default();
        if manager.len() > MANAGER_LIMIT {
            errors.push(field::too_long("fieldManager", MANAGER_LIMIT));
        }
        if let Some(odd) = manager.chars().find(|c| c.is_control()) {
            let why = format!("invalid character {odd:?}");
            errors.push(field::invalid("fieldManager", format!("{manager:?}"), &why));
        }
        for (key, allowed) in [("dryRun", &[DRY_RUN][..]), ("fieldValidation", MODES)] {
            if let Some(value) = self.get(key)
                && !allowed.contains(&value)
            {
                errors.push(field::unsupported(key, format!("{value:?}"), allowed));
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(options.kind(), META, "", errors))
    }
}

/// The one value of `dryRun`.
const DRY_RUN: &str = "All";
/// The longest name of a field manager, in bytes.
const MANAGER_LIMIT: usize = 128;
/// The values of `fieldValidation`.
const MODES: &[&str] = &["Ignore", "Strict", "Warn"];
/// The group of the options.
const META: &str = "meta.k8s.io";

/// Whose options are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    Create,
    Update,
    Patch,
    /// Of a patch that applies.
    Apply,
}

impl Options {
    fn kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

/// How strictly unknown and duplicate fields are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn.
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    pub(crate) fn of(params: &Params) -> Self {
        match params.get("fieldValidation") {
            Some("Ignore") => Self::Ignore,
            Some("Strict") => Self::Strict,
            _ => Self::Warn,
        }
    }
}
