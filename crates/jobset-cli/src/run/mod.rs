//! `jobset run`: manifests in, logs and a verdict out.

mod apply;
mod document;
mod model;
mod printer;
mod report;
mod view;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use jobset_api::JobSet;
use jobset_local::node::logs::{LogLine, LogReceiver};
use k8s_openapi::jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use self::document::Times;
use self::model::{Ending, Model, Notice};
use self::printer::Printer;
use self::report::Report;
use self::watch::Change;
use crate::args::{OutputKind, RunArgs, RuntimeKind};
use crate::engine::{self, Engine};
use crate::exit::Exit;
use crate::manifest::{self, Checks, Document};
use crate::style;

/// How often the live lines are redrawn, at most.
const REDRAW: Duration = Duration::from_millis(100);

/// How long the explanation of a failure waits for the controller's own words, at most.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the JobSets of the files until all of them have finished.
pub(crate) fn main(args: &RunArgs) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let checks = Checks {
        processes: args.cluster.runtime == RuntimeKind::Process,
        gates: args.cluster.feature_gates,
    };
    let documents = match manifest::load(&args.files, checks) {
        Ok(documents) => documents,
        Err(problems) => {
            manifest::report(&problems);
            return Ok(Exit::BadInput);
        }
    };
    // What cannot be written at the end is known before anything runs.
    let report = match &args.report {
        Some(path) => match Report::open(path, Timestamp::now()) {
            Ok(report) => Some(report),
            Err(error) => {
                eprintln!("{} {error:#}", style::error("error:"));
                return Ok(Exit::BadInput);
            }
        },
        None => None,
    };
    engine::block_on(run(args, documents, start, report))
}

