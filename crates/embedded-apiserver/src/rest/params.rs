//! Query parameters of resource requests.

use axum::extract::Query;
use http::Uri;

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

    /// `dryRun=All`, or an error for any other value.
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!(
                "invalid value {other:?} of parameter dryRun: must be All"
            ))),
        }
    }

    /// Who the caller says it is for field ownership: the parameter, if it is present.
    pub(crate) fn field_manager(&self) -> Result<Option<&str>, Status> {
        let manager = self.get("fieldManager");
        match manager {
            Some(name) if name.len() > 128 || name.chars().any(char::is_control) => Err(
                Status::bad_request("invalid fieldManager: at most 128 printable characters"),
            ),
            _ => Ok(manager),
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
    pub(crate) fn of(params: &Params) -> Result<Self, Status> {
        match params.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(Status::bad_request(format!(
                "invalid value {other:?} of parameter fieldValidation: must be Ignore, Warn or \
                 Strict"
            ))),
        }
    }
}
