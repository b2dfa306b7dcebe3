//! `jobset events`: what is told of a JobSet, its Jobs and its Pods.

use std::collections::HashMap;

use anyhow::Context as _;
use futures::StreamExt as _;
use jobset_api::JobSet;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};

use crate::args::{EventsArgs, OutputKind};
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::view::{self, Happening};
use crate::{engine, output, style};

/// Shows the events.
pub(super) async fn main(args: &EventsArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.view.connection).await?;
    let jobset = cluster::jobset(&at, &args.view.name).await?;
    if args.follow {
        return follow(args, &at, &jobset).await;
    }
    let params = kube::api::ListParams::default();
    let events = cluster::all(at.api::<Event>(), &params, |_| {}).await?;
    let mut told = view::happenings(&events, &jobset);
    told.retain(|one| !args.warnings || one.is_warning());
    match args.view.output {
        OutputKind::Json => output::json(&serde_json::json!({ "events": told }))?,
        OutputKind::Text if told.is_empty() => {
            eprintln!(
                "no events: a cluster forgets them after an hour, unless it is told otherwise"
            );
        }
        OutputKind::Text => {
            let text = view::table(&rows(&told, Timestamp::now()), style::enabled_on_stdout());
            output::text(&text)?;
        }
    }
    Ok(Exit::Completed)
}

fn rows(told: &[Happening], now: Timestamp) -> Vec<Vec<String>> {
    let head = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).into()];
    for one in told {
        rows.push(vec![
            view::age(Some(one.last.0), now),
            one.type_.clone(),
            one.reason.clone(),
            format!("{} {}", one.kind, one.name),
            message(one),
        ]);
    }
    rows
}

/// The note in one line, and how often.
fn message(one: &Happening) -> String {
    let note = view::one_line(&one.note);
    if one.count > 1 {
        format!("{note} ({} times)", one.count)
    } else {
        note
    }
}

/// Prints the events there are and those that come.
async fn follow(args: &EventsArgs, at: &Connection, jobset: &JobSet) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let api: Api<Event> = at.api();
    let mut changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    let colored = style::enabled_on_stdout();
    // A watch that begins anew tells everything again.
    let mut said: HashMap<String, i32> = HashMap::new();
    // What is there already comes in no order.
    let mut first: Vec<Happening> = Vec::new();
    let mut started = false;
    loop {
        let change = tokio::select! {
            result = &mut interrupted => { result?; return Ok(Exit::Interrupted); }
            change = changes.next() => change.context("the watch ended")?,
        };
        let event = match change {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => event,
            Ok(watcher::Event::InitDone) => {
                started = true;
                first.sort_by_key(|one| one.at);
                for one in first.drain(..) {
                    if !print(&one, args.view.output, colored)? {
                        return Ok(Exit::Completed);
                    }
                }
                continue;
            }
            Ok(_) => continue,
            Err(error) if started => {
                tracing::warn!(%error, "the watch was interrupted");
                continue;
            }
            Err(error) => return Err(error).context("cannot watch events"),
        };
        let Some(one) = Happening::of(&event, jobset) else {
            continue;
        };
        let known = said.insert(event.name_any(), one.count);
        if known == Some(one.count) || (args.warnings && !one.is_warning()) {
            continue;
        }
        if !started {
            first.push(one);
        } else if !print(&one, args.view.output, colored)? {
            return Ok(Exit::Completed);
        }
    }
}

/// One event in one line; `false` if nobody reads it.
fn print(one: &Happening, format: OutputKind, colored: bool) -> anyhow::Result<bool> {
    if format == OutputKind::Json {
        return output::json_line(one);
    }
    let type_ = match style::state_color(&one.type_) {
        Some(code) => style::paint(&one.type_, code, colored),
        None => one.type_.clone(),
    };
    let line = format!(
        "{} {type_} {} {} {}: {}\n",
        one.last.0.strftime("%Y-%m-%dT%H:%M:%SZ"),
        one.kind,
        one.name,
        one.reason,
        message(one),
    );
    Ok(output::text(&line)?)
}
