//! `jobset render --diff`: files against a cluster.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use jobset_api::{ClaimTemplate, JobSet, names};
use jobset_core::{ChildJob, render};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::compare::{self, Change, Comparison, Edition, Surroundings, Verdict};
use super::lines;
use crate::args::{ConnectionArgs, RenderArgs, RenderOutput};
use crate::cluster::{self, Connection};
use crate::engine;
use crate::exit::Exit;
use crate::manifest::Document;
use crate::style;

/// How often the server is asked again because the object has changed meanwhile.
const CONFLICTS: usize = 5;

/// What the server says to the edit, asked with a dry run.
enum Answer {
    Accepts,
    Refuses(String),
    /// It could not be asked, and why.
    Silent(String),
}

/// The differences of one JobSet.
struct Report {
    namespace: String,
    name: String,
    origin: String,
    exists: bool,
    comparison: Comparison,
    diff: String,
    changes: Vec<Change>,
    answer: Option<Answer>,
}

/// Compares all JobSets with the cluster's.
pub(super) fn main(args: &RenderArgs, documents: &[Document]) -> anyhow::Result<Exit> {
    engine::block_on(async {
        let connection = ConnectionArgs {
            kubeconfig: args.kubeconfig.clone(),
            context: args.context.clone(),
            namespace: args.namespace.clone(),
        };
        let Connection { client, namespace } = cluster::connect(&connection).await?;
        let mut reports = Vec::new();
        for document in documents {
            let report = Report::of(&client, &namespace, document, args).await;
            reports.push(report.with_context(|| document.origin.clone())?);
        }
        print(&reports, args.output)?;
        Ok(if reports.iter().any(Report::is_refused) {
            Exit::BadInput
        } else if reports.iter().any(Report::differs) {
            Exit::Failed
        } else {
            Exit::Completed
        })
    })
}

impl Report {
    async fn of(
        client: &Client,
        namespace: &str,
        document: &Document,
        args: &RenderArgs,
    ) -> anyhow::Result<Self> {
        let gates = args.feature_gates;
        let file = super::desired(document, namespace)?;
        let mut report = Self {
            namespace: file.namespace().to_owned(),
            name: file.name().to_owned(),
            origin: document.origin.clone(),
            exists: false,
            comparison: Comparison::default(),
            diff: String::new(),
            changes: Vec::new(),
            answer: None,
        };
        let resource = ApiResource::erase::<JobSet>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &report.namespace, &resource);
        let live = if document.name.is_empty() {
            None
        } else {
            api.get_opt(&report.name).await.map_err(cluster::plain)?
        };
        let dry = PostParams {
            dry_run: true,
            field_manager: Some("jobset".to_owned()),
        };
        let Some(live) = live else {
            let object: DynamicObject = serde_json::from_value(document.body.clone())?;
            report.answer = Some(Answer::to(api.create(&dry, &object).await));
            let mut body = document.body.clone();
            jobset_api::defaulting::default_value(&mut body);
            crate::manifest::default_jobset(&mut body);
            report.diff = lines::unified("", &super::to_yaml(&json!({"spec": body["spec"]}))?);
            report.changes = creations(&file, args);
            return Ok(report);
        };
        report.exists = true;
        let stored = serde_json::to_value(live)?;
        let Edition { live, new } = Edition::of(&stored, &document.body);
        report.comparison = compare::compare(&live, &new, gates)?;
        if report.comparison.judged.is_empty() {
            return Ok(report);
        }
        report.diff = lines::unified(&shown(&live)?, &shown(&new)?);
        let mut object: DynamicObject =
            serde_json::from_value(report.comparison.applied_to(&stored))?;
        let mut answer = api.replace(&report.name, &dry, &object).await;
        // The status of a running JobSet may change between reading and asking, any number of times.
        for _ in 0..CONFLICTS {
            if !matches!(&answer, Err(kube::Error::Api(status)) if status.code == 409) {
                break;
            }
            let now = api.get(&report.name).await.map_err(cluster::plain)?;
            object.metadata.resource_version = now.resource_version();
            answer = api.replace(&report.name, &dry, &object).await;
        }
        report.answer = Some(Answer::to(answer));
        if !report.is_refused() {
            let (live, new): (JobSet, JobSet) =
                (serde_json::from_value(live)?, serde_json::from_value(new)?);
            let around = surroundings(client, &live, &new)
                .await
                .map_err(cluster::plain)?;
            report.changes = compare::consequences(&live, &new, &around, gates, Timestamp::now());
        }
        Ok(report)
    }

    fn differs(&self) -> bool {
        !self.exists || !self.comparison.judged.is_empty()
    }

    /// The server has the last word, if it has one.
    fn is_refused(&self) -> bool {
        match &self.answer {
            Some(Answer::Accepts) => false,
            Some(Answer::Refuses(_)) => true,
            Some(Answer::Silent(_)) | None => !self.comparison.refusals.is_empty(),
        }
    }

    fn state(&self) -> &'static str {
        match (self.exists, self.differs()) {
            _ if self.is_refused() => "forbidden",
            (false, _) => "absent",
            (true, true) => "changed",
            (true, false) => "unchanged",
        }
    }
}

