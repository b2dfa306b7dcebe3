//! Commands that talk to a cluster.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::{ConnectionArgs, OutputKind};
use crate::view::PodPlace;
use crate::{completion, duration};

/// Commands for JobSets on a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// List JobSets: state, restarts, age, ready Jobs of each role, place in a queue
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  jobset list
  jobset list --all-namespaces
  jobset list --selector team=vision --output json

READY counts the Jobs of a role that are ready or have succeeded. The column QUEUE appears if a \
JobSet names a queue of Kueue, with the place of suspended ones in it.

Exit codes: 0 listed, 1 the cluster cannot be asked, 2 bad usage."
    )]
    List(ListArgs),
    /// Show a JobSet as a tree: roles, their Jobs, their Pods
    #[command(after_help = "Examples:
  jobset tree training
  jobset tree training --output json

Jobs that are being deleted are shown with the time since, and Pods whose Job is gone as well.

Exit codes: 0 shown, 1 there is no such JobSet or the cluster cannot be asked, 2 bad usage.")]
    Tree(ViewArgs),
    /// Say why a JobSet is as it is: what failed first, what is waited for, what has happened
    #[command(
        visible_alias = "describe",
        after_help = "Examples:
  jobset explain training
  jobset explain training -n team --context prod
  jobset explain training --log-lines 50
  jobset explain training --output json | jq .failures

Works for running and finished JobSets on any cluster, whichever controller runs there. It reads \
the JobSet, its Jobs, its Pods, the events of the namespace, and the logs of the first failed \
containers. What is gone cannot be told: Pods of earlier attempts go with their Jobs, and a \
cluster forgets events after an hour unless told otherwise.

Exit codes: 0 explained, 1 there is no such JobSet or the cluster cannot be asked, 2 bad usage."
    )]
    Explain(ExplainArgs),
    /// Print the logs of a JobSet's Pods, merged
    #[command(after_help = "Examples:
  jobset logs training
  jobset logs training --follow --role workers
  jobset logs training --role workers --job 3 --pod 0 --since 5m
  jobset logs training --grep 'loss|error' --timestamps
  jobset logs training --previous-attempts --output json

Lines are in the order of their time. With --follow they come as they are printed, Pods that \
start later included, until the JobSet has finished or Ctrl-C. A line begins with ROLE-JOB-POD, \
and the container if a Pod has several.

Without --previous-attempts only Pods of the present attempt are read. With it, Pods of earlier \
attempts that are still there are read as well, and the last run before of containers that were \
restarted.

Exit codes: 0 printed, 1 there is no such JobSet or the cluster cannot be asked, 2 bad usage, 130 \
interrupted.")]
    Logs(LogsArgs),
    /// Show the events of a JobSet, its Jobs and its Pods
    #[command(after_help = "Examples:
  jobset events training
  jobset events training --warnings
  jobset events training --follow
  jobset events training --follow --output json      one JSON document a line

Exit codes: 0 shown, 1 there is no such JobSet or the cluster cannot be asked, 2 bad usage, 130 \
interrupted.")]
    Events(EventsArgs),
    /// Watch a JobSet on the whole screen: its Jobs as cells, events, logs of a Pod
    #[command(after_help = "Examples:
  jobset watch training
  jobset watch training --interval 5s
  jobset watch training --plain | tee training.log

Each role is a row, each of its Jobs a cell: · pending, | suspended, ░ starting, █ ready, = \
succeeded, x failed, - being deleted, nothing if it is not there. If there are more Jobs than \
cells, a cell stands for several and shows what is worst among them. The keys are named at the \
bottom of the screen.

Without a terminal, or with --plain, it prints a line whenever something has changed, until the \
JobSet has finished or is deleted. What happens is shown at once; after that, what happens within \
--interval is shown together. The cluster is asked once and then tells by itself what changes.

Exit codes: 0 finished or left with q, 1 there is no such JobSet or the cluster cannot be asked, \
2 bad usage, 130 interrupted.")]
    Watch(WatchArgs),
    /// Show JobSets in a browser: their Jobs as cells, timeline, events, logs
    #[command(after_help = "Examples:
  jobset dashboard
  jobset dashboard --all-namespaces
  jobset dashboard --context prod -n team --port 0
  jobset up --dashboard                  of a one-machine cluster

It prints an address of this machine to open in a browser. The token in it is a secret: the page is
for whoever has it, and for no other user and no other web site. The page can change nothing.

It watches what is looked at, once however many look, and asks the cluster nothing while nobody does.
Needs the rights to list and watch jobsets, jobs, pods and events, and to get pods/log.

Exit codes: 0 interrupted, 1 the cluster cannot be asked or the port is taken, 2 bad usage.")]
    Dashboard(DashboardArgs),
    /// Draw when which Job was pending, starting, ready and over, and what restarts have cost
    #[command(after_help = "Examples:
  jobset timeline training
  jobset timeline training --format svg > training.svg
  jobset timeline training --format html --rows 0 > training.html
  jobset timeline training --format json | jq .lostSeconds

