//! What the agent is told through its environment. There are no flags.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `JOBSET_NAME` | required | the JobSet that is followed |
//! | `POD_NAME` | required | the Pod whose annotation is written |
//! | `POD_NAMESPACE` | the service account's | namespace of both |
//! | `WORKER_COMMAND` | | main-container mode: what to run when the barrier is lifted |
//! | `SHELL` | `bash` on `PATH` | runs `WORKER_COMMAND` |
//! | `WORKER_GRACE_SECONDS` | 5 | between SIGTERM and SIGKILL when all restart |
//! | `STARTUP_PROBE_PATH` | `/barrier-is-down` | sidecar mode: path that answers 200 when the barrier is down |
//! | `STARTUP_PROBE_PORT` | 8081 | its port |
//! | `STARTUP_PROBE_ADDRESS` | all, or the Pod's own (see [`POD_IP`]) | the address that is listened on |
//! | `IN_PLACE_RESTART_EXIT_CODE` | 1 | exit code that asks for a restart |
//!
//! Empty is the same as not set.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// Where a Pod finds the namespace of its service account.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The one-machine cluster sets it: there all Pods share one network, and each has an address of
/// its own to listen on.
pub const POD_IP: &str = "JOBSET_POD_IP";

/// What the agent has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the JobSet and the Pod.
    pub namespace: String,
    /// Name of the JobSet.
    pub jobset: String,
    /// Name of the Pod.
    pub pod: String,
    /// Exit code that asks for a restart; never 0.
    pub restart_code: u8,
    /// How the work is held back.
    pub mode: Mode,
}

/// How the work is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a probe that fails until the barrier is down.
    Sidecar(Probe),
    /// By not starting it.
    Main(Work),
}

/// Where the probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Begins with `/`.
    pub path: String,
    /// `None` is every address of the Pod.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The shell that runs the command.
    pub shell: PathBuf,
    /// Handed to the shell as it is.
    pub command: OsString,
    /// Between SIGTERM and SIGKILL when all Pods restart.
    pub grace: Duration,
}

/// What is wrong with the environment.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A required variable is not there.
    #[error("environment variable {0} must be set")]
    Missing(&'static str),
    /// A variable has a value that cannot be used.
    #[error("environment variable {name} is {value:?}: it must be {must}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: OsString,
        /// What it has to be.
        must: &'static str,
    },
    /// Two variables exclude each other.
    #[error(
        "environment variables WORKER_COMMAND and {0} exclude each other: the one is for main-container mode, the other for sidecar mode"
    )]
    BothModes(&'static str),
    /// Nothing says which namespace it is.
    #[error(
        "the namespace is not known: POD_NAMESPACE is not set and {NAMESPACE_FILE} cannot be read \
         ({0}); does the Pod mount its service account's token?"
    )]
    NoNamespace(io::Error),
    /// There is nothing to run the worker with.
    #[error("no shell to run WORKER_COMMAND: SHELL is not set and there is no bash on PATH")]
    NoShell,
}

/// What is asked of the machine around the agent.
pub trait Surroundings {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// The namespace of the service account.
    fn namespace(&self) -> io::Result<String>;
    /// The file of a program on `PATH`.
    fn program(&self, name: &str) -> Option<PathBuf>;
}

/// The surroundings of this process.
#[derive(Debug)]
pub struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn namespace(&self) -> io::Result<String> {
        std::fs::read_to_string(NAMESPACE_FILE)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.variable("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|file| is_executable(file))
    }
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl Settings {
    /// Reads them.
    pub fn read(surroundings: &impl Surroundings) -> Result<Self, SettingsError> {
        let variables = Variables(surroundings);
        let namespace = match variables.text("POD_NAMESPACE")? {
            Some(namespace) => namespace,
            None => surroundings
                .namespace()
                .map(|text| text.trim().to_owned())
                .and_then(|text| match text.as_str() {
                    "" => Err(io::Error::other("it is empty")),
                    _ => Ok(text),
                })
                .map_err(SettingsError::NoNamespace)?,
        };
        let jobset = variables.required("JOBSET_NAME")?;
        let pod = variables.required("POD_NAME")?;
        let mode = match variables.get("WORKER_COMMAND") {
            Some(command) => {
                for probe in PROBE {
                    if variables.get(probe).is_some() {
                        return Err(SettingsError::BothModes(probe));
                    }
                }
                Mode::Main(variables.work(command)?)
            }
            None => Mode::Sidecar(variables.probe()?),
        };
        let code = variables.number(
            "IN_PLACE_RESTART_EXIT_CODE",
            "a number from 1 to 255: 0 would mean that the work is done",
        )?;
        Ok(Self {
            namespace,
            jobset,
            pod,
            restart_code: code.map_or(1, std::num::NonZeroU8::get),
            mode,
        })
    }
}

/// The variables that only sidecar mode knows.
const PROBE: [&str; 3] = [
    "STARTUP_PROBE_PATH",
    "STARTUP_PROBE_PORT",
    "STARTUP_PROBE_ADDRESS",
];

struct Variables<'a, S>(&'a S);

