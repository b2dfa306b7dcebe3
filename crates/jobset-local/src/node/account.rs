//! How containers reach the API: what Kubernetes gives to a Pod's service account, so that clients
//! find their way as in any other cluster.
//!
//! `KUBERNETES_SERVICE_HOST` and `_PORT` name the server; token, certificate authority and namespace
//! are files at the usual path, unless the Pod has `automountServiceAccountToken: false`. Where
//! nothing can be mounted, `KUBECONFIG` names a file that says the same.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::json;

use crate::sandbox::protocol::Mount;

/// Where clients look.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the API is reached from containers.
#[derive(Clone)]
pub struct ApiAccess {
    /// Where it is served.
    pub address: SocketAddr,
    /// Its certificate authority, in PEM.
    pub ca: String,
    /// A bearer token: a secret.
    pub token: String,
}

impl std::fmt::Debug for ApiAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token must not reach a log.
        f.debug_struct("ApiAccess")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a container gets.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) mount: Option<Mount>,
}

/// The service accounts of all namespaces.
#[derive(Debug)]
pub(crate) struct Accounts {
    api: ApiAccess,
    directory: PathBuf,
}

impl Accounts {
    pub(crate) fn new(api: ApiAccess, directory: PathBuf) -> Self {
        Self { api, directory }
    }

    /// What this container gets; a mount only if it is `isolated`.
    pub(crate) fn of(
        &self,
        pod: &Pod,
        container: &Container,
        namespace: &str,
        isolated: bool,
    ) -> io::Result<Account> {
        let port = self.api.address.port().to_string();
        let mut variables = vec![
            (
                "KUBERNETES_SERVICE_HOST".to_owned(),
                self.api.address.ip().to_string(),
            ),
            ("KUBERNETES_SERVICE_PORT".to_owned(), port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), port),
        ];
        let spec = pod.spec.as_ref();
        if spec.and_then(|spec| spec.automount_service_account_token) == Some(false) {
            return Ok(Account {
                variables,
                mount: None,
            });
        }
        let source = self.files(namespace)?;
        if !isolated {
            let file = source.join(KUBECONFIG).to_string_lossy().into_owned();
            variables.push(("KUBECONFIG".to_owned(), file));
            return Ok(Account {
                variables,
                mount: None,
            });
        }
        let mounts = container.volume_mounts.iter().flatten();
        let own = mounts
            .map(|mount| Path::new(&mount.mount_path))
            .any(|path| path == Path::new(MOUNT_PATH));
        let mount = (!own).then(|| Mount {
            source,
            target: MOUNT_PATH.into(),
            read_only: true,
            optional: false,
        });
        Ok(Account { variables, mount })
    }

    /// The directory with the files of a namespace's accounts: all of them are the administrator.
    fn files(&self, namespace: &str) -> io::Result<PathBuf> {
        let directory = self.directory.join(namespace);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made?;
        let kubeconfig = self.kubeconfig(namespace);
        for (name, text) in [
            ("ca.crt", self.api.ca.as_str()),
            ("token", &self.api.token),
            ("namespace", namespace),
            (KUBECONFIG, &kubeconfig),
        ] {
            let path = directory.join(name);
            if path.exists() {
                continue;
            }
            // Whole or not there: several containers may start at once.
            let mut file = tempfile::Builder::new().make_in(&directory, |path| {
                fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
            })?;
            file.write_all(text.as_bytes())?;
            file.persist(&path)?;
        }
        Ok(directory)
    }

    /// JSON, which is YAML.
    fn kubeconfig(&self, namespace: &str) -> String {
        let name = "pod";
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {
                "server": format!("https://{}", self.api.address),
                "certificate-authority": "ca.crt",
            }}],
            "users": [{"name": name, "user": {"tokenFile": "token"}}],
            "contexts": [{"name": name, "context": {
                "cluster": name, "user": name, "namespace": namespace,
            }}],
        });
        format!("{config:#}\n")
    }
}

/// The file's name.
const KUBECONFIG: &str = "kubeconfig";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn accounts(directory: &Path) -> Accounts {
        let api = ApiAccess {
            address: ([127, 0, 0, 1], 6443).into(),
            ca: "the authority".to_owned(),
            token: "secret".to_owned(),
        };
        Accounts::new(api, directory.join("accounts"))
    }

    fn parts(pod: serde_json::Value, mounts: serde_json::Value) -> (Pod, Container) {
        let pod = json!({"spec": pod});
        let container = json!({"name": "c", "volumeMounts": mounts});
        (
            serde_json::from_value(pod).unwrap(),
            serde_json::from_value(container).unwrap(),
        )
    }

    #[test]
    fn files_are_where_clients_look() {
        let directory = tempfile::tempdir().unwrap();
        let accounts = accounts(directory.path());
        assert!(!format!("{accounts:?}").contains("secret"));
        let (pod, container) = parts(json!({"containers": []}), json!([]));
        for _ in 0..2 {
            let Account { variables, mount } = accounts.of(&pod, &container, "ns", true).unwrap();
            let mount = mount.unwrap();
            assert_eq!(mount.target, Path::new(MOUNT_PATH));
            assert!(mount.read_only && !mount.optional);
            assert_eq!(variables[0].1, "127.0.0.1");
            assert_eq!(variables[1].1, "6443");
            assert_eq!(variables.len(), 3);
            for (file, text) in [
                ("ca.crt", "the authority"),
                ("token", "secret"),
                ("namespace", "ns"),
            ] {
                let path = mount.source.join(file);
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }

    #[test]
    fn what_cannot_be_mounted_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let accounts = accounts(directory.path());
        let (pod, container) = parts(json!({"containers": []}), json!([]));
        let Account { variables, mount } = accounts.of(&pod, &container, "ns", false).unwrap();
        assert_eq!(mount, None);
        let (name, file) = variables.last().unwrap();
        assert_eq!(name, "KUBECONFIG");
        let read = kube::config::Kubeconfig::read_from(file).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("pod"));
    }

    #[test]
    fn a_pod_may_do_without() {
        let directory = tempfile::tempdir().unwrap();
        let accounts = accounts(directory.path());
        for (pod, mounts) in [
            (
                json!({"containers": [], "automountServiceAccountToken": false}),
                json!([]),
            ),
            (
                json!({"containers": []}),
                json!([{"name": "v", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount/"}]),
            ),
        ] {
            let (pod, container) = parts(pod, mounts);
            let Account { variables, mount } = accounts.of(&pod, &container, "ns", true).unwrap();
            assert_eq!((variables.len(), mount), (3, None));
        }
    }
}