impl Answer {
    fn to<T>(result: kube::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Accepts,
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => {
                Self::Refuses(status.message.clone())
            }
            // A webhook's refusal, not a lack of rights.
            Err(kube::Error::Api(status))
                if status.code == 403 && status.message.contains("admission webhook") =>
            {
                Self::Refuses(status.message.clone())
            }
            Err(error) => Self::Silent(format!("{:#}", cluster::plain(error))),
        }
    }
}

/// The part of an object that people edit, as text.
fn shown(jobset: &Value) -> std::io::Result<String> {
    let meta = &jobset["metadata"];
    let mut part = json!({"metadata": {}, "spec": jobset["spec"]});
    for key in ["labels", "annotations"] {
        if let Some(map) = meta.get(key) {
            part["metadata"][key] = map.clone();
        }
    }
    super::to_yaml(&part)
}

/// All objects of a JobSet that does not exist.
fn creations(jobset: &JobSet, args: &RenderArgs) -> Vec<Change> {
    if !jobset.is_managed_here() {
        return Vec::new();
    }
    let rendered = render(jobset, &args.feature_gates);
    let name_of = |body: &Value| {
        let name = body["metadata"]["name"].as_str();
        name.unwrap_or_default().to_owned()
    };
    let change = |kind, name, note| Change {
        action: "create",
        kind,
        name,
        note,
    };
    let service = rendered.service.iter();
    let service = service.map(|body| change("Service", name_of(body), String::new()));
    let claims = rendered.claims.iter();
    let claims = claims.map(|body| change("PersistentVolumeClaim", name_of(body), String::new()));
    let jobs = rendered.roles.iter().flat_map(|role| {
        let note = super::waiting(role);
        (0..role.replicas).map(move |index| {
            let name = names::job_name(jobset.name(), role.name, index);
            change("Job", name, note.clone())
        })
    });
    service.chain(claims).chain(jobs).collect()
}

/// What the controller would see beside the JobSet.
async fn surroundings(client: &Client, live: &JobSet, new: &JobSet) -> kube::Result<Surroundings> {
    let namespace = live.namespace();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let label = format!("{}={}", jobset_api::constants::JOBSET_NAME_KEY, live.name());
    let all = jobs.list(&ListParams::default().labels(&label)).await?;
    let owned = all.items.iter().filter(|job| {
        let owners = job.metadata.owner_references.iter().flatten();
        owners
            .into_iter()
            .any(|owner| owner.controller == Some(true) && owner.uid == live.uid())
    });
    let mut around = Surroundings {
        jobs: owned.map(|job| Arc::new(ChildJob::from_job(job))).collect(),
        ..Surroundings::default()
    };
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    around.service = services.get_opt(names::subdomain(new)).await?.is_some();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let policies = new.spec.volume_claim_policies.iter();
    for template in policies.flat_map(|policy| &policy.templates) {
        let name = names::claim_name(ClaimTemplate::name(template), new.name());
        if claims.get_opt(&name).await?.is_some() {
            around.claims.insert(name);
        }
    }
    Ok(around)
}

