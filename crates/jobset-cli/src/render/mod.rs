//! `jobset render`: the objects that the controller would create, from manifests alone; with
//! `--diff`, against what is on a cluster.

mod compare;
mod diff;
mod edits;
mod lines;

use std::io::{self, Write};

use jobset_api::{FeatureGates, JobSet, defaulting};
use jobset_core::{RenderedRole, Wait, render};
use serde_json::Value;

use crate::args::{RenderArgs, RenderOutput};
use crate::exit::Exit;
use crate::manifest::{self, Checks, Document};
use crate::style;

/// What stands for the random part of a generated name.
const GENERATED: &str = "xxxxx";
/// A generated name is cut so that its random part fits into a label.
const LONGEST_BASE: usize = 58;

/// Prints the objects, or the differences.
pub(crate) fn main(args: &RenderArgs) -> anyhow::Result<Exit> {
    let checks = Checks {
        gates: args.feature_gates,
        ..Checks::default()
    };
    let inspection = manifest::inspect(&args.files, checks);
    let mut problems = inspection.problems;
    if problems.is_empty() && !inspection.documents.iter().any(manifest::is_jobset) {
        problems.push(manifest::no_jobset(&args.files, "render"));
    }
    if !problems.is_empty() {
        manifest::report(&problems);
        return Ok(Exit::BadInput);
    }
    manifest::report_warnings(&inspection.warnings);
    for skipped in &inspection.skipped {
        eprintln!("skipped: {skipped}");
    }
    let (jobsets, others): (Vec<Document>, Vec<Document>) = inspection
        .documents
        .into_iter()
        .partition(manifest::is_jobset);
    for other in &others {
        eprintln!("skipped: {}: not a JobSet", other.origin);
    }
    if args.diff {
        return Ok(diff::main(args, &jobsets).unwrap_or_else(|error| {
            eprintln!("{} {error:#}", style::error("error:"));
            Exit::BadInput
        }));
    }
    let namespace = args.namespace.as_deref().unwrap_or("default");
    let jobsets: Vec<JobSet> = jobsets
        .iter()
        .map(|document| desired(document, namespace))
        .collect::<Result<_, _>>()?;
    if let Some(role) = &args.role
        && !jobsets.iter().any(|set| set.replicated_job(role).is_some())
    {
        eprintln!(
            "{} no JobSet has a replicated job {role:?}",
            style::error("error:")
        );
        return Ok(Exit::BadInput);
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = match args.output {
        RenderOutput::Yaml => yaml(&jobsets, args, &mut out),
        RenderOutput::Json => json(&jobsets, args, &mut out),
    };
    match printed.and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(Exit::Completed)
}

/// The JobSet of a file as admission would store it.
fn desired(document: &Document, namespace: &str) -> Result<JobSet, serde_json::Error> {
    let mut body = document.body.clone();
    defaulting::default_value(&mut body);
    let mut jobset: JobSet = serde_json::from_value(body)?;
    let meta = &mut jobset.metadata;
    if meta.namespace.as_deref().unwrap_or_default().is_empty() {
        meta.namespace = Some(namespace.to_owned());
    }
    if meta.name.as_deref().unwrap_or_default().is_empty() {
        let base = meta.generate_name.as_deref().unwrap_or_default();
        let base: String = base.chars().take(LONGEST_BASE).collect();
        meta.name = Some(format!("{base}{GENERATED}"));
    }
    // These are the server's to give.
    meta.uid = None;
    jobset.status = None;
    Ok(jobset)
}

/// Something to print: what it is, what it waits for, and the object.
struct Item {
    note: String,
    object: Value,
}

/// The objects of a JobSet that are asked for, in the order of creation.
fn items<'a>(
    jobset: &'a JobSet,
    args: &'a RenderArgs,
    gates: &FeatureGates,
) -> impl Iterator<Item = Item> {
    let rendered = render(jobset, gates);
    let everything = args.role.is_none() && args.job.is_none();
    let service = rendered.service.into_iter();
    let shared = service.chain(rendered.claims).filter(move |_| everything);
    let roles = rendered.roles.into_iter();
    let wanted = roles.filter(|role| args.role.as_deref().is_none_or(|name| name == role.name));
    let jobs = wanted.flat_map(move |role| {
        let note = waiting(&role);
        let indices = match args.job {
            None => 0..role.replicas,
            Some(one) => i64::from(one)..i64::from(one) + 1,
        };
        indices
            .filter_map(move |index| role.job(index))
            .map(move |(_, object)| Item {
                note: note.clone(),
                object,
            })
    });
    shared
        .map(|object| Item {
            note: String::new(),
            object,
        })
        .chain(jobs)
}

/// For people: what the Jobs of a replicated job wait for.
pub(super) fn waiting(role: &RenderedRole<'_>) -> String {
    let texts: Vec<String> = role
        .waits
        .iter()
        .map(|wait| match wait {
            Wait::Ready(name) => format!("every Job of {name:?} is ready or has ended"),
            Wait::Complete(name) => format!("every Job of {name:?} has succeeded"),
            Wait::Started(name) => {
                format!("every Job of {name:?} is ready or has ended (startupPolicy)")
            }
            Wait::Never(name) => format!("never: the status given for {name:?} is not known"),
        })
        .collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!("waits until {}", texts.join(", and "))
    }
}

fn yaml(jobsets: &[JobSet], args: &RenderArgs, out: &mut impl Write) -> io::Result<()> {
    let mut first = true;
    for jobset in jobsets {
        let mut head = format!("# JobSet {}/{}\n", jobset.namespace(), jobset.name());
        if let Some(other) = jobset
            .spec
            .managed_by
            .as_deref()
            .filter(|_| !jobset.is_managed_here())
        {
            head.push_str(&format!(
                "# It is managed by {other}: this controller would leave it alone.\n"
            ));
        }
        for item in items(jobset, args, &args.feature_gates) {
            if !first {
                out.write_all(b"---\n")?;
            }
            first = false;
            out.write_all(std::mem::take(&mut head).as_bytes())?;
            if !item.note.is_empty() {
                writeln!(out, "# {}", item.note)?;
            }
            out.write_all(to_yaml(&item.object)?.as_bytes())?;
        }
    }
    Ok(())
}

/// An object as YAML, ending with a line feed.
pub(super) fn to_yaml(object: &Value) -> io::Result<String> {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        prefer_block_scalars: true,
    };
    let mut text =
        serde_saphyr::to_string_with_options(object, options).map_err(io::Error::other)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A List, written piece by piece: it may be large.
fn json(jobsets: &[JobSet], args: &RenderArgs, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[")?;
    let mut separator = "\n";
    for jobset in jobsets {
        for item in items(jobset, args, &args.feature_gates) {
            out.write_all(separator.as_bytes())?;
            serde_json::to_writer(&mut *out, &item.object)?;
            separator = ",\n";
        }
    }
    out.write_all(b"\n]}\n")
}
