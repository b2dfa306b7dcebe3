//! The user's side: kubectl where there is one, else the same requests by hand.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::kind::Kind;

/// A kubectl and how it finds the cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// Tells it where the cluster is.
    pub kubeconfig: PathBuf,
    /// Where it keeps what it has learned.
    pub home: PathBuf,
}

impl Kubectl {
    /// Runs a command; returns what it prints.
    ///
    /// # Errors
    /// When it fails: with what it says.
    pub async fn run(&self, arguments: &[&str], input: Option<&Value>) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start kubectl")?;
        if let Some(mut stdin) = child.stdin.take()
            && let Some(input) = input
        {
            // It may refuse before it has read everything.
            let _ = stdin.write_all(input.to_string().as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Kind of a patch.
#[derive(Clone, Copy, Debug)]
pub enum PatchKind {
    /// RFC 7396.
    Merge,
    /// RFC 6902.
    Json,
}

/// Somebody who works in one namespace.
#[derive(Clone)]
pub struct User {
    /// Present where kubectl is.
    pub kubectl: Option<Kubectl>,
    /// For what kubectl is not needed for.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl User {
    /// Creates an object.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, kind: Kind, object: &Value) -> anyhow::Result<()> {
        if let Some(kubectl) = &self.kubectl {
            let arguments = ["create", "--namespace", &self.namespace, "-f", "-"];
            return kubectl.run(&arguments, Some(object)).await.map(drop);
        }
        self.send(Method::POST, &kind.path(&self.namespace), "json", object)
            .await
            .map(drop)
    }

    /// Changes an object.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn patch(
        &self,
        kind: Kind,
        name: &str,
        how: PatchKind,
        patch: &Value,
    ) -> anyhow::Result<()> {
        if let Some(kubectl) = &self.kubectl {
            let how = match how {
                PatchKind::Merge => "merge",
                PatchKind::Json => "json",
            };
            let (kind, patch) = (kind.argument(), patch.to_string());
            let arguments = [
                "patch",
                "--namespace",
                &self.namespace,
                &kind,
                name,
                "--type",
                how,
                "--patch",
                &patch,
            ];
            return kubectl.run(&arguments, None).await.map(drop);
        }
        let how = match how {
            PatchKind::Merge => "merge-patch+json",
            PatchKind::Json => "json-patch+json",
        };
        let path = format!("{}/{name}", kind.path(&self.namespace));
        self.send(Method::PATCH, &path, how, patch).await.map(drop)
    }

    /// Deletes an object; `cascade` is `background`, `foreground` or `orphan`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn delete(&self, kind: Kind, name: &str, cascade: &str) -> anyhow::Result<()> {
        if let Some(kubectl) = &self.kubectl {
            let (kind, cascade) = (kind.argument(), format!("--cascade={cascade}"));
            let arguments = [
                "delete",
                "--namespace",
                &self.namespace,
                &kind,
                name,
                &cascade,
                "--wait=false",
            ];
            return kubectl.run(&arguments, None).await.map(drop);
        }
        let policy = match cascade {
            "foreground" => "Foreground",
            "orphan" => "Orphan",
            _ => "Background",
        };
        let path = format!("{}/{name}", kind.path(&self.namespace));
        let body = json!({"propagationPolicy": policy});
        self.send(Method::DELETE, &path, "json", &body)
            .await
            .map(drop)
    }

    /// A request without kubectl.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let body = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body)?,
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", format!("application/{content_type}"))
            .body(body)?;
        self.client
            .request(request)
            .await
            .with_context(|| format!("{method} {path}"))
    }
}
