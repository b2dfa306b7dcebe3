//! The events of a JobSet, its Jobs and its Pods, whoever has sent them.

use std::collections::{HashMap, HashSet};

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

/// Events of the same kind about several objects, within a short time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gathered {
    /// The newest of them.
    pub(crate) newest: Happening,
    /// The objects that they are about, at least one.
    pub(crate) objects: usize,
    /// Whether all of them say the same.
    pub(crate) alike: bool,
}

impl Gathered {
    /// The object, or how many there are.
    pub(crate) fn about(&self) -> String {
        match self.objects {
            0 | 1 => self.newest.name.clone(),
            many => super::count(many as i64, &self.newest.kind),
        }
    }

    /// What is said. Of several objects it is said what holds for all, except for warnings.
    pub(crate) fn note(&self) -> &str {
        if self.alike || self.newest.is_warning() {
            &self.newest.note
        } else {
            ""
        }
    }
}

/// Puts together what happens to many objects at the same time: a thousand Pods that start are one line. In
/// the order of the newest of each.
pub(crate) fn gathered(all: &[Happening]) -> Vec<Gathered> {
    /// What happens to many at once is told within this many seconds.
    const SHORT: i64 = 10;
    let mut by_time: Vec<&Happening> = all.iter().collect();
    by_time.sort_by_key(|one| one.last.0);
    let mut groups: Vec<(Gathered, HashSet<&str>)> = Vec::new();
    let mut open: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for one in by_time {
        let key = (one.type_.as_str(), one.kind.as_str(), one.reason.as_str());
        let known = open.get(&key).and_then(|place| groups.get_mut(*place));
        if let Some((group, names)) = known
            && one.last.0.as_second() - group.newest.last.0.as_second() <= SHORT
        {
            names.insert(&one.name);
            group.objects = names.len();
            group.alike &= group.newest.note == one.note;
            group.newest = one.clone();
            continue;
        }
        open.insert(key, groups.len());
        let group = Gathered {
            newest: one.clone(),
            objects: 1,
            alike: true,
        };
        groups.push((group, HashSet::from([one.name.as_str()])));
    }
    let mut groups: Vec<Gathered> = groups.into_iter().map(|(group, _)| group).collect();
    groups.sort_by_key(|group| group.newest.last.0);
    groups
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
    fn what_happens_to_many_at_once_is_one_line() {
        let pod = |second, index: u32, reason, note: &str| {
            let name = format!("js-workers-0-{index}-abcde");
            event(second, ("Pod", &name), "Normal", reason, note)
        };
        let events = vec![
            pod(1, 0, "Scheduled", "to node-0"),
            pod(1, 0, "Started", "Started container main"),
            pod(2, 1, "Scheduled", "to node-1"),
            pod(3, 1, "Started", "Started container main"),
            pod(3, 0, "Started", "Started container main"),
            event(4, ("JobSet", "js"), "Warning", "FailedJobs", "n"),
            // The same reason, but long after.
            pod(20, 2, "Started", "Started container main"),
        ];
        let all = happenings(&events, &jobset(&json!({})));
        let lines: Vec<String> = gathered(&all)
            .iter()
            .map(|group| {
                format!(
                    "{} {}: {}",
                    group.about(),
                    group.newest.reason,
                    group.note()
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                "2 Pods Scheduled: ",
                "2 Pods Started: Started container main",
                "js FailedJobs: n",
                "js-workers-0-2-abcde Started: Started container main",
            ]
        );
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
