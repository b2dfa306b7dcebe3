//! What the DNS server of Kubernetes answers about Pods.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};
use simple_dns::TYPE;

use super::{check_eq, scenarios};
use crate::dns::{Answer, DOMAIN, reverse};
use crate::kind::Kind;
use crate::mirror::State;
use crate::objects::{jobset, role, role_with, with};
use crate::world::World;

scenarios! { LIST, alone = false;
    "host-names-answered": "cluster DNS knows host names of Pods and no short ones" => host_names [ClusterDns, NoShortNames];
    "short-names-answered": "cluster DNS knows short names, and all others as before" => answered [ClusterDns, ShortNames];
    "short-names-answered-not-ready": "it leaves out Pods that are not ready where it should" => not_ready [ClusterDns, ShortNames];
    "short-names-answered-shared": "two JobSets with one Service" => shared [ClusterDns, ShortNames];
}

/// A Pod that runs.
struct Running {
    address: String,
    /// Its host name, if it has one.
    long: Option<String>,
    /// The short name of its own, if it has one, and that of its Job.
    short: Vec<String>,
}

/// The Pods of a JobSet that run in this attempt.
fn running(state: &State, jobset: &str, attempt: &str) -> Vec<Running> {
    let pods = state.all(Kind::Pod).map(|(_, pod)| pod);
    pods.filter(|pod| pod["status"]["phase"] == "Running")
        .filter_map(|pod| {
            let labels = &pod["metadata"]["labels"];
            let label = |key: &str| labels[format!("jobset.sigs.k8s.io/{key}")].as_str();
            if label("jobset-name") != Some(jobset) || label("restart-attempt") != Some(attempt) {
                return None;
            }
            let job = format!("{}-{}", label("replicatedjob-name")?, label("job-index")?);
            let index = labels["batch.kubernetes.io/job-completion-index"].as_str();
            let own = index.map(|index| format!("{job}-{index}"));
            Some(Running {
                address: pod["status"]["podIP"].as_str()?.to_owned(),
                long: pod["spec"]["hostname"].as_str().map(str::to_owned),
                short: own.into_iter().chain([job]).collect(),
            })
        })
        .collect()
}

/// Waits until so many Pods run in this attempt, each with an address that no other has.
async fn until_running(
    world: &World,
    jobset: &str,
    attempt: &str,
    count: usize,
) -> anyhow::Result<Vec<Running>> {
    let what = format!("{count} Pods of attempt {attempt} of {jobset} run");
    let pods = world
        .until(&what, |state| {
            let pods = running(state, jobset, attempt);
            (pods.len() == count).then_some(pods)
        })
        .await?;
    let addresses: BTreeSet<&str> = pods.iter().map(|pod| pod.address.as_str()).collect();
    check_eq!(addresses.len(), count, "addresses of {jobset}");
    Ok(pods)
}

/// The full name of a host of a Service, or of the Service itself.
fn full(world: &World, host: &str, service: &str) -> String {
    let dot = if host.is_empty() { "" } else { "." };
    format!("{host}{dot}{service}.{}.svc.{DOMAIN}", world.namespace())
}

/// Where all names of these Pods lead, long and short, and the Service's own.
fn book<'a>(
    world: &World,
    service: &str,
    pods: impl IntoIterator<Item = &'a Running>,
) -> BTreeMap<String, Answer> {
    let mut book: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Running {
        address,
        long,
        short,
    } in pods
    {
        let hosts = long.iter().chain(short).map(String::as_str).chain([""]);
        for host in hosts {
            let addresses = book.entry(full(world, host, service)).or_default();
            addresses.insert(address.clone());
        }
    }
    let answers = book.into_iter();
    answers
        .map(|(name, addresses)| (name, Answer::of(addresses)))
        .collect()
}

/// That all these names lead nowhere.
fn nowhere(book: &BTreeMap<String, Answer>) -> BTreeMap<String, Answer> {
    let names = book.keys().cloned();
    names.map(|name| (name, Answer::no_such_name())).collect()
}

