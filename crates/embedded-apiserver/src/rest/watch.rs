//! watch: a cursor over the history of a collection, as a stream of JSON lines.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::output::{Format, include, json_response, object_value, partial_metadata};
use super::params::Params;
use super::read::check_revision;
use super::selection::Selection;
use crate::builtin::{Resource, field};
use crate::status::Status;
use crate::store::{Cursor, Event, EventKind, Object};
use crate::table::{self, Include};

/// How long a watch lasts if the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// How often an idle watch tells the client how far it has come.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

struct Watch {
    resource: Arc<Resource>,
    selection: Selection,
    format: Format,
    core: Arc<super::Core>,
    include: Include,
    cursor: Cursor,
    /// Lines that are ready to be sent.
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    columns_sent: bool,
    deadline: Instant,
    next_bookmark: Instant,
    bookmark_due: bool,
    /// The time is up; what is ready is still sent.
    over: bool,
    /// The client has been told that events are missing.
    failed: bool,
}

/// Starts a watch.
pub(crate) fn watch(call: &Call) -> Result<Response, Status> {
    let format = Format::negotiate(&call.parts.headers)?;
    let resource = call.resource.clone();
    let params = &call.params;
    let selection = Selection::parse(
        &resource,
        call.namespace.clone(),
        call.name.as_deref(),
        params,
    )?;
    let timeout = match params.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => DEFAULT_TIMEOUT,
    };
    let bookmarks = params.flag("allowWatchBookmarks");
    let initial = params
        .get("sendInitialEvents")
        .map(|_| params.flag("sendInitialEvents"));
    check_match(initial, params)?;
    let store = &call.core.store;
    let asked = match params.get("resourceVersion") {
        None | Some("0") => None,
        Some(text) => Some(
            text.parse::<u64>()
                .map_err(|_| Status::bad_request(format!("invalid resourceVersion: {text:?}")))?,
        ),
    };
    let namespace = selection.namespace.as_deref();
    let collection = &resource.collection;
    let mut snapshot = None;
    let cursor = match (initial, asked) {
        (Some(true), _) | (None, None) => {
            let (listed, cursor) = store.list_and_watch(collection, namespace);
            if initial.is_some() {
                check_revision(call, listed.revision)?;
            }
            snapshot = Some(listed.objects);
            cursor
        }
        (Some(false), None) => store.list_and_watch(collection, Some("")).1,
        (_, Some(after)) => store.watch(collection, after).map_err(|_| {
            Status::expired(format!(
                "too old resource version: {after} (current: {})",
                store.revision()
            ))
        })?,
    };
    let now = Instant::now();
    let mut watch = Watch {
        resource,
        selection,
        format,
        core: call.core.clone(),
        include: include(call)?,
        cursor,
        ready: VecDeque::new(),
        bookmarks,
        columns_sent: false,
        deadline: now + timeout,
        next_bookmark: now + BOOKMARK_INTERVAL,
        bookmark_due: false,
        over: false,
        failed: false,
    };
    for object in snapshot.into_iter().flatten() {
        if watch.selection.matches(&object) {
            let line = watch.line(EventKind::Added, &object, false);
            watch.ready.push_back(line);
        }
    }
    if initial == Some(true) && bookmarks {
        let line = watch.bookmark(true);
        watch.ready.push_back(line);
    }
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<Bytes, Infallible>(line), watch))
    });
    Ok(json_response(StatusCode::OK, Body::from_stream(stream)))
}