async fn run(
    args: &RunArgs,
    documents: Vec<Document>,
    start: Instant,
    report: Option<Report>,
) -> anyhow::Result<Exit> {
    // Before anything is started, so that an early signal is not lost.
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let mut cluster = args.cluster.clone();
    let mut own_kubeconfig = None;
    if args.keep && cluster.kubeconfig.is_none() {
        let directory = tempfile::Builder::new()
            .prefix("jobset-kubeconfig-")
            .tempdir()
            .context("cannot create a directory for the kubeconfig")?;
        cluster.kubeconfig = Some(directory.path().join("kubeconfig"));
        own_kubeconfig = Some(directory);
    }
    // For whoever has the kubeconfig, and for clients in the containers.
    let reachable = cluster.kubeconfig.is_some() || cluster.runtime == RuntimeKind::Process;
    let listen = reachable.then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let engine = Engine::start(&cluster, listen, None).await?;
    let mut session = Session {
        json: args.output == OutputKind::Json,
        logs_wanted: !args.no_logs,
        logs: engine.cluster.subscribe_logs(),
        changes: watch::changes(&engine.cluster.client()),
        printer: Printer::new(),
        model: Model::default(),
        report,
        start,
        times: Times {
            ready: start.elapsed(),
            ..Times::default()
        },
        label_width: 0,
    };
    if cluster.runtime == RuntimeKind::Process {
        session.notice(&Notice {
            warning: false,
            text: "containers run as processes of this machine; images are not pulled".to_owned(),
        });
    }
    if let Some(url) = engine.dashboard() {
        let text = format!("the dashboard: {url}");
        session.notice(&Notice {
            warning: false,
            text,
        });
    }
    let exit = match apply::create(&engine.cluster.client(), &documents).await {
        Ok(jobsets) => {
            let jobsets: Vec<JobSet> = jobsets
                .into_iter()
                .map(serde_json::from_value)
                .collect::<Result<_, _>>()
                .context("the API answered with a JobSet that cannot be read")?;
            session.begin(&jobsets);
            let timeout = async {
                match args.timeout {
                    Some(limit) => {
                        tokio::time::sleep_until((start + limit).into()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(timeout);
            let exit = tokio::select! {
                exit = session.follow() => exit,
                () = &mut timeout => Exit::TimedOut,
                result = &mut interrupted => { result?; Exit::Interrupted }
            };
            session.end(exit, &engine)?;
            if args.keep && exit != Exit::Interrupted {
                keep(cluster.kubeconfig.as_deref(), own_kubeconfig.is_some())?;
                tokio::select! {
                    result = &mut interrupted => result?,
                    () = session.stay() => {}
                }
            }
            exit
        }
        Err(refusal) => {
            eprintln!("{} {}", style::error("error:"), refusal.message);
            if refusal.bad_input {
                Exit::BadInput
            } else {
                Exit::Failed
            }
        }
    };
    drop(session);
    engine.shutdown().await;
    drop(own_kubeconfig);
    Ok(exit)
}

/// Says how the cluster that stays can be reached.
fn keep(kubeconfig: Option<&std::path::Path>, temporary: bool) -> anyhow::Result<()> {
    if let Some(path) = kubeconfig {
        let path = std::path::absolute(path).context("cannot find the present directory")?;
        eprintln!("\nThe cluster stays up until Ctrl-C. In another terminal:\n");
        eprintln!(
            "export KUBECONFIG={}",
            crate::up::quoted(&path.to_string_lossy())
        );
        eprintln!("kubectl get jobsets,jobs,pods");
        if temporary {
            eprintln!("\nThe kubeconfig goes with the cluster.");
        }
    }
    Ok(())
}

/// What is said when standard output could not be written.
const NOT_PRINTED: &str = "cannot write to standard output";

/// One run, from the creation of its JobSets to the verdict.
struct Session {
    json: bool,
    logs_wanted: bool,
    logs: LogReceiver,
    changes: SelectAll<BoxStream<'static, Change>>,
    printer: Printer,
    model: Model,
    report: Option<Report>,
    start: Instant,
    times: Times,
    label_width: usize,
}

impl Session {
    fn begin(&mut self, jobsets: &[JobSet]) {
        self.times.created = self.start.elapsed();
        self.model = Model::new(jobsets);
        if let Some(report) = &mut self.report {
            report.begin(jobsets, self.times.created);
        }
        self.label_width = jobsets
            .iter()
            .map(|jobset| {
                let prefix = if jobsets.len() > 1 {
                    jobset.name().len() + 1
                } else {
                    0
                };
                prefix + crate::view::label_width(jobset, None)
            })
            .max()
            .unwrap_or(0)
            .min(40);
    }

    /// Takes note of a change.
    fn see(&mut self, change: Change) {
        let elapsed = self.start.elapsed();
        if let Some(report) = &mut self.report {
            report.see(&change, elapsed);
        }
        self.model.apply(change, elapsed);
    }

    /// Shows what happens until every JobSet has ended.
    async fn follow(&mut self) -> Exit {
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(change) = self.changes.next() => {
                    self.print_waiting_logs();
                    self.see(change);
                    self.say_notices();
                }
                Some(line) = self.logs.recv() => self.print_logs(line),
                _ = redraw.tick(), if self.printer.is_live() => self.draw(),
            }
            if self.model.finished() {
                // The event that tells of the last decision follows the status.
                let told = tokio::time::timeout(LAST_WORDS, self.await_decisions());
                if told.await.is_err() {
                    tracing::debug!("no event tells of the last decision");
                }
                return self.verdict();
            }
        }
    }

    async fn await_decisions(&mut self) {
        while self.model.waits_for_decision() {
            tokio::select! {
                Some(change) = self.changes.next() => {
                    self.see(change);
                }
                Some(line) = self.logs.recv() => self.print_logs(line),
            }
        }
    }

    /// Goes on printing after the end.
    async fn stay(&mut self) {
        loop {
            tokio::select! {
                Some(change) = self.changes.next() => {
                    self.see(change);
                }
                Some(line) = self.logs.recv() => self.print_logs(line),
            }
        }
    }

    fn verdict(&self) -> Exit {
        let completed = |set: &model::Set| set.ending == Some(Ending::Completed);
        if self.model.sets.iter().all(completed) {
            Exit::Completed
        } else {
            Exit::Failed
        }
    }

    fn draw(&mut self) {
        let lines = view::live(
            &self.model,
            self.start.elapsed(),
            Printer::width(),
            style::enabled(),
        );
        self.printer.draw(&lines);
    }

    /// Prints a line and all that wait behind it.
    fn print_logs(&mut self, first: Arc<LogLine>) {
        let mut text = String::new();
        let mut next = Some(first);
        while let Some(line) = next {
            self.model.log_line(&line.namespace, &line.pod, &line.line);
            if self.logs_wanted {
                self.render(&line, &mut text);
            }
            // Bounded, so that a flood does not keep the status from being drawn.
            next = if text.len() < 64 * 1024 {
                self.logs.try_recv().ok()
            } else {
                None
            };
        }
        if text.is_empty() {
            return;
        }
        self.printer.clear();
        if self.json {
            Printer::err(&text);
        } else {
            self.printer.out(&text);
        }
    }

    /// Prints what was printed before a change, so that the last words of a container are known when
    /// the change says that it has failed. Bounded, for a flood never ends.
    fn print_waiting_logs(&mut self) {
        for _ in 0..self.logs.len() {
            match self.logs.try_recv() {
                Ok(line) => self.print_logs(line),
                Err(_) => break,
            }
        }
    }

    fn render(&self, line: &LogLine, text: &mut String) {
        let colored = if self.json {
            style::enabled()
        } else {
            style::enabled_on_stdout()
        };
        let (label, color) = match self.model.pod(&line.namespace, &line.pod) {
            Some(pod) if self.model.sets.len() > 1 => {
                let set = &self.model.sets[pod.set].name;
                (format!("{set}/{}", pod.short_name), pod.set + pod.role)
            }
            Some(pod) => (pod.short_name.clone(), pod.role),
            None => (line.pod.to_string(), 0),
        };
        let width = self.label_width;
        let head = style::paint_nth(&format!("{label:width$} │"), color, colored);
        text.push_str(&head);
        text.push(' ');
        text.push_str(&line.line);
        text.push('\n');
    }

    fn say_notices(&mut self) {
        for notice in self.model.take_notices() {
            self.notice(&notice);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.printer.clear();
        let head = if notice.warning {
            style::warning("jobset:")
        } else {
            style::paint("jobset:", "1", style::enabled())
        };
        Printer::err(&format!("{head} {}\n", notice.text));
    }

    /// Prints what is left of the logs, then the result.
    fn end(&mut self, exit: Exit, engine: &Engine) -> anyhow::Result<()> {
        while let Some(Some(change)) = self.changes.next().now_or_never() {
            self.see(change);
        }
        if let Ok(line) = self.logs.try_recv() {
            self.print_logs(line);
        }
        self.say_notices();
        self.printer.clear();
        let elapsed = self.start.elapsed();
        let document = document::build(
            exit,
            &self.model,
            self.times,
            elapsed,
            &engine.cluster.api().stats(),
            &engine.stats,
        );
        // A report that cannot be written is said after the result.
        let written = match self.report.take() {
            Some(report) => report.write(&self.model, &document, elapsed),
            None => Ok(()),
        };
        if self.json {
            let mut text = serde_json::to_string_pretty(&document)?;
            text.push('\n');
            self.printer.out(&text);
            self.printer.printed().context(NOT_PRINTED)?;
            return written;
        }
        let mut text = format!("\n{}", view::summary(&self.model, style::enabled()));
        for set in &self.model.sets {
            if matches!(set.ending, Some(Ending::Failed | Ending::Deleted)) {
                text.push('\n');
                text.push_str(&view::explanation(set, style::enabled()));
            }
        }
        if matches!(exit, Exit::TimedOut | Exit::Interrupted) {
            text.push_str(&view::unfinished(&self.model));
        }
        match exit {
            Exit::TimedOut => text.push_str("\ngiven up: --timeout passed\n"),
            Exit::Interrupted => text.push_str("\ninterrupted\n"),
            _ => {}
        }
        Printer::err(&text);
        self.printer.printed().context(NOT_PRINTED)?;
        written
    }
}
