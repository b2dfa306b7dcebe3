//! What the operator says it has done: its metrics.

use std::collections::BTreeMap;

/// Samples by name and labels, as they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts(BTreeMap<String, f64>);

impl Counts {
    /// Reads a page of metrics.
    pub(crate) fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// What has been added since.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let samples = self.0.iter().map(|(series, value)| {
            let before = earlier.0.get(series).copied().unwrap_or_default();
            (series.clone(), value - before)
        });
        Self(samples.filter(|(_, value)| *value != 0.0).collect())
    }

    /// Sum of the series of a family that have this label.
    pub(crate) fn sum(&self, family: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let series = self.family(family);
        series
            .filter(|(labels, _)| labels.split(',').any(|found| found == wanted))
            .map(|(_, value)| value)
            .sum()
    }

    fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(series, value)| {
            let labels = series
                .strip_prefix(name)?
                .strip_prefix('{')?
                .strip_suffix('}')?;
            Some((labels, *value))
        })
    }

    /// Requests by verb and resource.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        self.family("jobset_api_requests_total")
            .filter_map(|(labels, count)| {
                let value = |name: &str| {
                    let mut labels = labels.split(',');
                    let found = labels.find_map(|l| l.strip_prefix(name)?.strip_prefix('='))?;
                    Some(found.trim_matches('"').to_owned())
                };
                let request = format!("{} {}", value("verb")?, value("resource")?);
                Some((request, count as u64))
            })
            .collect()
    }

    /// Answers with this code.
    pub(crate) fn answers(&self, code: &str) -> f64 {
        self.sum("rest_client_requests_total", "code", code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let first = Counts::parse(
            "# TYPE jobset_api_requests_total counter\n\
             jobset_api_requests_total{verb=\"create\",resource=\"jobs\"} 2\n\
             rest_client_requests_total{code=\"409\",method=\"POST\",host=\"a:1\"} 1\n",
        );
        let second = Counts::parse(
            "jobset_api_requests_total{verb=\"create\",resource=\"jobs\"} 12\n\
             jobset_api_requests_total{verb=\"patch\",resource=\"jobsets/status\"} 3\n\
             rest_client_requests_total{code=\"409\",method=\"POST\",host=\"a:1\"} 1\n\
             rest_client_requests_total{code=\"422\",method=\"POST\",host=\"a:1\"} 4\n",
        );
        let difference = second.since(&first);
        let requests = [("create jobs", 10), ("patch jobsets/status", 3)];
        assert_eq!(
            difference.requests(),
            requests.map(|(k, n)| (k.to_owned(), n)).into()
        );
        for (code, count) in [("409", 0.0), ("422", 4.0)] {
            assert!((difference.answers(code) - count).abs() < f64::EPSILON);
        }
    }
}
