//! Finding the cluster.

use std::io::ErrorKind;

use k8s_openapi::NamespaceResourceScope;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource};

use crate::args::ConnectionArgs;

/// A cluster and the namespace to look into.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Connection {
    /// The objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A client for the cluster, found as kubectl finds it, and the namespace to use.
pub(crate) async fn connect(args: &ConnectionArgs) -> anyhow::Result<Connection> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(not_found)?;
            Config::from_custom_kubeconfig(file, &options).await
        }
        None if args.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            return Ok(finish(Config::infer().await?, args)?);
        }
        None => Config::from_kubeconfig(&options).await,
    };
    let config = config.map_err(not_found)?;
    Ok(finish(config, args)?)
}

/// Why there is no cluster, and how to have one.
fn not_found(error: KubeconfigError) -> anyhow::Error {
    match error {
        KubeconfigError::ReadConfig(error, path) if error.kind() == ErrorKind::NotFound => {
            anyhow::anyhow!(
                "cannot find the cluster: there is no kubeconfig {}; name one with --kubeconfig or \
                 KUBECONFIG, or run a cluster here with: jobset up",
                path.display()
            )
        }
        other => anyhow::Error::new(other).context("cannot find the cluster: no usable kubeconfig"),
    }
}

fn finish(config: Config, args: &ConnectionArgs) -> kube::Result<Connection> {
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    Ok(Connection {
        client: Client::try_from(config)?,
        namespace,
    })
}

/// An error of the client in the server's own words, if it has any.
pub(crate) fn plain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!("{}", in_words(&status.message)),
        other => other.into(),
    }
}

/// What the server says, and what to do about it where it does not say that itself.
fn in_words(message: &str) -> String {
    let message = message.trim_end();
    let webhook = message
        .split_once("failed calling webhook \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    match webhook {
        Some((name, why)) => format!(
            "the admission webhook \"{name}\" does not answer{why}; see whether its Pods are running: \
             kubectl get pods --all-namespaces"
        ),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_is_not_there_is_named_and_what_to_do() {
        let missing = Kubeconfig::read_from("/nowhere/config").unwrap_err();
        assert_eq!(
            format!("{:#}", not_found(missing)),
            "cannot find the cluster: there is no kubeconfig /nowhere/config; name one with --kubeconfig or \
             KUBECONFIG, or run a cluster here with: jobset up"
        );
        let wrong = KubeconfigError::LoadContext("b".to_owned());
        assert!(format!("{:#}", not_found(wrong)).contains("no usable kubeconfig: "));
    }

    #[test]
    fn a_webhook_that_does_not_answer_is_named() {
        let said = "Internal error occurred: failed calling webhook \"v.io\": failed to call webhook: \
                    Post \"https://a/b?timeout=5s\": connection refused\n";
        assert_eq!(
            in_words(said),
            "the admission webhook \"v.io\" does not answer: failed to call webhook: Post \
             \"https://a/b?timeout=5s\": connection refused; see whether its Pods are running: kubectl \
             get pods --all-namespaces"
        );
        assert_eq!(in_words("jobs is forbidden\n"), "jobs is forbidden");
    }
}