impl<S: Surroundings> Variables<'_, S> {
    fn get(&self, name: &str) -> Option<OsString> {
        self.0.variable(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        let text = self.get(name).map(OsString::into_string).transpose();
        text.map_err(|value| invalid(name, &value, "valid UTF-8"))
    }

    fn required(&self, name: &'static str) -> Result<String, SettingsError> {
        self.text(name)?.ok_or(SettingsError::Missing(name))
    }

    fn number<T: std::str::FromStr>(
        &self,
        name: &'static str,
        must: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let parse = |text: String| text.parse().map_err(|_| invalid(name, text.as_ref(), must));
        self.text(name)?.map(parse).transpose()
    }

    fn work(&self, command: OsString) -> Result<Work, SettingsError> {
        let shell = match self.get("SHELL") {
            Some(shell) => shell.into(),
            None => self.0.program("bash").ok_or(SettingsError::NoShell)?,
        };
        let grace = self.number("WORKER_GRACE_SECONDS", "a whole number of seconds")?;
        Ok(Work {
            shell,
            command,
            grace: Duration::from_secs(grace.unwrap_or(5)),
        })
    }

    fn probe(&self) -> Result<Probe, SettingsError> {
        let [path_name, port_name, address_name] = PROBE;
        let path = self.text(path_name)?;
        let path = path.unwrap_or_else(|| "/barrier-is-down".to_owned());
        if !path.starts_with('/') {
            return Err(invalid(
                path_name,
                path.as_ref(),
                "a path that begins with /",
            ));
        }
        let must = "a port from 1 to 65535";
        let port = self.number::<std::num::NonZeroU16>(port_name, must)?;
        let mut address = self.number(address_name, "an IP address")?;
        if address.is_none() {
            address = self.number(POD_IP, "an IP address")?;
        }
        Ok(Probe {
            path,
            address,
            port: port.map_or(8081, std::num::NonZeroU16::get),
        })
    }
}

