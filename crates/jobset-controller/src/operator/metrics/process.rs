//! Figures of the process that every Prometheus client gives.

use super::text::Page;

/// Clock ticks per second in `/proc`: fixed by the kernel's interface on every architecture here.
const TICKS: f64 = 100.0;
/// Size of a page of memory where the kernel counts pages.
const PAGE_SIZE: f64 = 4096.0;

/// Writes what the system tells; nothing where it tells nothing.
pub(super) fn write(page: &mut Page) {
    let Some(figures) = read() else {
        return;
    };
    page.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds",
        [(&[][..], figures.cpu)],
    );
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            Some(figures.resident),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes",
            Some(figures.virtual_),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            figures.start,
        ),
        (
            "process_open_fds",
            "Number of open file descriptors",
            figures.files,
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors",
            figures.most_files,
        ),
    ] {
        page.gauge(name, help, value.map(|value| (&[][..], value)));
    }
}

struct Figures {
    cpu: f64,
    resident: f64,
    virtual_: f64,
    start: Option<f64>,
    files: Option<f64>,
    most_files: Option<f64>,
}

fn read() -> Option<Figures> {
    let file = |name: &str| std::fs::read_to_string(name).ok();
    let stat = file("/proc/self/stat")?;
    // The name in parentheses may hold anything; what follows are numbers.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let boot = file("/proc/stat").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<f64>().ok()
    });
    let most_files = file("/proc/self/limits").and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    Some(Figures {
        cpu: (field(14)? + field(15)?) / TICKS,
        virtual_: field(23)?,
        resident: field(24)? * PAGE_SIZE,
        start: boot
            .zip(field(22))
            .map(|(boot, ticks)| boot + ticks / TICKS),
        files: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| files.count() as f64),
        most_files,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let figures = read().unwrap();
        assert!(figures.resident > 100_000.0);
        assert!(figures.virtual_ >= figures.resident);
        assert!(figures.start.unwrap() > 1e9);
        assert!(figures.files.unwrap() >= 3.0);
        assert!(figures.most_files.unwrap() >= figures.files.unwrap());
    }
}