fn print(reports: &[Report], output: RenderOutput) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        RenderOutput::Json => {
            let list: Vec<Value> = reports.iter().map(document).collect();
            serde_json::to_writer_pretty(&mut out, &json!({ "jobsets": list }))?;
            writeln!(out)?;
        }
        RenderOutput::Yaml => {
            let colored = style::enabled_on_stdout();
            for report in reports {
                out.write_all(text(report, colored).as_bytes())?;
            }
        }
    }
    Ok(())
}

fn document(report: &Report) -> Value {
    let edits: Vec<Value> = report
        .comparison
        .judged
        .iter()
        .flat_map(|judged| {
            let (verdict, reasons) = match &judged.verdict {
                Verdict::Allowed => ("allowed", &[][..]),
                Verdict::WhileSuspended(reasons) => ("whileSuspended", &reasons[..]),
                Verdict::Forbidden(reasons) => ("forbidden", &reasons[..]),
            };
            judged.edits.iter().map(move |edit| {
                json!({"path": edit.path(), "old": edit.old, "new": edit.new,
                    "verdict": verdict, "reasons": reasons})
            })
        })
        .collect();
    let server = report.answer.as_ref().map(|answer| match answer {
        Answer::Accepts => json!({"verdict": "accepts"}),
        Answer::Refuses(message) => json!({"verdict": "refuses", "message": message}),
        Answer::Silent(message) => json!({"verdict": "unknown", "message": message}),
    });
    json!({
        "namespace": report.namespace, "name": report.name, "file": report.origin,
        "state": report.state(), "edits": edits, "refusals": report.comparison.refusals,
        "objects": report.changes, "server": server,
    })
}

fn text(report: &Report, colored: bool) -> String {
    let head = match report.state() {
        "absent" => "does not exist; it would be created",
        "changed" => "differs",
        "unchanged" => "no difference",
        _ if report.exists => "differs, and the edit is forbidden",
        _ => "does not exist, and cannot be created",
    };
    let title = format!("JobSet {}/{}", report.namespace, report.name);
    let title = style::paint(&title, "1", colored);
    let mut text = format!("{title} ({}): {head}\n", report.origin);
    if !report.differs() {
        return text;
    }
    if report.exists {
        text.push_str(&format!("--- the cluster\n+++ {}\n", report.origin));
        for line in report.diff.lines() {
            let code = match line.as_bytes().first() {
                Some(b'-') => "31",
                Some(b'+') => "32",
                Some(b'@') => "36",
                _ => "0",
            };
            text.push_str(&style::paint(line, code, colored && code != "0"));
            text.push('\n');
        }
    }
    for judged in &report.comparison.judged {
        let (word, reasons) = match &judged.verdict {
            Verdict::Allowed => ("allowed:", &[][..]),
            Verdict::WhileSuspended(reasons) => ("only while suspended:", &reasons[..]),
            Verdict::Forbidden(reasons) => ("forbidden:", &reasons[..]),
        };
        for edit in &judged.edits {
            text.push_str(&format!("{word} {edit}\n"));
        }
        for reason in reasons {
            text.push_str(&format!("    {reason}\n"));
        }
    }
    for change in &report.changes {
        let mark = match change.action {
            "create" => '+',
            "delete" => '-',
            _ => '~',
        };
        text.push_str(&format!(
            "{mark} {} {} {}",
            change.action, change.kind, change.name
        ));
        if !change.note.is_empty() {
            text.push_str(&format!(" ({})", change.note));
        }
        text.push('\n');
    }
    if report.exists && report.changes.is_empty() && !report.is_refused() {
        text.push_str("no Job, Service or claim changes\n");
    }
    match &report.answer {
        Some(Answer::Refuses(message)) => {
            text.push_str(&format!("the server refuses it: {message}\n"));
        }
        Some(Answer::Accepts) if !report.comparison.refusals.is_empty() => {
            text.push_str(
                "the server would accept it all the same: it may have other feature gates\n",
            );
        }
        Some(Answer::Silent(message)) => {
            text.push_str(&format!("the server could not be asked: {message}\n"));
        }
        _ => {}
    }
    text
}
