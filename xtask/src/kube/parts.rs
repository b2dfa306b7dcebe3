//! The four programs of a control plane and how each is started.

use std::{
    env,
    ffi::OsString,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{CONTROL_PLANE, files::Files};

/// In the order in which they are started.
pub(crate) const NAMES: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// A program, ready to be started.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) port: u16,
    /// Path that answers 200 when it is of use.
    pub(crate) health: &'static str,
}

/// Flag that says which controllers run.
const CONTROLLERS: &str = "--controllers=";

/// What is left to whoever starts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Args)]
pub(crate) struct Choice {
    /// Leave out the Job controller: Jobs stay as they are, without Pods.
    #[arg(long)]
    pub(crate) without_job_controller: bool,
}

impl Choice {
    fn controllers(self) -> &'static str {
        if self.without_job_controller {
            "*,-job-controller"
        } else {
            "*"
        }
    }

    /// What was chosen for a controller manager with these arguments, each ended by a zero byte as
    /// in /proc.
    pub(crate) fn of(arguments: &str) -> Self {
        let mut flags = arguments.split('\0');
        let controllers = flags.find_map(|flag| flag.strip_prefix(CONTROLLERS));
        Self {
            without_job_controller: controllers.is_some_and(|c| c.contains("-job-controller")),
        }
    }
}

/// Finds all programs, or builds them.
pub(crate) fn find() -> anyhow::Result<[Vec<OsString>; 4]> {
    let assets = env::var_os("KUBEBUILDER_ASSETS")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let mut commands = [const { Vec::new() }; 4];
    for (command, name) in commands.iter_mut().zip(NAMES) {
        *command = find_one(assets.as_deref(), name)?;
    }
    Ok(commands)
}

/// The command of a program: a file of that name, or the one file with all of them in it.
fn find_one(assets: Option<&Path>, name: &str) -> anyhow::Result<Vec<OsString>> {
    if let Some(folder) = assets {
        let file = folder.join(name);
        if file.is_file() {
            return Ok(vec![file.into()]);
        }
        // The usual set of assets has these two and kubectl, nothing else.
        if matches!(name, "etcd" | "kube-apiserver") {
            bail!(
                "KUBEBUILDER_ASSETS is set, but there is no {}",
                file.display()
            );
        }
    }
    let file = CONTROL_PLANE
        .built()
        .with_context(|| format!("cannot provide {name}"))?;
    Ok(vec![file.into(), name.into()])
}

/// Decides about ports and flags.
pub(crate) fn plan(
    files: &Files,
    data: &Path,
    commands: [Vec<OsString>; 4],
    choice: Choice,
) -> anyhow::Result<[Part; 4]> {
    let [etcd, etcd_peer, api, controllers, scheduler] = free_ports()?;
    let flags = [
        etcd_flags(files, data, etcd, etcd_peer),
        apiserver_flags(files, etcd, api),
        [
            component_flags(files, "kube-controller-manager", controllers),
            vec![
                "--use-service-account-credentials=true".to_owned(),
                format!(
                    "--service-account-private-key-file={}",
                    files.pem("tokens.key")
                ),
                format!("--root-ca-file={}", files.pem("ca.crt")),
                // Tests must not wait for a client that holds itself back.
                "--kube-api-qps=1000".to_owned(),
                "--kube-api-burst=2000".to_owned(),
                "--concurrent-job-syncs=20".to_owned(),
                format!("{CONTROLLERS}{}", choice.controllers()),
            ],
        ]
        .concat(),
        [
            component_flags(files, "kube-scheduler", scheduler),
            vec![
                "--kube-api-qps=1000".to_owned(),
                "--kube-api-burst=2000".to_owned(),
            ],
        ]
        .concat(),
    ];
    let ports = [etcd, api, controllers, scheduler];
    let health = ["/health", "/readyz", "/healthz", "/healthz"];
    let mut parts = Vec::new();
    for ((((name, command), flags), port), health) in NAMES
        .into_iter()
        .zip(commands)
        .zip(flags)
        .zip(ports)
        .zip(health)
    {
        let mut words = command.into_iter();
        let program = words.next().context("a command without a program")?.into();
        let first = words.map(|word| word.to_string_lossy().into_owned());
        parts.push(Part {
            name,
            program,
            arguments: first.chain(flags).collect(),
            port,
            health,
        });
    }
    parts
        .try_into()
        .ok()
        .context("a control plane has four parts")
}

fn etcd_flags(files: &Files, data: &Path, port: u16, peer: u16) -> Vec<String> {
    let (clients, peers) = (local(port), local(peer));
    let mut flags = vec![
        format!("--data-dir={}", data.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--client-cert-auth".to_owned(),
        "--peer-client-cert-auth".to_owned(),
        "--log-level=warn".to_owned(),
        // Nothing of it has to survive the machine.
        "--unsafe-no-fsync".to_owned(),
        format!("--quota-backend-bytes={}", 4_u64 << 30),
    ];
    for side in ["", "peer-"] {
        flags.push(format!("--{side}trusted-ca-file={}", files.pem("ca.crt")));
        flags.push(format!("--{side}cert-file={}", files.pem("etcd.crt")));
        flags.push(format!("--{side}key-file={}", files.pem("etcd.key")));
    }
    flags
}

fn apiserver_flags(files: &Files, etcd: u16, port: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers={}", local(etcd)),
        format!("--etcd-cafile={}", files.pem("ca.crt")),
        format!("--etcd-certfile={}", files.pem("etcd-client.crt")),
        format!("--etcd-keyfile={}", files.pem("etcd-client.key")),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address may not be an endpoint of the Service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", files.pem("kube-apiserver.crt")),
        format!("--tls-private-key-file={}", files.pem("kube-apiserver.key")),
        format!("--client-ca-file={}", files.pem("ca.crt")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", files.pem("tokens.pub")),
        format!(
            "--service-account-signing-key-file={}",
            files.pem("tokens.key")
        ),
        "--allow-privileged=true".to_owned(),
    ]
}

/// What controller manager and scheduler have in common.
fn component_flags(files: &Files, name: &str, port: u16) -> Vec<String> {
    let kubeconfig = files.kubeconfig_of(name).display().to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", files.pem(&format!("{name}.crt"))),
        format!(
            "--tls-private-key-file={}",
            files.pem(&format!("{name}.key"))
        ),
        format!("--client-ca-file={}", files.pem("ca.crt")),
        "--leader-elect=false".to_owned(),
    ]
}

pub(crate) fn local(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

/// Ports that are free now. All are held until all are known, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let mut ports = free_ports::<8>().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
    }

    #[test]
    fn choices_are_found_again() {
        for without_job_controller in [false, true] {
            let choice = Choice {
                without_job_controller,
            };
            let flag = format!("{CONTROLLERS}{}", choice.controllers());
            let arguments = ["kube-controller-manager", &flag, "--v=1", ""].join("\0");
            assert_eq!(Choice::of(&arguments), choice);
        }
        assert_eq!(Choice::of(""), Choice::default());
    }

    #[test]
    fn assets_come_first() {
        let folder = std::env::temp_dir().join(format!("assets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("etcd"), "").unwrap();
        let etcd = find_one(Some(&folder), "etcd").unwrap();
        assert_eq!(etcd, [folder.join("etcd").into_os_string()]);
        let error = find_one(Some(&folder), "kube-apiserver").unwrap_err();
        assert!(error.to_string().contains("KUBEBUILDER_ASSETS"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
