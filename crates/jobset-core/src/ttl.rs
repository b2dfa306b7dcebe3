//! Deletion of a finished JobSet after its time to live.

use std::time::Duration;

use jobset_api::{JobSet, JobSetStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::conditions;

/// Why the end of the time to live is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TtlError {
    /// There is no true Completed or Failed condition.
    NotFinished { namespace: String, name: String },
    /// The condition does not say when it became true.
    NoFinishTime { namespace: String, name: String },
}

impl std::fmt::Display for TtlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("error checking if ttl expired: ")?;
        match self {
            Self::NotFinished { namespace, name } => {
                write!(
                    f,
                    "unable to find the status of the finished JobSet {namespace}/{name}"
                )
            }
            Self::NoFinishTime { namespace, name } => {
                write!(
                    f,
                    "unable to find the time when the JobSet {namespace}/{name} finished"
                )
            }
        }
    }
}

/// What the time to live asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: there is no time to live, or the JobSet is being deleted already.
    Keep,
    /// Look again after this time, which is never zero.
    Wait(Duration),
    /// The time is over.
    Delete,
}

/// Judges by one reading of the clock, so that no moment lies between "not yet" and "wait": with
/// two readings, a JobSet could be found not expired and then have nothing left to wait for.
/// A finish time in the future (clock skew) is taken as it is.
pub(crate) fn verdict(
    jobset: &JobSet,
    status: &JobSetStatus,
    now: Timestamp,
) -> Result<Verdict, TtlError> {
    let Some(ttl) = jobset.spec.ttl_seconds_after_finished else {
        return Ok(Verdict::Keep);
    };
    if jobset.metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::Keep);
    }
    let namespace = || jobset.namespace().to_owned();
    let name = || jobset.name().to_owned();
    let Some((_, condition)) = conditions::finished(status) else {
        return Err(TtlError::NotFinished {
            namespace: namespace(),
            name: name(),
        });
    };
    let finish = condition.last_transition_time.0;
    // Clients write "no time" as year 1; no JobSet finished before 1970 either.
    if finish <= Timestamp::UNIX_EPOCH {
        return Err(TtlError::NoFinishTime {
            namespace: namespace(),
            name: name(),
        });
    }
    let remaining = finish
        .duration_since(now)
        .saturating_add(SignedDuration::from_secs(i64::from(ttl)));
    if remaining <= SignedDuration::ZERO {
        return Ok(Verdict::Delete);
    }
    Ok(Verdict::Wait(remaining.unsigned_abs()))
}

#[cfg(test)]
mod tests;
