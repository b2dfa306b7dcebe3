//! The text format in which metrics are read, version 0.0.4, which every collector understands.

use std::fmt::Write as _;

use jobset_controller::figures::Distribution;

/// `Content-Type` of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page of metrics, written family by family.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            for (position, (label, value)) in labels.iter().enumerate() {
                self.0.push(if position == 0 { '{' } else { ',' });
                let _ = write!(self.0, "{label}=\"");
                for c in value.chars() {
                    match c {
                        '\\' => self.0.push_str("\\\\"),
                        '"' => self.0.push_str("\\\""),
                        '\n' => self.0.push_str("\\n"),
                        c => self.0.push(c),
                    }
                }
                self.0.push('"');
            }
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {}", number(value));
    }

    /// A family of numbers that only grow.
    pub(crate) fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, "counter", help, samples);
    }

    /// A family of numbers that go up and down.
    pub(crate) fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, "gauge", help, samples);
    }

    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            self.head(name, kind, help);
        }
        for (labels, value) in samples {
            self.sample(name, labels, value);
        }
    }

    /// A family of distributions.
    pub(crate) fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, Distribution)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            self.head(name, "histogram", help);
        }
        for (labels, distribution) in samples {
            let bucket = format!("{name}_bucket");
            let count = distribution.count as f64;
            let bounds = distribution.below.iter();
            let bounds = bounds.map(|(bound, below)| (number(*bound), *below as f64));
            for (bound, below) in bounds.chain([("+Inf".to_owned(), count)]) {
                let mut labels = labels.to_vec();
                labels.push(("le", &bound));
                self.sample(&bucket, &labels, below);
            }
            self.sample(&format!("{name}_sum"), labels, distribution.sum);
            self.sample(&format!("{name}_count"), labels, count);
        }
    }
}

/// A number as Go writes it: `0.005`, `1e-08`, `42`.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        if let Some((digits, exponent)) = text.split_once('e') {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            return format!("{digits}e{sign}{exponent:0>2}");
        }
        return text;
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.005, "0.005"),
            (1e-8, "1e-08"),
            (1000.0, "1000"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1_700_000_000.25, "1700000000.25"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_page() {
        let mut page = Page::default();
        page.counter(
            "jobset_failed_total",
            "The total number of failed JobSets",
            [
                (&[("jobset_name", "a"), ("namespace", "n")][..], 2.0),
                (&[("jobset_name", "\"\\\n"), ("namespace", "n")][..], 1.0),
            ],
        );
        page.gauge("none", "Not there without a sample", []);
        page.histogram(
            "time_seconds",
            "Time",
            [(
                &[("x", "y")][..],
                Distribution {
                    below: vec![(1e-8, 1), (0.5, 2)],
                    count: 3,
                    sum: 7.5,
                },
            )],
        );
        assert_eq!(
            page.finish(),
            r#"# HELP jobset_failed_total The total number of failed JobSets
# TYPE jobset_failed_total counter
jobset_failed_total{jobset_name="a",namespace="n"} 2
jobset_failed_total{jobset_name="\"\\\n",namespace="n"} 1
# HELP time_seconds Time
# TYPE time_seconds histogram
time_seconds_bucket{x="y",le="1e-08"} 1
time_seconds_bucket{x="y",le="0.5"} 2
time_seconds_bucket{x="y",le="+Inf"} 3
time_seconds_sum{x="y"} 7.5
time_seconds_count{x="y"} 3
"#
        );
    }
}