async fn host_names(world: &World) -> anyhow::Result<()> {
    let dns = world.environment.dns()?;
    let two = json!({"template": {"spec": {"parallelism": 2, "completions": 2}}});
    world
        .create(&jobset("js", vec![role_with("worker", 1, &two)]))
        .await?;
    let mut pods = until_running(world, "js", "0", 2).await?;
    let short: BTreeMap<String, Answer> = pods
        .iter_mut()
        .flat_map(|pod| std::mem::take(&mut pod.short))
        .map(|name| (full(world, &name, "js"), Answer::no_such_name()))
        .collect();
    check_eq!(short.len(), 3, "short names");
    let long = book(world, "js", &pods);
    dns.until("host names lead to Pods", TYPE::A, &long).await?;
    for (name, answer) in &short {
        check_eq!(dns.ask(name, TYPE::A).await?, *answer, "{name}");
    }
    for pod in &pods {
        let back = dns.ask(&reverse(&pod.address)?, TYPE::PTR).await?;
        let name = pod.long.as_deref().context("no host name")?;
        check_eq!(back, Answer::of([full(world, name, "js")]), "reverse");
    }
    Ok(())
}

async fn answered(world: &World) -> anyhow::Result<()> {
    let dns = world.environment.dns()?;
    let two = json!({"template": {"spec": {"parallelism": 2, "completions": 2}}});
    let free = json!({"template": {"spec": {"completionMode": "NonIndexed"}}});
    let roles = vec![
        role("leader", 1),
        role_with("worker", 2, &two),
        role_with("free", 1, &free),
    ];
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    world.create(&with(jobset("js", roles), &spec)).await?;
    let pods = until_running(world, "js", "0", 6).await?;
    let first = book(world, "js", &pods);
    // 5 Pods with indices by long and by short name, 4 Jobs, and the Service.
    check_eq!(first.len(), 15, "names: {first:?}");
    dns.until("all names lead to Pods", TYPE::A, &first).await?;

    for name in ["worker-2", "leader-0-1", "free-0-0", "js-worker-0"] {
        let name = full(world, name, "js");
        let answer = dns.ask(&name, TYPE::A).await?;
        check_eq!(answer, Answer::no_such_name(), "{name}");
    }
    let leader = full(world, "leader-0", "js");
    let none = Answer::of([""; 0]);
    check_eq!(dns.ask(&leader, TYPE::AAAA).await?, none, "AAAA");
    for pod in &pods {
        backwards(world, pod).await?;
    }
    // A Service without ports tells of no hosts by SRV, whatever names these have.
    let service = full(world, "", "js");
    check_eq!(dns.ask(&service, TYPE::SRV).await?, none, "SRV");

    // A restart: other Pods, other addresses, the same names.
    world.finish_job("js-worker-0", 1).await?;
    let pods = until_running(world, "js", "1", 6).await?;
    let second = book(world, "js", &pods);
    ensure!(first.keys().eq(second.keys()), "{first:?} {second:?}");
    ensure!(first[&leader] != second[&leader], "{leader} is as it was");
    dns.until("names follow the restart", TYPE::A, &second)
        .await?;

    // Suspended: nobody has a name. Resumed: all have theirs again.
    world
        .patch("js", json!({"spec": {"suspend": true}}))
        .await?;
    let gone = nowhere(&second);
    dns.until("names go with the Pods", TYPE::A, &gone).await?;
    world
        .patch("js", json!({"spec": {"suspend": false}}))
        .await?;
    let pods = until_running(world, "js", "1", 6).await?;
    let third = book(world, "js", &pods);
    dns.until("names come with the Pods", TYPE::A, &third)
        .await?;

    world.user.delete(Kind::JobSet, "js", "background").await?;
    dns.until("names go with the JobSet", TYPE::A, &gone).await
}

/// An address leads back to all names of its Pod, each said once.
async fn backwards(world: &World, pod: &Running) -> anyhow::Result<()> {
    let names = pod.long.iter().chain(&pod.short);
    let mut names: Vec<String> = names.map(|name| full(world, name, "js")).collect();
    if pod.long.is_none() {
        // CoreDNS makes one up where a Pod has none.
        names.push(full(world, &pod.address.replace('.', "-"), "js"));
    }
    let expected = BTreeMap::from([(reverse(&pod.address)?, Answer::of(names))]);
    let what = "addresses lead back to names";
    let dns = world.environment.dns()?;
    dns.until(what, TYPE::PTR, &expected).await
}

