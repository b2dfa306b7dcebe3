//! Medians, aims, table and JSON.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Mode, Scenario, process, scenarios::Taken};

/// What a figure should be at most.
struct Aim {
    mode: Mode,
    scenario: Scenario,
    figure: &'static str,
    at_most: f64,
    /// What the reference was measured at, on a machine like this.
    reference: &'static str,
}

const fn aim(
    mode: Mode,
    scenario: Scenario,
    figure: &'static str,
    at_most: f64,
    reference: &'static str,
) -> Aim {
    Aim {
        mode,
        scenario,
        figure,
        at_most,
        reference,
    }
}

use Mode::{Alone, Full};
use Scenario::{Many, Memory, One, Restart, Start, Suspend};

/// The times of restart, suspend and resume are aimed at as shares of the reference's (0.4, 0.2,
/// 0.2).
const AIMS: [Aim; 20] = [
    aim(Alone, Start, "ready_s", 0.03, "0.064 s"),
    aim(Alone, Start, "first_job_s", 0.1, "0.39 s"),
    aim(Alone, One, "created_ratio", 1.05, "1.3"),
    aim(Alone, One, "duplicates", 0.0, "714"),
    aim(Alone, Many, "created_ratio", 1.3, "7.6"),
    aim(Alone, Restart, "recreated_s", 0.4 * 22.0, "22 s"),
    aim(Alone, Suspend, "suspended_s", 0.2 * 9.3, "9.3 s"),
    aim(Alone, Suspend, "resumed_s", 0.2 * 10.1, "10.1 s"),
    aim(Alone, Memory, "idle_mib", 10.0, "47 MiB"),
    aim(
        Alone,
        Memory,
        "unrelated_growth_mib",
        1.0,
        "every Pod is cached",
    ),
    aim(Full, One, "created_ratio", 1.05, "1.5 (4.9 s)"),
    aim(Full, One, "cpu_s", 1.5, "11.5 s"),
    aim(Full, One, "peak_mib", 25.0, "136 MiB"),
    aim(Full, One, "conflicts", 0.0, "16"),
    aim(Full, One, "status_writes_per_s", 2.0, "120 in 20.9 s"),
    aim(Full, Many, "created_ratio", 1.5, "7.5 (48 s)"),
    aim(Full, Many, "cpu_s", 3.0, "16.6 s"),
    aim(Full, Many, "peak_mib", 30.0, "166 MiB"),
    aim(Full, Many, "warm_cpu_s", 0.15, "0.79 s"),
    aim(Full, Many, "warm_peak_mib", 30.0, "160 MiB"),
];

/// Everything that was measured.
pub(crate) struct Report {
    head: Value,
    taken: BTreeMap<(Mode, Scenario), Vec<Taken>>,
}

impl Report {
    pub(crate) fn new(program: &Path, quick: bool) -> anyhow::Result<Self> {
        let head = json!({
            "quick": quick,
            "date": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])?,
            "commit": output("git", &["rev-parse", "--short", "HEAD"])?,
            "kernel": output("uname", &["-sr"])?,
            "processors": std::thread::available_parallelism()?.get(),
            "loadBefore": load()?,
            "binaryBytes": fs::metadata(program)?.len(),
            "strippedBytes": process::stripped_size(program)?,
        });
        Ok(Self {
            head,
            taken: BTreeMap::new(),
        })
    }

    pub(crate) fn add(&mut self, mode: Mode, scenario: Scenario, mut taken: Taken) {
        if let (Some(&writes), Some(&time)) = (
            taken.values.get("status_writes"),
            taken.values.get("ready_s"),
        ) {
            taken.values.insert("status_writes_per_s", writes / time);
        }
        self.taken.entry((mode, scenario)).or_default().push(taken);
    }

    /// Writes target/bench/operator.json and the table beside it.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let scenarios: Vec<Value> = self
            .taken
            .iter()
            .map(|((mode, scenario), runs)| {
                let runs: Vec<Value> = runs
                    .iter()
                    .map(|run| json!({"figures": run.values, "requests": run.requests}))
                    .collect();
                json!({
                    "mode": format!("{mode:?}").to_lowercase(),
                    "scenario": format!("{scenario:?}").to_lowercase(),
                    "runs": runs,
                })
            })
            .collect();
        let mut whole = self.head.clone();
        whole["loadAfter"] = load()?.into();
        whole["scenarios"] = scenarios.into();
        let folder = process::folder()?;
        fs::write(folder.join("operator.json"), format!("{whole:#}\n"))?;
        fs::write(folder.join("operator.md"), self.table())?;
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "the output of a command")]
    pub(crate) fn show(&self) {
        print!("{}", self.table());
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "stripped binary: {} bytes",
            self.head["strippedBytes"]
        );
        text.push_str(
            "\n| control plane | scenario | figure | median | range | aim | reference | met |\n",
        );
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        for ((mode, scenario), runs) in &self.taken {
            let names = runs.first().map(|run| run.values.keys());
            for name in names.into_iter().flatten() {
                let mut values: Vec<f64> = runs
                    .iter()
                    .filter_map(|r| r.values.get(name))
                    .copied()
                    .collect();
                let Some(median) = median(&mut values) else {
                    continue;
                };
                let aim = AIMS.iter().find(|aim| {
                    aim.mode == *mode && aim.scenario == *scenario && aim.figure == *name
                });
                let (at_most, reference, met) = match aim {
                    Some(aim) => (
                        format!("≤ {}", shown(aim.at_most)),
                        aim.reference,
                        if median <= aim.at_most {
                            "yes"
                        } else {
                            "**no**"
                        },
                    ),
                    None => (String::new(), "", ""),
                };
                let range = match values.as_slice() {
                    [first, .., last] => format!("{}–{}", shown(*first), shown(*last)),
                    _ => String::new(),
                };
                let _ = writeln!(
                    text,
                    "| {mode:?} | {scenario:?} | {name} | {} | {range} | {at_most} | {reference} | {met} |",
                    shown(median)
                );
            }
        }
        for ((mode, scenario), runs) in &self.taken {
            let Some(run) = runs.iter().find(|run| !run.requests.is_empty()) else {
                continue;
            };
            let requests = run
                .requests
                .iter()
                .map(|(what, count)| format!("{count} {what}"));
            let requests: Vec<String> = requests.collect();
            let _ = writeln!(
                text,
                "\n{mode:?} {scenario:?}, first run: {}",
                requests.join(", ")
            );
        }
        text
    }
}

/// Sorts them.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values.get(middle).copied()
    } else {
        let pair = values.get(middle.checked_sub(1)?..=middle)?;
        Some(pair.iter().sum::<f64>() / 2.0)
    }
}

/// With three digits that say something.
fn shown(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        ..0.1 => 4,
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

fn load() -> anyhow::Result<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .current_dir(crate::root())
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![3.0, 1.0], Some(2.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
        ] {
            assert_eq!(median(&mut values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.0301, "0.0301"),
            (0.5, "0.5"),
            (1.05, "1.05"),
            (20.94, "20.9"),
            (1000.0, "1000"),
            (-0.25, "-0.25"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn aims_are_judged() {
        let mut report = Report {
            head: json!({}),
            taken: BTreeMap::new(),
        };
        let taken = |seconds| Taken {
            values: BTreeMap::from([("ready_s", seconds)]),
            ..Taken::default()
        };
        for seconds in [0.02, 0.5, 0.04] {
            report.add(Alone, Start, taken(seconds));
        }
        let table = report.table();
        assert!(
            table.contains("| 0.04 | 0.02–0.5 | ≤ 0.03 | 0.064 s | **no** |"),
            "{table}"
        );
    }
}
