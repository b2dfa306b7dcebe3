use super::*;
use serde_json::json;

fn pod_name(n: u8) -> PodName {
    PodName {
        namespace: "ns".to_owned(),
        name: format!("p-{n}"),
        uid: n.to_string(),
    }
}

fn pod(n: u8, subdomain: Option<&str>) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": format!("p-{n}"), "namespace": "ns", "labels": {"app": "x"}},
        "spec": {"containers": [], "hostname": format!("h-{n}"), "subdomain": subdomain}
    }))
    .unwrap()
}

fn service(name: &str, publish: bool, cluster_ip: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"clusterIP": cluster_ip, "selector": {"app": "x"},
                 "publishNotReadyAddresses": publish}
    }))
    .unwrap()
}

fn names(directory: &tempfile::TempDir) -> Names {
    let mut names = Names::new(Some(directory.path().to_owned()), None);
    names.host = "127.0.0.1 localhost".to_owned();
    names
}

fn read(names: &Names) -> Vec<String> {
    let path = names.hosts_file("ns", &Pod::default()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn pods_and_services_resolve() {
    let directory = tempfile::tempdir().unwrap();
    let names = names(&directory);
    names.on_service(Event::Apply(service("svc", true, "None")));
    names.on_service(Event::Apply(service("vip", true, "10.0.0.1")));
    names.add(
        &pod_name(1),
        &pod(1, Some("svc")),
        Ipv4Addr::new(127, 9, 0, 1),
    );
    names.add(&pod_name(2), &pod(2, None), Ipv4Addr::new(127, 9, 0, 2));
    let service = "svc.ns.svc.cluster.local svc.ns.svc svc.ns svc";
    assert_eq!(
        read(&names),
        [
            format!(
                "127.9.0.1 h-1.svc.ns.svc.cluster.local h-1.svc.ns.svc h-1.svc.ns h-1.svc \
                 h-1 {service}"
            ),
            format!("127.9.0.2 h-2 {service}"),
        ]
    );
}

#[test]
fn unready_pods_are_published_only_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let names = names(&directory);
    names.on_service(Event::Apply(service("svc", false, "None")));
    names.add(
        &pod_name(1),
        &pod(1, Some("svc")),
        Ipv4Addr::new(127, 9, 0, 1),
    );
    assert_eq!(read(&names), ["127.9.0.1 h-1"]);
    names.set_ready(&pod_name(1), true);
    assert!(read(&names)[0].contains(" h-1.svc "));
    names.set_ready(&pod_name(1), false);
    assert_eq!(read(&names), ["127.9.0.1 h-1"]);
    names.remove(&pod_name(1));
    assert!(read(&names).is_empty());
}

/// Aliases by annotation: group, own alias, shared aliases.
fn with_aliases(directory: &tempfile::TempDir) -> Names {
    let mut names = names(directory);
    names.host = "127.0.0.1 localhost\n10.1.1.1 machine # leader-9\n".to_owned();
    names.aliases = Some(AliasRule::new(|pod| {
        let text = pod.metadata.annotations.as_ref()?.get("aliases")?;
        let mut words = text.split(' ').map(str::to_owned);
        Some(Aliases {
            group: words.next()?,
            own: words.next().filter(|own| own != "-"),
            shared: words.collect(),
        })
    }));
    names
}

fn aliased(n: u8, aliases: &str) -> Pod {
    let mut pod = pod(n, Some("svc"));
    let annotations = [("aliases".to_owned(), aliases.to_owned())];
    pod.metadata.annotations = Some(annotations.into());
    pod
}

/// What a name resolves to in such a Pod.
fn resolve(names: &Names, pod: &Pod, name: &str) -> Vec<String> {
    let path = names.hosts_file("ns", pod).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.split('#').next());
    let lines = lines.map(|line| line.split(' '));
    lines
        .filter(|line| line.clone().skip(1).any(|word| word == name))
        .map(|mut line| line.next().unwrap().to_owned())
        .collect()
}

#[test]
fn aliases_resolve_in_their_group_and_with_the_subdomain_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let names = with_aliases(&directory);
    names.on_service(Event::Apply(service("svc", true, "None")));
    let pods = [
        "a leader-0-0 leader-0",
        "a leader-0-1 leader-0",
        "b leader-0-0 leader-0",
    ];
    for (n, aliases) in (1..).zip(pods) {
        let address = Ipv4Addr::new(127, 9, 0, n);
        names.add(&pod_name(n), &aliased(n, aliases), address);
    }
    let (in_a, in_b) = (aliased(1, pods[0]), aliased(3, pods[2]));
    let of = |pod: &Pod, name: &str| resolve(&names, pod, name);
    assert_eq!(of(&in_a, "leader-0"), ["127.9.0.1", "127.9.0.2"]);
    assert_eq!(of(&in_a, "leader-0-0"), ["127.9.0.1"]);
    assert_eq!(of(&in_a, "leader-0-1"), ["127.9.0.2"]);
    assert_eq!(of(&in_b, "leader-0"), ["127.9.0.3"]);
    assert_eq!(of(&in_b, "leader-0-1"), [""; 0]);
    // A Pod without aliases, and everybody, by the name with the Service.
    let outside = pod(9, None);
    assert_eq!(of(&outside, "leader-0"), [""; 0]);
    for name in [
        "leader-0-1.svc",
        "leader-0-1.svc.ns",
        "leader-0-1.svc.ns.svc.cluster.local",
    ] {
        assert_eq!(of(&outside, name), ["127.9.0.2"], "{name}");
        assert_eq!(of(&in_b, name), ["127.9.0.2"], "{name}");
    }
    // Names of Kubernetes' own are where they were.
    assert_eq!(of(&in_a, "h-2"), ["127.9.0.2"]);
    assert_eq!(of(&in_a, "svc").len(), 3);
    // The Pod is replaced.
    names.remove(&pod_name(2));
    names.add(
        &pod_name(4),
        &aliased(4, pods[1]),
        Ipv4Addr::new(127, 9, 0, 4),
    );
    assert_eq!(of(&in_a, "leader-0-1"), ["127.9.0.4"]);
    assert_eq!(of(&outside, "leader-0-1.svc"), ["127.9.0.4"]);
}

