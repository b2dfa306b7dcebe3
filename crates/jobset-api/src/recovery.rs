//! Restart back-off, a budget that refills, and Pods that do not go: optional behaviour that a
//! JobSet asks for by annotations.
//!
//! | annotation | value | meaning |
//! |---|---|---|
//! | [`RESTART_BACKOFF_KEY`] | `initial=10s,factor=2,max=5m` | wait before the Jobs of a restart are created |
//! | [`RESTART_BUDGET_REFILL_KEY`] | `after=1h` | restarts are forgiven after so much healthy time |
//! | [`FORCE_DELETE_PODS_KEY`] | `after=5m` | Pods that should be gone for so long are removed if their node is dead |
//!
//! Values are settings separated by commas. Durations are whole numbers with the units `s`, `m` and
//! `h`, such as `90s` or `1h30m`.

use std::time::Duration;

use crate::resource::JobSet;

/// Annotation of a JobSet: wait before restarts. See [`RestartBackoff`].
pub const RESTART_BACKOFF_KEY: &str = "x.jobset.sigs.k8s.io/restart-backoff";
/// Annotation of a JobSet: `after=<duration>`, the healthy time after which `maxRestarts` is
/// counted anew.
pub const RESTART_BUDGET_REFILL_KEY: &str = "x.jobset.sigs.k8s.io/restart-budget-refill";
/// Annotation of a JobSet: `after=<duration>`, the time after which Pods that should have gone are
/// removed, if their node is dead.
pub const FORCE_DELETE_PODS_KEY: &str = "x.jobset.sigs.k8s.io/force-delete-pods";

/// Every annotation of this module.
pub const KEYS: [&str; 3] = [
    RESTART_BACKOFF_KEY,
    RESTART_BUDGET_REFILL_KEY,
    FORCE_DELETE_PODS_KEY,
];

/// Longest duration that a setting may have: one year.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// How long to wait before the n-th restart in a row: `initial` times `factor` to the power of n-1,
/// but at most `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartBackoff {
    /// Wait before the first restart.
    pub initial: Duration,
    /// By how much the wait grows with each restart; at least 1. Default 2.
    pub factor: f64,
    /// Longest wait. Default 5 minutes, or `initial` if that is longer.
    pub max: Duration,
}

impl RestartBackoff {
    /// Longest wait if the annotation does not name one.
    pub const DEFAULT_MAX: Duration = Duration::from_mins(5);

    /// Reads the annotation's value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let [initial, factor, max] = settings(text, ["initial", "factor", "max"])?;
        let initial = duration("initial", initial.ok_or("initial is missing")?)?;
        let factor = match factor {
            None => 2.0,
            Some(text) => {
                let factor: f64 = text
                    .parse()
                    .map_err(|_| format!("factor {text:?} is not a number"))?;
                if !(1.0..=100.0).contains(&factor) {
                    return Err(format!("factor {text} is not between 1 and 100"));
                }
                factor
            }
        };
        let max = match max {
            None => Self::DEFAULT_MAX.max(initial),
            Some(text) => duration("max", text)?,
        };
        if max < initial {
            return Err("max is less than initial".to_owned());
        }
        Ok(Self {
            initial,
            factor,
            max,
        })
    }

    /// Wait before the n-th restart in a row; none before the "zeroth".
    pub fn delay(&self, restart: i64) -> Duration {
        let Ok(exponent) = i32::try_from(restart - 1) else {
            return if restart < 1 {
                Duration::ZERO
            } else {
                self.max
            };
        };
        if exponent < 0 {
            return Duration::ZERO;
        }
        let seconds = self.initial.as_secs_f64() * self.factor.powi(exponent);
        // Beyond all measure, or no number at all: the longest wait.
        Duration::try_from_secs_f64(seconds).map_or(self.max, |delay| delay.min(self.max))
    }
}

/// Reads `after=<duration>`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_after(text: &str) -> Result<Duration, String> {
    let [after] = settings(text, ["after"])?;
    duration("after", after.ok_or("after is missing")?)
}

/// What a JobSet asks for. Annotations that cannot be read are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Wait before restarts.
    pub backoff: Option<RestartBackoff>,
    /// Healthy time after which restarts are forgiven.
    pub refill: Option<Duration>,
    /// Overtime after which a Pod on a dead node is removed.
    pub force_delete: Option<Duration>,
}

