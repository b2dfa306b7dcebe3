//! The log, in the two forms that log collectors of Go operators know: tab-separated text and JSON
//! with the keys `level`, `ts`, `logger` and `msg`.

use std::fmt::{self, Write as _};

use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use super::flags::{Encoder, Flags, LogLevel, TimeEncoding};

/// Crates of this project; the others are less talkative at the same verbosity.
const OWN: [&str; 3] = ["jobset_controller", "jobset_core", "jobset_api"];

/// Starts the log as the flags say.
pub(crate) fn start(flags: &Flags) {
    let default = if flags.zap_devel {
        (Encoder::Console, LogLevel::Verbosity(1))
    } else {
        (Encoder::Json, LogLevel::Verbosity(0))
    };
    let format = Format {
        encoder: flags.zap_encoder.unwrap_or(default.0),
        time: flags.zap_time_encoding,
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter(flags.zap_log_level.unwrap_or(default.1)))
        .with(
            tracing_subscriber::fmt::layer()
                .event_format(format)
                .with_ansi(false)
                .with_writer(std::io::stderr),
        );
    // Fails only if a log was started before; that one serves as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Verbosity to levels: 0 is info, up to 2 is debug, above is trace. Libraries say as much two
/// steps later.
fn filter(level: LogLevel) -> Targets {
    let (own, others) = match level {
        LogLevel::Panic => (LevelFilter::OFF, LevelFilter::OFF),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Verbosity(0) => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Verbosity(1 | 2) => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Verbosity(3 | 4) => (LevelFilter::TRACE, LevelFilter::INFO),
        LogLevel::Verbosity(5..=7) => (LevelFilter::TRACE, LevelFilter::DEBUG),
        LogLevel::Verbosity(_) => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new()
        .with_default(others)
        .with_targets(OWN.map(|target| (target, own)))
}

/// Writes one line per event.
struct Format {
    encoder: Encoder,
    time: TimeEncoding,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = self.line(
            *metadata.level(),
            &logger(metadata.target()),
            Timestamp::now(),
            fields,
        );
        writer.write_str(&line)
    }
}

impl Format {
    fn line(&self, level: Level, logger: &str, now: Timestamp, fields: Fields) -> String {
        let time = time(now, self.time);
        let name = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let mut line = String::with_capacity(160);
        match self.encoder {
            Encoder::Json => {
                line.push('{');
                for (key, value) in [
                    ("level", Value::from(name)),
                    ("ts", time),
                    ("logger", logger.into()),
                    ("msg", fields.message.into()),
                ]
                .into_iter()
                .chain(
                    fields
                        .rest
                        .iter()
                        .map(|(key, value)| (&**key, value.clone())),
                ) {
                    if line.len() > 1 {
                        line.push(',');
                    }
                    // Writing to a String cannot fail.
                    let _ = write!(line, "{}:{value}", Value::from(key));
                }
                line.push('}');
            }
            Encoder::Console => {
                let time = time
                    .as_str()
                    .map_or_else(|| time.to_string(), str::to_owned);
                let level = name.to_uppercase();
                // One event is one line, whatever the message holds.
                let message = fields.message.replace('\n', "\\n");
                let _ = write!(line, "{time}\t{level}\t{logger}\t{message}");
                if !fields.rest.is_empty() {
                    let _ = write!(line, "\t{}", Value::Object(fields.rest));
                }
            }
        }
        line.push('\n');
        line
    }
}

/// `jobset_controller::operator::lease` is `lease`.
fn logger(target: &str) -> String {
    let short = OWN
        .iter()
        .find_map(|own| target.strip_prefix(own))
        .map(|rest| rest.trim_start_matches("::"))
        .map(|rest| rest.strip_prefix("operator::").unwrap_or(rest));
    match short {
        Some("") => "jobset".to_owned(),
        Some(rest) => rest.replace("::", "."),
        None => target.replace("::", "."),
    }
}

fn time(now: Timestamp, encoding: TimeEncoding) -> Value {
    let utc = || now.to_zoned(TimeZone::UTC);
    match encoding {
        TimeEncoding::Epoch => (now.as_nanosecond() as f64 / 1e9).into(),
        TimeEncoding::Millis => (now.as_nanosecond() as f64 / 1e6).into(),
        TimeEncoding::Nanos => (now.as_nanosecond() as i64).into(),
        TimeEncoding::Iso8601 => utc().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into(),
        TimeEncoding::Rfc3339 => utc().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
        TimeEncoding::Rfc3339nano => utc().strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string().into(),
    }
}

/// The message and the other fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.rest.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(encoder: Encoder, encoding: TimeEncoding) -> String {
        let now: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        let fields = Fields {
            message: "became \"leader\"\nnow".to_owned(),
            rest: Map::from_iter([("lease".to_owned(), json!("a")), ("n".to_owned(), json!(3))]),
        };
        let format = Format {
            encoder,
            time: encoding,
        };
        format.line(Level::INFO, "lease", now, fields)
    }

    #[test]
    fn console() {
        assert_eq!(
            line(Encoder::Console, TimeEncoding::Rfc3339),
            "2026-01-02T03:04:05Z\tINFO\tlease\tbecame \"leader\"\\nnow\t{\"lease\":\"a\",\"n\":3}\n"
        );
    }

    #[test]
    fn json_keeps_the_order_of_the_common_keys() {
        let line = line(Encoder::Json, TimeEncoding::Rfc3339);
        assert!(
            line.starts_with(
                r#"{"level":"info","ts":"2026-01-02T03:04:05Z","logger":"lease","msg":"#
            ),
            "{line}"
        );
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "became \"leader\"\nnow");
        assert_eq!(value["n"], 3);
    }

    #[test]
    fn times() {
        let now: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        let table = [
            (TimeEncoding::Epoch, json!(1_767_323_045.678_901_2)),
            (TimeEncoding::Millis, json!(1_767_323_045_678.901_4)),
            (TimeEncoding::Nanos, json!(1_767_323_045_678_901_234_i64)),
            (TimeEncoding::Iso8601, json!("2026-01-02T03:04:05.678Z")),
            (TimeEncoding::Rfc3339, json!("2026-01-02T03:04:05Z")),
            (
                TimeEncoding::Rfc3339nano,
                json!("2026-01-02T03:04:05.678901234Z"),
            ),
        ];
        for (encoding, expected) in table {
            let found = time(now, encoding);
            match (found.as_f64(), expected.as_f64()) {
                (Some(found), Some(expected)) => {
                    assert!((found / expected - 1.0).abs() < 1e-12, "{encoding:?}");
                }
                _ => assert_eq!(found, expected, "{encoding:?}"),
            }
        }
    }

    #[test]
    fn loggers() {
        for (target, expected) in [
            ("jobset_controller::operator::lease", "lease"),
            ("jobset_controller::controller", "controller"),
            ("jobset_controller", "jobset"),
            ("kube_runtime::watcher", "kube_runtime.watcher"),
        ] {
            assert_eq!(logger(target), expected);
        }
    }

    #[test]
    fn verbosity() {
        let would = |level, target: &str, at| filter(level).would_enable(target, &at);
        let own = "jobset_controller::queue";
        assert!(would(LogLevel::Verbosity(0), own, Level::INFO));
        assert!(!would(LogLevel::Verbosity(0), own, Level::DEBUG));
        assert!(would(LogLevel::Verbosity(2), own, Level::DEBUG));
        assert!(!would(LogLevel::Verbosity(2), "kube_client", Level::DEBUG));
        assert!(would(LogLevel::Verbosity(5), "kube_client", Level::DEBUG));
        assert!(!would(LogLevel::Error, own, Level::WARN));
        assert!(would(LogLevel::Error, own, Level::ERROR));
        assert!(!would(LogLevel::Panic, own, Level::ERROR));
    }
}
