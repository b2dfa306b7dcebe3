//! The command line.
//!
//! Flags are written the way Go programs take them: one dash or two, `--flag=value` or
//! `--flag value`, booleans also bare. [`normalise`] brings that into the one form clap reads.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

use super::version;

/// The JobSet operator: runs the JobSets of a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "jobset-controller",
    version = version::long(),
    disable_help_subcommand = true,
    args_override_self = true,
    after_help = "\
What is given here wins over the configuration file; what neither gives has a default.

Examples:
  jobset-controller --config=/controller_manager_config.yaml --zap-log-level=2
  jobset-controller --kubeconfig=$HOME/.kube/config --leader-elect=false
  jobset-controller --zap-devel=false --metrics-bind-address=0"
)]
pub(crate) struct Flags {
    /// Configuration file, YAML or JSON. Without it every setting has its default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where metrics are served, over HTTPS; 0 turns them off. [default: :8443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_bind_address: Option<String>,

    /// Where the health probes are served; 0 or nothing turns them off. [default: :8081]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_probe_bind_address: Option<String>,

    /// Whether only the replica that holds the lease works. [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = boolean)]
    pub(crate) leader_elect: Option<bool>,

    /// Most API requests per second over a longer time; below 0 for no limit. [default: no limit]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) kube_api_qps: Option<f32>,

    /// Most API requests at once; with a limit on the requests per second only. [default: 500]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) kube_api_burst: Option<i32>,

    /// How to reach the cluster. Without it: KUBECONFIG, the Pod's own account, ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Defaults for people (console, level debug) or, if false, for machines (JSON, level info).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true", value_parser = boolean)]
    pub(crate) zap_devel: bool,

    /// Form of the log. [default: console, or json with --zap-devel=false]
    #[arg(long, value_name = "FORM")]
    pub(crate) zap_encoder: Option<Encoder>,

    /// What is logged: debug, info, error, panic, or a verbosity above 0. [default: debug, or info
    /// with --zap-devel=false]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub(crate) zap_log_level: Option<LogLevel>,

    /// Accepted and without effect: this program logs no stack traces but those of its own defects.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) zap_stacktrace_level: Option<StacktraceLevel>,

    /// Form of times in the log.
    #[arg(long, value_name = "FORM", default_value = "rfc3339")]
    pub(crate) zap_time_encoding: TimeEncoding,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Encoder {
    /// One JSON object.
    Json,
    /// Text with tabs.
    Console,
}

/// Least severity of the lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// Nothing: this program does not log panics at a level of their own.
    Panic,
    /// Errors alone.
    Error,
    /// Everything up to this verbosity; 0 is info, 1 is debug.
    Verbosity(u32),
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Verbosity(1),
            "info" => Self::Verbosity(0),
            "error" => Self::Error,
            "panic" => Self::Panic,
            number => match number.parse() {
                Ok(verbosity) if verbosity > 0 => Self::Verbosity(verbosity),
                _ => return Err("debug, info, error, panic or a number above 0".to_owned()),
            },
        })
    }
}

/// Levels that the flag for stack traces takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StacktraceLevel {
    Info,
    Error,
    Panic,
}

/// Form of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimeEncoding {
    /// Seconds since 1970 with a fraction.
    Epoch,
    /// Milliseconds since 1970 with a fraction.
    Millis,
    /// Nanoseconds since 1970.
    Nanos,
    /// `2006-01-02T15:04:05.000Z0700`.
    Iso8601,
    /// `2006-01-02T15:04:05Z`.
    Rfc3339,
    /// The same with nanoseconds.
    Rfc3339nano,
}

/// What Go takes as a boolean.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// Flags whose value is never the next argument.
const BOOLEANS: [&str; 5] = ["leader-elect", "zap-devel", "help", "h", "version"];