#[test]
fn aliases_give_way() {
    let directory = tempfile::tempdir().unwrap();
    let names = with_aliases(&directory);
    names.on_service(Event::Apply(service("svc", true, "None")));
    names.on_service(Event::Apply(service("db", true, "None")));
    let pods = [
        "g h-2 db",
        "g x-0-1 machine",
        "g - x-0-1 localhost leader-9",
    ];
    for (n, aliases) in (1..).zip(pods) {
        let address = Ipv4Addr::new(127, 9, 0, n);
        names.add(&pod_name(n), &aliased(n, aliases), address);
    }
    let inside = aliased(1, pods[0]);
    let of = |name: &str| resolve(&names, &inside, name);
    // To a host name, with and without the Service, to a Service, and to the machine's names.
    assert_eq!(
        (of("h-2"), of("h-2.svc")),
        (vec!["127.9.0.2".to_owned()], of("h-2"))
    );
    assert_eq!(of("db").len(), 3);
    assert_eq!(of("machine"), ["10.1.1.1"]);
    assert_eq!(of("localhost"), ["127.0.0.1"]);
    // An alias of several gives way to one of a single Pod; a comment is no name.
    assert_eq!(
        (of("x-0-1"), of("x-0-1.svc")),
        (vec!["127.9.0.2".to_owned()], of("x-0-1"))
    );
    assert_eq!(of("leader-9"), ["127.9.0.3"]);
}

#[test]
fn aliases_are_published_when_the_host_name_is() {
    let directory = tempfile::tempdir().unwrap();
    let names = with_aliases(&directory);
    let inside = aliased(1, "g x-0-0 x-0");
    let of = |name: &str| resolve(&names, &inside, name);
    names.add(&pod_name(1), &inside, Ipv4Addr::new(127, 9, 0, 1));
    // Not without the Service, not before the Pod is ready.
    assert_eq!((of("x-0"), of("x-0.svc")), (vec![], vec![]));
    names.on_service(Event::Apply(service("svc", false, "None")));
    assert_eq!((of("x-0"), of("x-0.svc")), (vec![], vec![]));
    names.set_ready(&pod_name(1), true);
    assert_eq!((of("x-0").len(), of("x-0.svc").len()), (1, 1));
    names.set_ready(&pod_name(1), false);
    assert_eq!((of("x-0"), of("x-0.svc")), (vec![], vec![]));
    // Without a subdomain a Pod has no host name that anybody publishes.
    let mut without = aliased(2, "g y-0-0");
    without.spec.as_mut().unwrap().subdomain = None;
    names.add(&pod_name(2), &without, Ipv4Addr::new(127, 9, 0, 2));
    names.set_ready(&pod_name(2), true);
    assert_eq!(of("y-0-0"), [""; 0]);
}

#[test]
fn a_group_that_is_no_name_of_a_directory_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let names = with_aliases(&directory);
    let common = names.hosts_file("ns", &pod(1, None)).unwrap();
    for group in ["..", "../x", ".x", "a/b", ""] {
        let pod = aliased(1, &format!("{group} x-0-0"));
        assert_eq!(names.hosts_file("ns", &pod).unwrap(), common, "{group:?}");
    }
    let own = names.hosts_file("ns", &aliased(1, "a.b x-0-0")).unwrap();
    assert_ne!(own, common);
}

#[test]
fn a_file_keeps_its_inode_and_shrinks() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let names = names(&directory);
    names.add(&pod_name(1), &pod(1, None), Ipv4Addr::new(127, 9, 0, 1));
    let path = names.hosts_file("ns", &Pod::default()).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    names.remove(&pod_name(1));
    assert!(read(&names).is_empty());
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn services_that_a_new_list_lacks_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let names = names(&directory);
    names.on_service(Event::Apply(service("a", true, "None")));
    names.on_service(Event::Apply(service("b", true, "None")));
    names.add(&pod_name(1), &pod(1, None), Ipv4Addr::new(127, 9, 0, 1));
    names.on_service(Event::Init);
    names.on_service(Event::InitApply(service("b", true, "None")));
    names.on_service(Event::InitDone);
    let lines = read(&names);
    assert!(
        lines[0].ends_with(" b") && !lines[0].contains(" a"),
        "{lines:?}"
    );
}

#[test]
fn without_a_directory_nothing_is_kept() {
    let names = Names::new(None, None);
    names.add(&pod_name(1), &pod(1, None), Ipv4Addr::LOCALHOST);
    assert!(names.namespaces().is_empty() && names.hosts_file("ns", &Pod::default()).is_err());
}
