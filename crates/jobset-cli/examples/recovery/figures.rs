//! Medians, memory, and the table.

use std::fmt::Display;
use std::time::Duration;

use anyhow::Context as _;

/// `median (lowest to highest)` of times, in seconds.
pub(crate) fn times(values: impl IntoIterator<Item = Duration>) -> String {
    let values = values.into_iter().map(|value| value.as_secs_f64());
    spread(values.collect(), |seconds| format!("{seconds:.3} s"))
}

/// The same of sizes, in mebibytes.
pub(crate) fn sizes(bytes: impl IntoIterator<Item = u64>) -> String {
    let values = bytes
        .into_iter()
        .map(|bytes| bytes as f64 / f64::from(1 << 20));
    spread(values.collect(), |mebibytes| format!("{mebibytes:.0} MiB"))
}

/// The same of numbers.
pub(crate) fn counts(values: impl IntoIterator<Item = u64>) -> String {
    let values = values.into_iter().map(|value| value as f64);
    spread(values.collect(), |value| format!("{value:.0}"))
}

fn spread(mut values: Vec<f64>, show: impl Fn(f64) -> String) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(&lowest), Some(&highest)) = (values.first(), values.last()) else {
        return "not measured".to_owned();
    };
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    };
    let (median, lowest, highest) = (show(median), show(lowest), show(highest));
    if lowest == highest {
        median
    } else {
        format!("{median} ({lowest} to {highest})")
    }
}

/// Prints a row.
pub(crate) fn row(cells: &[&dyn Display]) {
    let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
    println!("| {} |", cells.join(" | "));
}

/// Prints the head of a table.
pub(crate) fn head(titles: &[&str]) {
    println!("| {} |", titles.join(" | "));
    println!("|{}", "---|".repeat(titles.len()));
}

/// Memory of this process in bytes: now, and at most since [`forget_peak`].
pub(crate) fn memory() -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let read = |key: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes = kibibytes.with_context(|| format!("/proc/self/status has no {key}"))?;
        Ok(kibibytes.parse::<u64>()? * 1024)
    };
    Ok((read("VmRSS:")?, read("VmHWM:")?))
}

/// Lets the peak begin at the present use.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak of memory")
}