One line a Job, by role and attempt. Lost is the time from the failure that led to a restart \
until all Jobs that had been ready were ready again, or until now. It is made of what the cluster \
still knows: times are whole seconds, and of earlier attempts there is only what their events \
tell. A run that is recorded as it happens knows more: jobset run --report.

Exit codes: 0 drawn, 1 there is no such JobSet or the cluster cannot be asked, 2 bad usage.")]
    Timeline(TimelineArgs),
    /// Show the processor time and memory that a JobSet's Pods use
    #[command(after_help = "Examples:
  jobset top training
  jobset top training --output json

Needs a cluster that serves metrics.k8s.io: `jobset up` and `jobset run` do, others with \
metrics-server. CPU is in thousandths of a processor. Pods that have just started have no figures \
yet.

Exit codes: 0 shown, 1 there is no such JobSet, no metrics, or the cluster cannot be asked, 2 bad \
usage.")]
    Top(ViewArgs),
    /// Wait until a JobSet has reached a state
    #[command(after_help = "Examples:
  jobset wait training
  jobset wait training --for ready --timeout 10m
  jobset wait training --for failed || echo it did not fail
  jobset wait training --for deleted

A state that cannot be reached any more ends the wait: who waits for a JobSet to complete learns \
that it has failed.

Exit codes: 0 reached, 1 it cannot be reached any more, there is no such JobSet, or the cluster \
cannot be asked, 2 bad usage, 124 timed out, 130 interrupted.")]
    Wait(WaitArgs),
    /// Suspend JobSets: their Pods are deleted, their Jobs stay
    #[command(after_help = "Examples:
  jobset suspend training
  jobset suspend training evaluation -n team

Exit codes: 0 done, 1 one has finished or does not exist, or the cluster refuses, 2 bad usage.")]
    Suspend(NamesArgs),
    /// Resume suspended JobSets
    #[command(after_help = "Examples:
  jobset resume training

Exit codes: 0 done, 1 one has finished or does not exist, or the cluster refuses, 2 bad usage.")]
    Resume(NamesArgs),
    /// Restart the Jobs of a JobSet, all or some of them
    #[command(after_help = "Examples:
  jobset restart training
  jobset restart training --role workers
  jobset restart training --job workers/3

The API has no field that asks for a restart. The Jobs are deleted, and the controller creates \
them again: those that had succeeded run again as well. No restart is counted, so neither \
status.restarts nor the limit of the failure policy change.

Exit codes: 0 done, 1 there is nothing to restart or the cluster refuses, 2 bad usage.")]
    Restart(RestartArgs),
    /// Delete JobSets with all their Jobs and Pods
    #[command(after_help = "Examples:
  jobset delete training
  jobset delete training evaluation --no-wait
  jobset delete training --timeout 2m

Returns when the JobSets, their Jobs and their Pods are gone.

Exit codes: 0 deleted, 1 one does not exist or the cluster refuses, 2 bad usage, 124 timed out, \
130 interrupted.")]
    Delete(DeleteArgs),
    /// Print the kubectl command that runs a program in a Pod of a JobSet
    #[command(after_help = "Examples:
  jobset exec training --role workers --job 3 -- nvidia-smi
  $(jobset exec training --role leader)            runs it: a shell in the Pod

Nothing is run: the command goes to standard output.

Exit codes: 0 printed, 1 there is no such Pod or the cluster cannot be asked, 2 bad usage.")]
    Exec(ExecArgs),
    /// Print the kubectl command that forwards ports to a Pod of a JobSet
    #[command(after_help = "Examples:
  jobset port-forward training --role leader 6006
  $(jobset port-forward training --role leader 8080:80)     runs it

Nothing is run: the command goes to standard output.

Exit codes: 0 printed, 1 there is no such Pod or the cluster cannot be asked, 2 bad usage.")]
    PortForward(PortForwardArgs),
}

/// Arguments of `jobset list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// JobSets of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Only JobSets with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of a command that shows one JobSet.
#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// What to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// Show changes at most this often
    #[arg(long, default_value = "1s", value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) interval: Duration,
    /// Print lines even on a terminal
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Where the dashboard is, unless told otherwise.
pub(crate) const DASHBOARD_PORT: u16 = 8347;

/// Arguments of `jobset dashboard`.
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// The port of this machine; 0 is any free one
    #[arg(short, long, default_value_t = DASHBOARD_PORT, value_name = "PORT")]
    pub(crate) port: u16,
    /// JobSets of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset timeline`.