impl Recovery {
    /// Reads the annotations; what cannot be read is reported as (annotation, value, explanation).
    pub fn of(jobset: &JobSet) -> (Self, Vec<(&'static str, String, String)>) {
        let mut problems = Vec::new();
        let annotation = |key: &str| jobset.metadata.annotations.as_ref()?.get(key);
        let mut problem = |key: &'static str, text: &str, why: String| {
            problems.push((key, text.to_owned(), why));
        };
        let mut after = |key: &'static str| {
            let text = annotation(key)?;
            parse_after(text)
                .map_err(|why| problem(key, text, why))
                .ok()
        };
        let refill = after(RESTART_BUDGET_REFILL_KEY);
        let force_delete = after(FORCE_DELETE_PODS_KEY);
        let backoff = annotation(RESTART_BACKOFF_KEY).and_then(|text| {
            RestartBackoff::parse(text)
                .map_err(|why| problem(RESTART_BACKOFF_KEY, text, why))
                .ok()
        });
        let recovery = Self {
            backoff,
            refill,
            force_delete,
        };
        (recovery, problems)
    }
}

/// The values of the named settings, each given at most once.
fn settings<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Result<[Option<&'t str>; N], String> {
    let mut values = [None; N];
    for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        let Some((name, value)) = entry.split_once('=') else {
            return Err(format!("{entry:?} is not of the form name=value"));
        };
        let (name, value) = (name.trim(), value.trim());
        let slot = names.iter().position(|known| *known == name);
        let Some(slot) = slot.and_then(|position| values.get_mut(position)) else {
            return Err(format!(
                "unknown setting {name:?}; known are {}",
                names.join(", ")
            ));
        };
        if slot.replace(value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(values)
}

/// A duration such as `1h30m`, more than zero and at most a year.
fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let malformed = || format!("{name} {text:?} is not a duration such as 90s, 5m or 1h30m");
    let mut total = 0_u64;
    let mut rest = text;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| malformed())?;
        let unit = match tail.as_bytes().first() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            _ => return Err(malformed()),
        };
        total = total.saturating_add(number.saturating_mul(unit));
        rest = &tail[1..];
    }
    let duration = Duration::from_secs(total);
    if duration.is_zero() {
        return Err(format!("{name} must be more than zero"));
    }
    if duration > LONGEST {
        return Err(format!("{name} {text:?} is longer than a year"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn back_off_with_defaults() {
        let full = RestartBackoff::parse("initial=10s, factor=1.5 ,max=1h30m").unwrap();
        assert_eq!((full.initial, full.max), (seconds(10), seconds(5400)));
        assert!((full.factor - 1.5).abs() < f64::EPSILON);
        let short = RestartBackoff::parse("initial=10s").unwrap();
        assert_eq!(short.max, RestartBackoff::DEFAULT_MAX);
        assert_eq!(
            RestartBackoff::parse("initial=1h").unwrap().max,
            seconds(3600)
        );
    }

    #[test]
    fn delay_grows_to_the_limit() {
        let backoff = RestartBackoff::parse("initial=10s,factor=2,max=1m").unwrap();
        let delays: Vec<u64> = [-3, 0, 1, 2, 3, 4, 5, 2000, i64::MAX]
            .into_iter()
            .map(|n| backoff.delay(n).as_secs())
            .collect();
        assert_eq!(delays, [0, 0, 10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(backoff.delay(i64::MIN + 1), Duration::ZERO);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, part) in [
            ("", "initial is missing"),
            ("max=5m", "initial is missing"),
            ("10s", "\"10s\" is not of the form name=value"),
            ("initial=10", "initial \"10\" is not a duration"),
            ("initial=s", "is not a duration"),
            ("initial=1d", "is not a duration"),
            ("initial=", "is not a duration"),
            ("initial=0s", "initial must be more than zero"),
            ("initial=9999999h", "longer than a year"),
            ("initial=1s,initial=2s", "initial is given twice"),
            (
                "initial=1s,first=2s",
                "unknown setting \"first\"; known are initial, factor, max",
            ),
            ("initial=1s,factor=x", "factor \"x\" is not a number"),
            ("initial=1s,factor=0.5", "not between 1 and 100"),
            ("initial=1s,factor=NaN", "not between 1 and 100"),
            ("initial=10s,max=5s", "max is less than initial"),
        ] {
            let error = RestartBackoff::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(parse_after("after=1h").unwrap(), seconds(3600));
        assert!(parse_after("1h").unwrap_err().contains("name=value"));
    }

    #[test]
    fn a_jobset_asks_by_annotations() {
        let jobset: JobSet = serde_json::from_value(json!({ "metadata": { "annotations": {
            RESTART_BACKOFF_KEY: "initial=1s",
            RESTART_BUDGET_REFILL_KEY: "after=",
            FORCE_DELETE_PODS_KEY: "after=2m",
        } } }))
        .unwrap();
        let (recovery, problems) = Recovery::of(&jobset);
        assert!(recovery.backoff.is_some());
        assert_eq!(recovery.refill, None);
        assert_eq!(recovery.force_delete, Some(seconds(120)));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].0, RESTART_BUDGET_REFILL_KEY);
        assert_eq!(
            Recovery::of(&JobSet::default()),
            (Recovery::default(), vec![])
        );
    }
}
