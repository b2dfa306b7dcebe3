//! Where the things of the one control plane of this checkout are.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// The folder of a control plane.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of this checkout; creates the folder.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let folder = crate::root().join("target/kube");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.folder.join("pki")
    }

    /// One kind of certificate or key.
    pub(crate) fn pem(&self, name: &str) -> String {
        self.pki().join(name).display().to_string()
    }

    /// Of the administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("admin")
    }

    /// Of one of the identities.
    pub(crate) fn kubeconfig_of(&self, identity: &str) -> PathBuf {
        self.folder.join(format!("{identity}.kubeconfig"))
    }

    /// Output of a program, kept after its end.
    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{program}.log"))
    }

    /// Says which process a program is.
    pub(crate) fn pid(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.pid"))
    }

    /// Holds what the last `up` has chosen.
    fn data_link(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes a folder in memory, if there is such a place, for what need not outlive the machine.
    pub(crate) fn make_data(&self) -> anyhow::Result<PathBuf> {
        self.remove_data()?;
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let data = base.join(format!("jobset-kube-{}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        builder
            .mode(0o700)
            .create(&data)
            .with_context(|| data.display().to_string())?;
        std::os::unix::fs::symlink(&data, self.data_link())?;
        Ok(data)
    }

    /// Removes that folder, if there is one.
    pub(crate) fn remove_data(&self) -> anyhow::Result<()> {
        let link = self.data_link();
        let Ok(data) = fs::read_link(&link) else {
            return Ok(());
        };
        let name = data.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("jobset-kube-") {
            bail!(
                "{} leads to {}, which is not ours",
                link.display(),
                data.display()
            );
        }
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
        }
        fs::remove_file(&link).with_context(|| link.display().to_string())
    }

    /// Removes the secrets and makes room for new logs.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        for folder in [self.pki(), self.folder.join("logs")] {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
            }
        }
        fs::create_dir_all(self.folder.join("logs"))?;
        Ok(())
    }

    /// Writes the kubeconfig of an identity. JSON, which is YAML.
    pub(crate) fn write_kubeconfig(&self, identity: &str, server: &str) -> anyhow::Result<()> {
        let data = |file: String| -> anyhow::Result<String> {
            let path = self.pki().join(file);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Ok(STANDARD.encode(bytes))
        };
        let name = "jobset-kube";
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {
                "server": server, "certificate-authority-data": data("ca.crt".to_owned())?,
            }}],
            "users": [{"name": identity, "user": {
                "client-certificate-data": data(format!("{identity}.crt"))?,
                "client-key-data": data(format!("{identity}.key"))?,
            }}],
            "contexts": [{"name": name, "context": {
                "cluster": name, "user": identity, "namespace": "default",
            }}],
        });
        write_private(&self.kubeconfig_of(identity), &format!("{config:#}\n"))
    }
}

/// Writes a file that only its owner can read, replacing an old one in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}