#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// What to print
    #[arg(
        short = 'o',
        long,
        visible_alias = "output",
        short_alias = 'f',
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) format: TimelineFormat,
    /// Jobs to draw of each role and attempt, 0 for all; those that failed first are among them [default:
    /// 20 as text, 200 in pictures]
    #[arg(long, value_name = "N")]
    pub(crate) rows: Option<usize>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// What `jobset timeline` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimelineFormat {
    /// Text for people
    #[default]
    Text,
    /// A picture
    Svg,
    /// A page that needs no other file
    Html,
    /// One JSON document
    Json,
}

/// Arguments of `jobset explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Last log lines to show of the first failed containers; 0 for none
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) log_lines: u32,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// Arguments of `jobset logs`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    /// Go on printing until the JobSet has finished
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Also earlier attempts and earlier runs of containers, as far as they are still there
    #[arg(long)]
    pub(crate) previous_attempts: bool,
    /// Only what was printed in this time, for example 30s, 5m, 1h30m
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) since: Option<Duration>,
    /// Only the last lines of each container
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<u32>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    pub(crate) grep: Option<regex::Regex>,
    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Containers that are read at once; more are an error
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) max_containers: usize,
    /// What to print: text, or one JSON document for each line
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Which Pods of a JobSet.
#[derive(Clone, Debug, Args)]
pub(crate) struct PodArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// Only Pods of this replicated job
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(completion::roles))]
    pub(crate) role: Option<String>,
    /// Only Pods of the Jobs of this index
    #[arg(long, value_name = "N")]
    pub(crate) job: Option<u32>,
    /// Only Pods of this completion index
    #[arg(long, value_name = "N")]
    pub(crate) pod: Option<u32>,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

impl PodArgs {
    /// Whether a Pod is meant.
    pub(crate) fn selects(&self, place: &PodPlace) -> bool {
        let is = |wanted: Option<u32>, index: &str| {
            wanted.is_none_or(|wanted| index.parse() == Ok(wanted))
        };
        self.role.as_deref().is_none_or(|role| role == place.role)
            && is(self.job, &place.job_index)
            && is(self.pod, &place.pod_index)
    }
}

/// Arguments of `jobset events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events that warn
    #[arg(long)]
    pub(crate) warnings: bool,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// What `jobset wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// It has completed
    #[default]
    Completed,
    /// It has failed
    Failed,
    /// It has completed or failed
    Finished,
    /// All its Jobs are ready or have succeeded
    Ready,
    /// It is suspended
    Suspended,
    /// It is gone
    Deleted,
}

/// Arguments of `jobset wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// The state
    #[arg(long = "for", value_enum, default_value_t, value_name = "STATE")]
    pub(crate) goal: Goal,
    /// Give up after this time, for example 90s, 5m, 1h30m
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of a command that changes JobSets.
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// The JobSets
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// The JobSet
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobsets))]
    pub(crate) name: String,
    /// Only the Jobs of this replicated job
    #[arg(long, conflicts_with = "job", value_name = "NAME", add = ArgValueCompleter::new(completion::roles))]
    pub(crate) role: Option<String>,
    /// Only one Job: its replicated job and index
    #[arg(long, value_parser = one_job, value_name = "ROLE/INDEX")]
    pub(crate) job: Option<(String, u32)>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Return at once; the cluster goes on deleting
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Give up after this time, for example 90s, 5m, 1h30m
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) names: NamesArgs,
}

/// Arguments of `jobset exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    /// The program and its arguments
    #[arg(last = true, default_value = "sh", value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset port-forward`.
#[derive(Debug, Args)]
pub(crate) struct PortForwardArgs {
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    /// Ports: PORT, or LOCAL:REMOTE
    #[arg(required = true, value_parser = ports, value_name = "PORTS")]
    pub(crate) ports: Vec<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

fn one_job(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("{text:?} is not of the form ROLE/INDEX, for example workers/3");
    let (role, index) = text.split_once('/').ok_or_else(wrong)?;
    let index = index.parse().map_err(|_| wrong())?;
    if role.is_empty() {
        return Err(wrong());
    }
    Ok((role.to_owned(), index))
}

fn ports(text: &str) -> Result<String, String> {
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let fine = match text.split_once(':') {
        None => is_port(text),
        // Without a local port, any free one is taken.
        Some((local, remote)) => (local.is_empty() || is_port(local)) && is_port(remote),
    };
    if fine {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not of the form PORT or LOCAL:REMOTE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_ports_are_read() {
        assert_eq!(one_job("workers/3"), Ok(("workers".to_owned(), 3)));
        for text in ["workers", "/3", "workers/", "workers/x", "a/b/3"] {
            assert!(one_job(text).is_err(), "{text}");
        }
        for text in ["80", "8080:80", ":80"] {
            assert_eq!(ports(text).as_deref(), Ok(text));
        }
        for text in ["", "0", "x", "80:", "80:x", "70000"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
