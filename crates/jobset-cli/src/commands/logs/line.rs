//! A line of a log, read and printed.

use jobset_api::JobSet;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::source::Source;
use crate::args::{LogsArgs, OutputKind};
use crate::{output, style, view};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) time: Option<Timestamp>,
    pub(crate) text: String,
}

impl Line {
    /// Takes the time off that the API has put in front.
    pub(super) fn parse(raw: &str) -> Self {
        let (head, rest) = raw.split_once(' ').unwrap_or((raw, ""));
        match head.parse() {
            Ok(time) => Self {
                time: Some(time),
                text: rest.to_owned(),
            },
            // What the API says by itself, such as that a log is gone, has none.
            Err(_) => Self {
                time: None,
                text: raw.to_owned(),
            },
        }
    }
}

/// A line as a JSON document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    time: Option<String>,
    role: &'a str,
    job: &'a str,
    job_index: &'a str,
    pod_index: &'a str,
    attempt: i32,
    pod: &'a str,
    container: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    previous_run: bool,
    line: &'a str,
}

impl<'a> Document<'a> {
    pub(crate) fn of(source: &'a Source, line: &'a Line) -> Self {
        let place = &source.place;
        Self {
            time: line.time.map(|time| time.to_string()),
            role: &place.role,
            job: &place.job,
            job_index: &place.job_index,
            pod_index: &place.pod_index,
            attempt: place.attempt,
            pod: &source.pod,
            container: &source.container,
            previous_run: source.previous,
            line: &line.text,
        }
    }
}

/// Prints the lines that are wanted.
pub(super) struct Printer {
    grep: Option<regex::Regex>,
    timestamps: bool,
    json: bool,
    colored: bool,
    width: usize,
    /// In the order of the spec: the place decides the colour, so that it is the same in every run.
    roles: Vec<String>,
}

impl Printer {
    pub(super) fn new(args: &LogsArgs, jobset: &JobSet) -> Self {
        let roles = jobset.spec.replicated_jobs.iter();
        Self {
            grep: args.grep.clone(),
            timestamps: args.timestamps,
            json: args.output == OutputKind::Json,
            colored: style::enabled_on_stdout(),
            width: view::label_width(jobset, args.pods.role.as_deref()),
            roles: roles.map(|role| role.name.clone()).collect(),
        }
    }

    /// Prints a line; `false` if nobody reads any more.
    pub(super) fn print(&self, source: &Source, line: &Line) -> anyhow::Result<bool> {
        if self
            .grep
            .as_ref()
            .is_some_and(|grep| !grep.is_match(&line.text))
        {
            return Ok(true);
        }
        if self.json {
            return output::json_line(&Document::of(source, line));
        }
        Ok(output::text(&self.render(source, line))?)
    }

    fn render(&self, source: &Source, line: &Line) -> String {
        let mut label = source.place.short_name();
        if source.several {
            label = format!("{label}/{}", source.container);
        }
        let width = self.width;
        let role = self
            .roles
            .iter()
            .position(|role| *role == source.place.role);
        let head = style::paint_nth(
            &format!("{label:width$} │"),
            role.unwrap_or_default(),
            self.colored,
        );
        let time = match line.time.filter(|_| self.timestamps) {
            Some(time) => format!("{} ", time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => String::new(),
        };
        format!("{head} {time}{}\n", line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_taken_off() {
        let line = Line::parse("2026-01-01T00:00:00.5Z a  b ");
        assert_eq!(line.time.unwrap().to_string(), "2026-01-01T00:00:00.5Z");
        assert_eq!(line.text, "a  b ");
        let empty = Line::parse("2026-01-01T00:00:00Z");
        assert!(empty.time.is_some() && empty.text.is_empty());
        let odd = Line::parse("unable to retrieve container logs");
        assert_eq!(
            (odd.time, odd.text.as_str()),
            (None, "unable to retrieve container logs")
        );
    }
}