/// Changes what the only Pod of a Job says of itself.
async fn set_ready(world: &World, job: &str, status: &str) -> anyhow::Result<()> {
    let pod = world.until_running(job).await?.remove(0);
    let path = format!("{}/{pod}/status", Kind::Pod.path(world.namespace()));
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    let kind = "strategic-merge-patch+json";
    world
        .user
        .send(Method::PATCH, &path, kind, &patch)
        .await
        .map(drop)
}

/// Waits until all slices of a Service say that no endpoint of it serves.
async fn until_none_serves(world: &World, service: &str) -> anyhow::Result<()> {
    let of_service =
        |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service;
    world
        .until(&format!("no endpoint of {service} serves"), |state| {
            let slices = state.all(Kind::Slice).map(|(_, slice)| slice);
            let mut endpoints = slices
                .filter(of_service)
                .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
                .peekable();
            endpoints.peek()?;
            endpoints
                .all(|endpoint| endpoint["conditions"]["serving"] == false)
                .then_some(())
        })
        .await
}

async fn not_ready(world: &World) -> anyhow::Result<()> {
    let dns = world.environment.dns()?;
    let early = jobset("early", vec![role("w", 1)]);
    world.create(&early).await?;
    let late = json!({"network": {"publishNotReadyAddresses": false}});
    let late = with(jobset("late", vec![role("w", 1)]), &late);
    world.create(&late).await?;
    let early = book(
        world,
        "early",
        &until_running(world, "early", "0", 1).await?,
    );
    let late = book(world, "late", &until_running(world, "late", "0", 1).await?);
    check_eq!([early.len(), late.len()], [4, 4], "names");
    let what = "names lead to Pods that are ready";
    dns.until(what, TYPE::A, &early).await?;
    dns.until(what, TYPE::A, &late).await?;

    // The server reads changes of slices in their order: when the names of `late` are gone, it
    // knows that the Pod of `early` is not ready, too.
    set_ready(world, "early-w-0", "False").await?;
    until_none_serves(world, "early").await?;
    set_ready(world, "late-w-0", "False").await?;
    let what = "names of Pods that are not ready are gone";
    dns.until(what, TYPE::A, &nowhere(&late)).await?;
    for (name, answer) in &early {
        check_eq!(dns.ask(name, TYPE::A).await?, *answer, "{name}");
    }
    set_ready(world, "late-w-0", "True").await?;
    dns.until("they are there again", TYPE::A, &late).await
}

/// Two JobSets that use this Service, one after the other; the Pods of both.
async fn two_with(world: &World, service: &str) -> anyhow::Result<[Running; 2]> {
    let label =
        json!({"template": {"spec": {"template": {"metadata": {"labels": {"uses": service}}}}}});
    let spec = json!({"network": {"subdomain": service}});
    let mut pods = Vec::new();
    for name in ["one", "two"].map(|name| format!("{service}-{name}")) {
        let roles = vec![role_with("w", 1, &label)];
        world.create(&with(jobset(&name, roles), &spec)).await?;
        pods.extend(until_running(world, &name, "0", 1).await?);
    }
    pods.try_into().ok().context("two JobSets have two Pods")
}

async fn shared(world: &World) -> anyhow::Result<()> {
    let dns = world.environment.dns()?;
    // A Service of the user's own, for the Pods of both.
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "common"},
        "spec": {"clusterIP": "None", "selector": {"uses": "common"}}});
    world.user.create(Kind::Service, &service).await?;
    let [one, two] = two_with(world, "common").await?;
    let both = book(world, "common", [&one, &two]);
    // Two long names, two short ones that both have, and the Service.
    check_eq!(both.len(), 5, "names: {both:?}");
    dns.until("names lead to the Pods of both", TYPE::A, &both)
        .await?;
    let background = "background";
    world
        .user
        .delete(Kind::JobSet, "common-one", background)
        .await?;
    let mut rest = nowhere(&both);
    rest.extend(book(world, "common", [&two]));
    dns.until("names lead to the Pod that is left", TYPE::A, &rest)
        .await?;

    // That of the first JobSet is not for the Pods of the second, which have short names alone.
    let [one, mut two] = two_with(world, "firsts").await?;
    let long = two.long.take().context("no host name")?;
    let long = full(world, &long, "firsts");
    let mut both = book(world, "firsts", [&one, &two]);
    both.insert(long, Answer::no_such_name());
    check_eq!(both.len(), 5, "names: {both:?}");
    dns.until("short names lead to the Pods of both", TYPE::A, &both)
        .await
}