/// Arguments (without the program's name) in the form `--flag=value`, and what follows the flags:
/// the first argument that is no flag ends them, as in every Go program.
pub(crate) fn normalise(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Vec<OsString>) {
    let mut arguments = arguments.into_iter();
    let mut flags = Vec::new();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else {
            flags.push(argument);
            continue;
        };
        if text == "--" {
            break;
        }
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        let Some(name) = name.filter(|name| !name.is_empty() && !name.starts_with(['-', '=']))
        else {
            return (flags, std::iter::once(argument).chain(arguments).collect());
        };
        let name = if name == "h" { "help" } else { name };
        let mut flag = OsString::from(format!("--{name}"));
        if !name.contains('=')
            && !BOOLEANS.contains(&name)
            && let Some(value) = arguments.next()
        {
            flag.push("=");
            flag.push(value);
        }
        flags.push(flag);
    }
    (flags, arguments.collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        let (flags, _) = normalise(arguments.iter().map(OsString::from));
        Flags::try_parse_from(std::iter::once(OsString::from("test")).chain(flags))
    }

    #[test]
    fn the_command_is_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn booleans() {
        let table = [
            (&[][..], None),
            (&["--leader-elect"][..], Some(true)),
            (&["-leader-elect"][..], Some(true)),
            (&["--leader-elect=false"][..], Some(false)),
            (&["-leader-elect=F"][..], Some(false)),
            (&["--leader-elect=1"][..], Some(true)),
            (&["--leader-elect", "--leader-elect=0"][..], Some(false)),
        ];
        for (arguments, expected) in table {
            let flags = parse(arguments).unwrap();
            assert_eq!(flags.leader_elect, expected, "{arguments:?}");
        }
        assert!(parse(&["--leader-elect=maybe"]).is_err());
    }

    #[test]
    fn values_with_one_dash_two_dashes_or_as_the_next_argument() {
        for arguments in [
            &["--kube-api-qps=-1", "--config=/a", "--zap-log-level=2"][..],
            &[
                "-kube-api-qps",
                "-1",
                "-config",
                "/a",
                "-zap-log-level",
                "2",
            ][..],
            &[
                "--kube-api-qps",
                "-1",
                "--config=/b",
                "--config",
                "/a",
                "-zap-log-level=2",
            ][..],
        ] {
            let flags = parse(arguments).unwrap();
            assert_eq!(flags.kube_api_qps, Some(-1.0));
            assert_eq!(flags.config, Some(PathBuf::from("/a")));
            assert_eq!(flags.zap_log_level, Some(LogLevel::Verbosity(2)));
        }
    }

    #[test]
    fn an_argument_that_is_no_flag_ends_them() {
        let (flags, rest) =
            normalise(["-a=1", "--leader-elect", "false", "-b"].map(OsString::from));
        assert_eq!(flags, ["--a=1", "--leader-elect"]);
        assert_eq!(rest, ["false", "-b"]);
        let (flags, rest) = normalise(["--", "-b"].map(OsString::from));
        assert!(flags.is_empty());
        assert_eq!(rest, ["-b"]);
    }

    #[test]
    fn levels() {
        let table = [
            ("debug", Some(LogLevel::Verbosity(1))),
            ("INFO", Some(LogLevel::Verbosity(0))),
            ("error", Some(LogLevel::Error)),
            ("panic", Some(LogLevel::Panic)),
            ("5", Some(LogLevel::Verbosity(5))),
            ("0", None),
            ("-1", None),
            ("warn", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn unknown_flags_and_values_are_usage_errors() {
        for arguments in [
            &["--feature-gates=RestartJob=true"][..],
            &["-nonsense"],
            &["--zap-encoder=xml"],
            &["--zap-log-level=0"],
            &["--kube-api-burst=many"],
            &["--config"],
        ] {
            assert_eq!(
                parse(arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
        for arguments in [&["-h"][..], &["-help"], &["--version"]] {
            assert_eq!(
                parse(arguments).unwrap_err().exit_code(),
                0,
                "{arguments:?}"
            );
        }
    }
}