fn invalid(name: &'static str, value: &OsStr, must: &'static str) -> SettingsError {
    SettingsError::Invalid {
        name,
        value: value.to_owned(),
        must,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A Pod with these variables, `default` as namespace and a bash.
    struct Pod(HashMap<&'static str, &'static str>);

    impl Surroundings for Pod {
        fn variable(&self, name: &str) -> Option<OsString> {
            self.0.get(name).map(OsString::from)
        }

        fn namespace(&self) -> io::Result<String> {
            let text = self.0.get("file").copied().unwrap_or("default\n");
            match text {
                "none" => Err(io::ErrorKind::NotFound.into()),
                text => Ok(text.to_owned()),
            }
        }

        fn program(&self, name: &str) -> Option<PathBuf> {
            let found = !self.0.contains_key("no-bash");
            found.then(|| Path::new("/bin").join(name))
        }
    }

    fn read(more: &[(&'static str, &'static str)]) -> Result<Settings, String> {
        let own = [("JOBSET_NAME", "js"), ("POD_NAME", "js-w-0-0-abcde")];
        let all = own.iter().chain(more).copied().collect();
        Settings::read(&Pod(all)).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_sidecar_mode() {
        let settings = read(&[]).unwrap();
        assert_eq!(
            settings,
            Settings {
                namespace: "default".to_owned(),
                jobset: "js".to_owned(),
                pod: "js-w-0-0-abcde".to_owned(),
                restart_code: 1,
                mode: Mode::Sidecar(Probe {
                    path: "/barrier-is-down".to_owned(),
                    address: None,
                    port: 8081,
                }),
            }
        );
        let empty = read(&[("WORKER_COMMAND", ""), ("STARTUP_PROBE_PORT", "")]);
        assert_eq!(empty, Ok(settings), "empty is not set");
    }

    #[test]
    fn everything_can_be_chosen() {
        let settings = read(&[
            ("POD_NAMESPACE", "own"),
            ("STARTUP_PROBE_PATH", "/up"),
            ("STARTUP_PROBE_PORT", "9000"),
            ("JOBSET_POD_IP", "127.9.0.1"),
            ("IN_PLACE_RESTART_EXIT_CODE", "123"),
        ])
        .unwrap();
        assert_eq!(
            (settings.namespace.as_str(), settings.restart_code),
            ("own", 123)
        );
        let probe = |address: &str| {
            Mode::Sidecar(Probe {
                path: "/up".to_owned(),
                address: Some(address.parse().unwrap()),
                port: 9000,
            })
        };
        assert_eq!(settings.mode, probe("127.9.0.1"));
        let settings = read(&[
            ("STARTUP_PROBE_PATH", "/up"),
            ("STARTUP_PROBE_PORT", "9000"),
            ("STARTUP_PROBE_ADDRESS", "::1"),
            ("JOBSET_POD_IP", "127.9.0.1"),
        ]);
        assert_eq!(settings.unwrap().mode, probe("::1"));
    }

    #[test]
    fn a_command_means_main_container_mode() {
        let work = |more: &[(&'static str, &'static str)]| {
            let command = [("WORKER_COMMAND", "exec train --all")];
            match read(&[&command, more].concat()).unwrap().mode {
                Mode::Main(work) => (work.shell, work.grace.as_secs(), work.command),
                Mode::Sidecar(_) => panic!("main-container mode"),
            }
        };
        let command = OsString::from("exec train --all");
        assert_eq!(work(&[]), ("/bin/bash".into(), 5, command.clone()));
        let chosen = work(&[
            ("SHELL", "/bin/sh"),
            ("WORKER_GRACE_SECONDS", "0"),
            ("no-bash", ""),
        ]);
        assert_eq!(chosen, ("/bin/sh".into(), 0, command));
        // One machine says where to listen, whatever the mode.
        work(&[("JOBSET_POD_IP", "127.9.0.1")]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let main = ("WORKER_COMMAND", "true");
        for (variables, parts) in [
            (
                &[("JOBSET_NAME", "")][..],
                &["JOBSET_NAME", "must be set"][..],
            ),
            (&[("POD_NAME", "")], &["POD_NAME", "must be set"]),
            (
                &[("file", "none")],
                &["POD_NAMESPACE", "serviceaccount/namespace", "token"],
            ),
            (&[("file", " \n")], &["POD_NAMESPACE", "empty"]),
            (
                &[main, ("STARTUP_PROBE_PATH", "/x")],
                &["WORKER_COMMAND", "STARTUP_PROBE_PATH"],
            ),
            (
                &[main, ("STARTUP_PROBE_PORT", "80")],
                &["WORKER_COMMAND", "STARTUP_PROBE_PORT"],
            ),
            (&[main, ("no-bash", "")], &["shell", "SHELL", "bash"]),
            (
                &[main, ("WORKER_GRACE_SECONDS", "-1")],
                &["WORKER_GRACE_SECONDS", "seconds"],
            ),
            (
                &[("STARTUP_PROBE_PATH", "x")],
                &["STARTUP_PROBE_PATH", "begins with /"],
            ),
            (
                &[("STARTUP_PROBE_PORT", "http")],
                &["STARTUP_PROBE_PORT", "\"http\"", "65535"],
            ),
            (&[("STARTUP_PROBE_PORT", "0")], &["STARTUP_PROBE_PORT"]),
            (
                &[("STARTUP_PROBE_ADDRESS", "localhost")],
                &["STARTUP_PROBE_ADDRESS", "IP address"],
            ),
            (
                &[("IN_PLACE_RESTART_EXIT_CODE", "one")],
                &["IN_PLACE_RESTART_EXIT_CODE", "\"one\""],
            ),
            (
                &[("IN_PLACE_RESTART_EXIT_CODE", "0")],
                &["IN_PLACE_RESTART_EXIT_CODE", "1 to 255"],
            ),
            (
                &[("IN_PLACE_RESTART_EXIT_CODE", "256")],
                &["IN_PLACE_RESTART_EXIT_CODE"],
            ),
        ] {
            let error = read(variables).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
