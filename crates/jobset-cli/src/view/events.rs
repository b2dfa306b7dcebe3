//! The events of a JobSet, its Jobs and its Pods, whoever has sent them.

use jobset_api::JobSet;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// One event, or a series of the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Happening {
    /// When it happened first, with all the digits there are.
    #[serde(skip)]
    pub(crate) at: Timestamp,
    pub(crate) first: Time,
    pub(crate) last: Time,
    pub(crate) count: i32,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) reason: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Of the object, if the event says it.
    #[serde(skip)]
    pub(crate) uid: String,
    pub(crate) note: String,
}

impl Happening {
    /// What an event tells, if it is about the JobSet or one of its children.
    pub(crate) fn of(event: &Event, jobset: &JobSet) -> Option<Self> {
        let about = event.regarding.as_ref()?;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (kind, name) = (text(&about.kind), text(&about.name));
        let (first, last) = times(event);
        let created = jobset.metadata.creation_timestamp.as_ref();
        // Of a JobSet of the same name that is gone. Creation times are whole seconds.
        let too_early = created.is_some_and(|created| last.as_second() < created.0.as_second());
        let ours = match kind.as_str() {
            "JobSet" => {
                let uid = about.uid.as_deref().unwrap_or_default();
                name == jobset.name() && ["", jobset.uid()].contains(&uid)
            }
            "Job" => job_of(jobset, &name) == Some(""),
            "Pod" => job_of(jobset, &name).is_some_and(|rest| !rest.is_empty()),
            _ => false,
        };
        (ours && !too_early).then(|| Self {
            at: first,
            first: Time(first),
            last: Time(last),
            count: event
                .series
                .as_ref()
                .map(|series| series.count)
                .or(event.deprecated_count)
                .unwrap_or(1)
                .max(1),
            type_: text(&event.type_),
            reason: text(&event.reason),
            kind,
            name,
            uid: text(&about.uid),
            note: text(&event.note),
        })
    }

    pub(crate) fn is_warning(&self) -> bool {
        self.type_ == "Warning"
    }
}

/// All that is told of a JobSet and its children, oldest first.
pub(crate) fn happenings<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    jobset: &JobSet,
) -> Vec<Happening> {
    let mut all: Vec<Happening> = events
        .into_iter()
        .filter_map(|event| Happening::of(event, jobset))
        .collect();
    all.sort_by(|a, b| (a.at, &a.name, &a.reason).cmp(&(b.at, &b.name, &b.reason)));
    all
}

/// First and last time, by whichever of the fields is there.
fn times(event: &Event) -> (Timestamp, Timestamp) {
    let created = event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    let exact = event.event_time.as_ref().map(|time| time.0);
    let deprecated = event.deprecated_first_timestamp.as_ref().map(|time| time.0);
    let first = exact.or(deprecated).or(created).unwrap_or_default();
    let last = event
        .series
        .as_ref()
        .map(|series| series.last_observed_time.0)
        .or_else(|| event.deprecated_last_timestamp.as_ref().map(|time| time.0))
        .unwrap_or(first);
    (first, last.max(first))
}

/// If a name begins like that of one of the JobSet's Jobs: what follows. Jobs and Pods that are
/// gone are known by their names alone.
fn job_of<'a>(jobset: &JobSet, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(jobset.name())?.strip_prefix('-')?;
    jobset.spec.replicated_jobs.iter().find_map(|role| {
        let rest = rest.strip_prefix(role.name.as_str())?.strip_prefix('-')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let index: i32 = rest[..digits].parse().ok()?;
        let rest = &rest[digits..];
        (index < role.replicas() && (rest.is_empty() || rest.starts_with('-'))).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{event, jobset};
    use super::*;

    #[test]
    fn children_are_known_by_name_even_when_they_are_gone() {
        let set = jobset(&json!({}));
        for (name, rest) in [
            ("js-workers-1", Some("")),
            ("js-workers-1-0-abcde", Some("-0-abcde")),
            ("js-workers-2", None),
            ("js-workers-", None),
            ("js-other-0", None),
            ("js-workers-1x", None),
            ("other", None),
        ] {
            assert_eq!(job_of(&set, name), rest, "{name}");
        }
    }

    #[test]
    fn events_of_others_and_of_former_lives_are_left_out() {
        let mut former = event(1, ("JobSet", "js"), "Warning", "Former", "n");
        former.regarding.as_mut().unwrap().uid = Some("another".to_owned());
        let mut early = event(1, ("Job", "js-workers-0"), "Warning", "Early", "n");
        early.event_time.as_mut().unwrap().0 = "2025-12-31T23:59:00Z".parse().unwrap();
        let events = vec![
            event(9, ("Pod", "js-workers-0-0-abcde"), "Normal", "Started", "n"),
            event(
                3,
                ("Job", "js-workers-0"),
                "Warning",
                "BackoffLimitExceeded",
                "n",
            ),
            event(2, ("JobSet", "js"), "Warning", "FailedJobs", "n"),
            event(2, ("JobSet", "other"), "Warning", "No", "n"),
            event(2, ("Node", "node-0"), "Warning", "No", "n"),
            former,
            early,
        ];
        let mut other = events[3].clone();
        other.regarding.as_mut().unwrap().uid = Some("o".to_owned());
        let mut all = events;
        all[3] = other;
        let found = happenings(&all, &jobset(&json!({})));
        let reasons: Vec<&str> = found.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["FailedJobs", "BackoffLimitExceeded", "Started"]);
    }

    #[test]
    fn a_series_has_a_count_and_a_last_time() {
        let mut event = event(2, ("JobSet", "js"), "Warning", "JobCreationFailed", "n");
        event.series = serde_json::from_value(
            json!({"count": 4, "lastObservedTime": "2026-01-01T00:05:00.000000Z"}),
        )
        .unwrap();
        let one = Happening::of(&event, &jobset(&json!({}))).unwrap();
        assert_eq!(one.count, 4);
        assert_eq!(one.last.0.as_second() - one.first.0.as_second(), 298);
    }
}
