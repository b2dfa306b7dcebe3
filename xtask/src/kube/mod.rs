//! `cargo xtask kube`: a real Kubernetes control plane on this machine, without nodes.
//!
//! | file | subject |
//! |---|---|
//! | `parts` | the programs, their ports and flags |
//! | `pki` | certificates and keys |
//! | `files` | where everything is |
//! | `process` | starting, finding and ending processes |
//! | `probe` | asking whether a server is well |

mod files;
mod parts;
mod pki;
mod probe;
mod process;

use std::{
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::go::{self, Program};
use files::Files;
pub(crate) use parts::{Choice, free_ports};
use parts::{NAMES, Part};
use probe::Prober;

/// All programs of a control plane in one file, built where there are none.
pub(crate) const CONTROL_PLANE: Program = Program {
    name: "control-plane",
    module: "tests/kube/control-plane",
    library: "k8s.io/kubernetes",
    package: ".",
    stamp: go::kubernetes_stamp,
    takes: "about a quarter of an hour",
};

/// How long a part may take until it is of use. Machines that test are busy.
const PATIENCE: Duration = Duration::from_mins(3);
/// What shows that the controller manager works.
const FIRST_OBJECT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start it, unless it runs as wished; returns when it is of use.
    Up {
        #[command(flatten)]
        choice: Choice,
    },
    /// Stop it and remove its data. Logs stay in target/kube/logs.
    Down,
    /// Print shell commands that make kubectl talk to it.
    Env,
    /// Say what runs; exit code 1 unless all of it does.
    Status,
    /// Print the path of the program with etcd, kube-apiserver, kube-controller-manager and
    /// kube-scheduler in it; builds it first if need be.
    Build,
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Up { choice } => up_with(*choice).map(drop),
        Command::Down => down(&Files::open()?),
        Command::Env => environment(),
        Command::Status => status(),
        Command::Build => {
            println!("{}", CONTROL_PLANE.built()?.display());
            Ok(())
        }
    }
}

/// Whether all of it runs.
pub(crate) fn is_running() -> anyhow::Result<bool> {
    let files = Files::open()?;
    Ok(NAMES
        .iter()
        .all(|name| process::running(&files, name).is_some()))
}

/// Stops it.
pub(crate) fn stop() -> anyhow::Result<()> {
    stop_all(&Files::open()?).map(drop)
}

/// Starts the whole control plane, unless it runs. Returns the administrator's kubeconfig.
pub(crate) fn up() -> anyhow::Result<PathBuf> {
    up_with(Choice::default())
}

/// Starts the control plane, unless it runs as chosen. Returns the administrator's kubeconfig.
#[expect(clippy::print_stderr, reason = "progress of a command")]
pub(crate) fn up_with(choice: Choice) -> anyhow::Result<PathBuf> {
    let files = Files::open()?;
    let running = NAMES.map(|name| process::running(&files, name).is_some());
    let whole = running.iter().all(|runs| *runs);
    if whole && running_choice(&files) == choice {
        eprintln!("the control plane runs already");
        return Ok(files.kubeconfig());
    }
    let commands = parts::find()?;
    if whole {
        eprintln!("the control plane runs with other controllers: starting again");
    } else if running.iter().any(|runs| *runs) {
        eprintln!("only a part of the control plane runs: starting again");
    }
    stop_all(&files)?;
    let started = Instant::now();
    start_all(&files, commands, choice).inspect_err(|_| {
        // The error that matters is the first one.
        let _ = stop_all(&files);
    })?;
    eprintln!("the control plane is up after {:.1?}", started.elapsed());
    Ok(files.kubeconfig())
}

#[expect(clippy::print_stderr, reason = "progress of a command")]
fn start_all(
    files: &Files,
    commands: [Vec<std::ffi::OsString>; 4],
    choice: Choice,
) -> anyhow::Result<()> {
    files.clear()?;
    pki::write(&files.pki())?;
    let data = files.make_data()?;
    let parts = parts::plan(files, &data, commands, choice)?;
    let [_, api, ..] = &parts;
    for identity in ["admin", "kube-controller-manager", "kube-scheduler"] {
        files.write_kubeconfig(identity, &parts::local(api.port))?;
    }
    let prober = Prober::new(files)?;
    for part in &parts {
        let begin = Instant::now();
        let mut child = process::start(files, part.name, &part.program, &part.arguments)?;
        wait(files, &prober, part, &mut child, part.port, part.health)?;
        if part.name == "kube-controller-manager" {
            wait(files, &prober, part, &mut child, api.port, FIRST_OBJECT)?;
        }
        eprintln!("{}: ready after {:.1?}", part.name, begin.elapsed());
    }
    Ok(())
}

/// What was chosen for the control plane that runs.
fn running_choice(files: &Files) -> Choice {
    let arguments = process::running(files, "kube-controller-manager")
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
    Choice::of(&arguments.unwrap_or_default())
}

/// Waits until a path answers 200.
fn wait(
    files: &Files,
    prober: &Prober,
    part: &Part,
    child: &mut Child,
    port: u16,
    path: &str,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let log = files.log(part.name);
    let failure = |what: String| {
        anyhow::anyhow!(
            "{} {what}; its log {} ends with:\n{}",
            part.name,
            log.display(),
            process::last_words(files, part.name)
        )
    };
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(failure(format!("has ended: {status}")));
        }
        let answer = match prober.get(port, path) {
            Ok((200, _)) => return Ok(()),
            Ok((code, body)) => format!("answered {code} to {path}: {}", body.trim()),
            Err(error) => format!("does not answer: {error:#}"),
        };
        if begin.elapsed() > PATIENCE {
            return Err(failure(answer));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[expect(clippy::print_stderr, reason = "progress of a command")]
fn down(files: &Files) -> anyhow::Result<()> {
    match stop_all(files)? {
        0 => eprintln!("nothing runs"),
        count => eprintln!("stopped {count} processes"),
    }
    Ok(())
}

/// Stops what runs, last started first, and removes the data. Returns how many ran.
fn stop_all(files: &Files) -> anyhow::Result<usize> {
    let mut ran = 0;
    for name in NAMES.iter().rev() {
        ran += usize::from(process::stop(files, name)?);
    }
    files.remove_data()?;
    Ok(ran)
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
fn environment() -> anyhow::Result<()> {
    let files = Files::open()?;
    if process::running(&files, "kube-apiserver").is_none() {
        bail!("no control plane runs here: cargo xtask kube up");
    }
    println!("export KUBECONFIG={}", quoted(&files.kubeconfig()));
    let kubectl = crate::kubectl::path(false)?;
    let folder = kubectl.parent().context("kubectl is in no folder")?;
    println!("export PATH={}:\"$PATH\"", quoted(folder));
    Ok(())
}

/// As one word of a shell.
fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
fn status() -> anyhow::Result<()> {
    let files = Files::open()?;
    let mut missing = 0;
    for name in NAMES {
        match process::running(&files, name) {
            Some(pid) => println!("{name:<24} {pid:>8} {}", files.log(name).display()),
            None => {
                missing += 1;
                println!("{name:<24}        -");
            }
        }
    }
    if missing > 0 {
        bail!("{missing} of {} programs do not run", NAMES.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for (path, word) in [("/a b", "'/a b'"), ("/it's", r"'/it'\''s'")] {
            assert_eq!(quoted(path.as_ref()), word);
        }
    }
}
