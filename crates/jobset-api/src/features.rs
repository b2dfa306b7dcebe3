//! Feature gates: which optional behaviour is switched on.
//!
//! Gates are set only through a map of names to booleans (the `featureGates` key of the
//! controller's configuration file). Two meta-gates, `AllAlpha` and `AllBeta`, set every gate of
//! that stage that the map does not name itself.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

/// One optional behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// Restart strategy `InPlaceRestart`: containers restart without new Pods.
    InPlaceRestart,
    /// Failure policy actions that restart one Job instead of all.
    RestartJob,
    /// `parallelism` and `completions` of Indexed Jobs may change while they run.
    ElasticJobSet,
    /// The `tls` section of the controller's configuration.
    TlsOptions,
    /// `status.executionAttempts`: restarts and resumptions are counted.
    ExecutionAttemptsTracking,
    /// Requests and limits of containers may change while a JobSet is suspended.
    MutablePodResourcesForSuspendedJobSets,
    /// `spec.activeDeadlineSeconds` and `status.startTime`.
    JobSetActiveDeadlineSeconds,
}

/// How mature a gated behaviour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Off by default, may change or go.
    Alpha,
    /// On by default usually, may change in details.
    Beta,
    /// Always on.
    Ga,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Ga => "GA",
        })
    }
}

/// What is fixed about a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureInfo {
    /// The gate.
    pub feature: Feature,
    /// Name in the configuration.
    pub name: &'static str,
    /// Maturity.
    pub stage: Stage,
    /// Value when nothing is configured.
    pub default: bool,
    /// Whether configuring another value than the default is an error.
    pub locked: bool,
}

const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