/// Refuses a `resourceVersionMatch` that does not fit the rest of a watch's options.
fn check_match(initial: Option<bool>, params: &Params) -> Result<(), Status> {
    const NOT_OLDER: &str = "NotOlderThan";
    let wanted = params.get("resourceVersionMatch");
    let mut errors = Vec::new();
    if initial.is_some() && wanted != Some(NOT_OLDER) {
        errors.push(field::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    if let Some(wanted) = wanted {
        if initial.is_none() {
            errors.push(field::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if wanted != NOT_OLDER {
            errors.push(field::unsupported(
                "resourceVersionMatch",
                format!("{wanted:?}"),
                &[NOT_OLDER],
            ));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("ListOptions", "meta.k8s.io", "", errors))
}

impl Watch {
    /// The next line to send; `None` ends the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            match self.cursor.poll() {
                Err(_) if self.failed => return None,
                Err(_) => {
                    self.failed = true;
                    let status = Status::expired(format!(
                        "too old resource version: {}",
                        self.cursor.seen()
                    ));
                    let line = json!({"type": "ERROR", "object": status});
                    return Some(Bytes::from(format!("{line}\n")));
                }
                Ok(None) => return None,
                Ok(Some(events)) => {
                    for event in &events {
                        if let Some(line) = self.announce(event) {
                            self.ready.push_back(line);
                        }
                    }
                    if !events.is_empty() {
                        continue;
                    }
                }
            }
            // The cursor is level with the store: nothing before its revision is missing.
            if std::mem::take(&mut self.bookmark_due) && self.bookmarks {
                return Some(self.bookmark(false));
            }
            if self.over {
                return None;
            }
            let wake = if self.bookmarks {
                self.deadline.min(self.next_bookmark)
            } else {
                self.deadline
            };
            tokio::select! {
                alive = self.cursor.wait() => if !alive { return None },
                () = tokio::time::sleep_until(wake) => {
                    self.bookmark_due = true;
                    self.over = wake == self.deadline;
                    self.next_bookmark = wake + BOOKMARK_INTERVAL;
                }
            }
        }
    }

    /// What this watcher hears of an event, if anything.
    fn announce(&mut self, event: &Event) -> Option<Bytes> {
        let before = event
            .old
            .as_ref()
            .is_some_and(|old| self.selection.matches(old));
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.object);
        let kind = match (before, after) {
            (false, true) => EventKind::Added,
            (true, true) => EventKind::Modified,
            (true, false) => EventKind::Deleted,
            (false, false) => return None,
        };
        match &event.old {
            // What leaves the selection is shown as it was there, with the version of its leaving.
            Some(old) if kind == EventKind::Deleted && event.kind != EventKind::Deleted => {
                let mut left = object_value(&self.resource, old);
                left["metadata"]["resourceVersion"] = json!(event.object.revision.to_string());
                Some(self.line_of(kind, left))
            }
            _ => Some(self.line(kind, &event.object, kind == event.kind)),
        }
    }

    /// One line. `shared` says that `kind` is what the object's own event says.
    fn line(&mut self, kind: EventKind, object: &Object, shared: bool) -> Bytes {
        if self.format == Format::Full && !self.resource.converts() {
            if shared {
                return object.event();
            }
            let prefix = kind.prefix();
            let mut line = Vec::with_capacity(prefix.len() + object.bytes.len() + 2);
            line.extend_from_slice(prefix);
            line.extend_from_slice(&object.bytes);
            line.extend_from_slice(b"}\n");
            return Bytes::from(line);
        }
        self.line_of(kind, object_value(&self.resource, object))
    }

    fn line_of(&mut self, kind: EventKind, value: Value) -> Bytes {
        let shown = match self.format {
            Format::Full => value,
            Format::Metadata => partial_metadata(&value),
            Format::Table => {
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                let now = (self.core.clock)();
                table::render(
                    self.resource.columns(),
                    &[&value],
                    now,
                    self.include,
                    &meta,
                    columns,
                )
            }
        };
        Bytes::from(format!(
            "{}\n",
            json!({"type": kind.name(), "object": shown})
        ))
    }

    fn bookmark(&self, end_of_initial: bool) -> Bytes {
        let (kind, api_version) = match self.format {
            Format::Full => (self.resource.kind.clone(), self.resource.api_version()),
            Format::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            Format::Table => ("Table".into(), "meta.k8s.io/v1".into()),
        };
        let mut meta = json!({"resourceVersion": self.cursor.seen().to_string()});
        if end_of_initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": meta});
        if self.format == Format::Table {
            object["columnDefinitions"] = Value::Array(Vec::new());
            object["rows"] = Value::Array(Vec::new());
        }
        Bytes::from(format!(
            "{}\n",
            json!({"type": "BOOKMARK", "object": object})
        ))
    }
}