/// Every gate, in the order of [`Feature`].
const TABLE: [FeatureInfo; 7] = [
    FeatureInfo {
        feature: Feature::InPlaceRestart,
        name: "InPlaceRestart",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
    FeatureInfo {
        feature: Feature::RestartJob,
        name: "RestartJob",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
    FeatureInfo {
        feature: Feature::ElasticJobSet,
        name: "ElasticJobSet",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
    FeatureInfo {
        feature: Feature::TlsOptions,
        name: "TLSOptions",
        stage: Stage::Ga,
        default: true,
        locked: true,
    },
    FeatureInfo {
        feature: Feature::ExecutionAttemptsTracking,
        name: "ExecutionAttemptsTracking",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
    FeatureInfo {
        feature: Feature::MutablePodResourcesForSuspendedJobSets,
        name: "MutablePodResourcesForSuspendedJobSets",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
    FeatureInfo {
        feature: Feature::JobSetActiveDeadlineSeconds,
        name: "JobSetActiveDeadlineSeconds",
        stage: Stage::Alpha,
        default: false,
        locked: false,
    },
];

impl Feature {
    /// Every gate with its stage and default.
    pub fn all() -> &'static [FeatureInfo] {
        &TABLE
    }

    /// What is fixed about this gate.
    pub fn info(self) -> &'static FeatureInfo {
        &TABLE[self as usize]
    }

    /// Name in the configuration.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a map of gates was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FeatureGateError {
    /// No gate has this name.
    #[error("unknown feature gate {name:?}; known gates: {}", known_names())]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The gate is locked to its default.
    #[error("feature gate {name:?} is locked to {default} and cannot be set to {}", !default)]
    Locked {
        /// The gate.
        name: &'static str,
        /// The value it is locked to.
        default: bool,
    },
    /// The text after `=` is not a boolean.
    #[error("feature gate {name:?}: {value:?} is not a boolean (true or false)")]
    NotABoolean {
        /// The gate.
        name: String,
        /// What was given.
        value: String,
    },
    /// An entry of a list is not `Name=true` or `Name=false`.
    #[error("feature gate entry {entry:?} is not of the form Name=true or Name=false")]
    NotAnAssignment {
        /// What was given.
        entry: String,
    },
}

fn known_names() -> String {
    let own = TABLE.iter().map(|info| {
        let locked = if info.locked { ", locked" } else { "" };
        format!(
            "{} ({}, default {}{locked})",
            info.name, info.stage, info.default
        )
    });
    let meta = [ALL_ALPHA.to_owned(), ALL_BETA.to_owned()];
    own.chain(meta).collect::<Vec<_>>().join(", ")
}

/// Which gates are on. Cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureGates {
    on: [bool; TABLE.len()],
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self {
            on: TABLE.map(|info| info.default),
        }
    }
}

impl FeatureGates {
    /// Gates from a configuration map. Gates that it does not name keep their default, or take
    /// the value of their stage's meta-gate when that is given.
    ///
    /// # Errors
    /// The first offending entry in name order: an unknown name, or a locked gate set to another
    /// value than its default.
    pub fn from_map(map: &BTreeMap<String, bool>) -> Result<Self, FeatureGateError> {
        let mut gates = Self::default();
        for (meta, stage) in [(ALL_ALPHA, Stage::Alpha), (ALL_BETA, Stage::Beta)] {
            if let Some(&value) = map.get(meta) {
                for info in TABLE
                    .iter()
                    .filter(|info| info.stage == stage && !info.locked)
                {
                    gates.on[info.feature as usize] = value;
                }
            }
        }
        for (name, &value) in map {
            if name == ALL_ALPHA || name == ALL_BETA {
                continue;
            }
            let info = TABLE
                .iter()
                .find(|info| info.name == name)
                .ok_or_else(|| FeatureGateError::Unknown { name: name.clone() })?;
            if info.locked && value != info.default {
                return Err(FeatureGateError::Locked {
                    name: info.name,
                    default: info.default,
                });
            }
            gates.on[info.feature as usize] = value;
        }
        Ok(gates)
    }

    /// Gates from a list like `RestartJob=true,AllBeta=false`, as command lines write them.
    ///
    /// # Errors
    /// As [`FeatureGates::from_map`], and for entries that are not assignments of a boolean.
    pub fn parse(text: &str) -> Result<Self, FeatureGateError> {
        let mut map = BTreeMap::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (name, value) =
                entry
                    .split_once('=')
                    .ok_or_else(|| FeatureGateError::NotAnAssignment {
                        entry: entry.to_owned(),
                    })?;
            let value = value
                .trim()
                .parse()
                .map_err(|_| FeatureGateError::NotABoolean {
                    name: name.trim().to_owned(),
                    value: value.trim().to_owned(),
                })?;
            map.insert(name.trim().to_owned(), value);
        }
        Self::from_map(&map)
    }

    /// Whether the gate is on.
    pub fn enabled(&self, feature: Feature) -> bool {
        self.on[feature as usize]
    }

    /// These gates with one set to `value`, whatever its lock: for tests and embedders.
    pub fn with(mut self, feature: Feature, value: bool) -> Self {
        self.on[feature as usize] = value;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(entries: &[(&str, bool)]) -> Result<FeatureGates, FeatureGateError> {
        FeatureGates::from_map(&entries.iter().map(|&(k, v)| (k.to_owned(), v)).collect())
    }

    #[test]
    fn table_is_in_the_order_of_the_enumeration() {
        for (index, info) in TABLE.iter().enumerate() {
            assert_eq!(info.feature as usize, index);
            assert_eq!(info.feature.name(), info.name);
        }
    }

    #[test]
    fn defaults() {
        let gates = FeatureGates::default();
        assert!(!gates.enabled(Feature::InPlaceRestart));
        assert!(!gates.enabled(Feature::RestartJob));
        assert!(!gates.enabled(Feature::ElasticJobSet));
        assert!(!gates.enabled(Feature::ExecutionAttemptsTracking));
        assert!(!gates.enabled(Feature::MutablePodResourcesForSuspendedJobSets));
        assert!(!gates.enabled(Feature::JobSetActiveDeadlineSeconds));
        assert!(gates.enabled(Feature::TlsOptions));
        assert_eq!(from(&[]).unwrap(), gates);
    }

    #[test]
    fn one_gate() {
        let gates = from(&[("RestartJob", true)]).unwrap();
        assert_eq!(
            gates,
            FeatureGates::default().with(Feature::RestartJob, true)
        );
    }

    #[test]
    fn all_alpha_yields_to_a_named_gate_and_leaves_other_stages() {
        let gates = from(&[("AllAlpha", true), ("ElasticJobSet", false)]).unwrap();
        assert!(gates.enabled(Feature::InPlaceRestart));
        assert!(gates.enabled(Feature::RestartJob));
        assert!(!gates.enabled(Feature::ElasticJobSet));
        assert!(
            from(&[("AllAlpha", false)])
                .unwrap()
                .enabled(Feature::TlsOptions)
        );
        assert_eq!(from(&[("AllBeta", true)]).unwrap(), FeatureGates::default());
    }

    #[test]
    fn locked_gate_accepts_only_its_default() {
        assert!(from(&[("TLSOptions", true)]).is_ok());
        let error = from(&[("TLSOptions", false)]).unwrap_err();
        assert_eq!(
            error,
            FeatureGateError::Locked {
                name: "TLSOptions",
                default: true
            }
        );
        assert!(error.to_string().contains("TLSOptions"), "{error}");
    }

    #[test]
    fn unknown_gate_is_named_with_the_known_ones() {
        let text = from(&[("restartjob", true)]).unwrap_err().to_string();
        for part in [
            "\"restartjob\"",
            "InPlaceRestart (ALPHA",
            "TLSOptions (GA",
            "AllAlpha",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn list_form() {
        let gates = FeatureGates::parse(" RestartJob=true, ElasticJobSet=false ,").unwrap();
        assert_eq!(
            gates,
            FeatureGates::default().with(Feature::RestartJob, true)
        );
        assert_eq!(FeatureGates::parse("").unwrap(), FeatureGates::default());
        let bad = FeatureGates::parse("RestartJob").unwrap_err();
        assert!(matches!(bad, FeatureGateError::NotAnAssignment { .. }));
        let bad = FeatureGates::parse("RestartJob=yes").unwrap_err();
        assert!(matches!(bad, FeatureGateError::NotABoolean { .. }));
    }
}
