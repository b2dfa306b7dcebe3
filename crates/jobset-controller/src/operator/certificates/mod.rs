//! The certificates of the webhooks, made and kept by the operator itself.
//!
//! They live in a Secret that must exist; every replica checks it, at the start, every twelve hours,
//! and whenever the Secret or a webhook configuration changes. What is missing or would not be good
//! in ninety days is replaced; of two replicas that do so at once, one gets a conflict and takes
//! what the other has made. The authority's certificate is written into both webhook configurations.
//!
//! The server takes the certificate from here, not from the files that the kubelet projects, and so
//! need not wait for them.
//!
//! Keys are ECDSA P-256 where the reference has RSA 2048: smaller, quicker, and what the
//! cryptography library can generate. Its RSA keys are read and used until they are due.

pub(crate) mod issue;
mod pkcs8;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt as _, stream};
use jobset_controller::webhook::Certificates;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use rustls::pki_types::UnixTime;
use serde_json::Value;

use self::issue::{Material, Verdict};

/// Time between two checks when nothing changes.
const CHECK_INTERVAL: Duration = Duration::from_hours(12);
/// First pause after a failed check; doubles up to the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// Pauses between attempts to write what somebody else writes too: 10 ms, doubling, ten times.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);
const CONFLICT_TRIES: u32 = 10;

/// Webhook configurations that get the authority's certificate.
const VALIDATING: &str = "jobset-validating-webhook-configuration";
const MUTATING: &str = "jobset-mutating-webhook-configuration";

/// What is managed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) secret: String,
    pub(crate) service: String,
}

impl Settings {
    /// The name by which the API server calls the webhooks.
    pub(crate) fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }
}

/// Why a check failed. The next one may succeed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the Secret {0} does not exist; it has to be created (empty) with the installation")]
    NoSecret(String),
    #[error("{doing}: {error}")]
    Api {
        doing: &'static str,
        error: Box<kube::Error>,
    },
    #[error("cannot make a certificate: {0}")]
    Issue(String),
}

fn api(doing: &'static str) -> impl Fn(kube::Error) -> Error {
    move |error| Error::Api {
        doing,
        error: Box::new(error),
    }
}

/// Makes and keeps the certificates.
pub(crate) struct Manager {
    settings: Settings,
    secrets: Api<DynamicObject>,
    configurations: [(&'static str, Api<DynamicObject>); 2],
}

impl Manager {
    pub(crate) fn new(client: &Client, settings: Settings) -> Self {
        let secret = ApiResource::erase::<Secret>(&());
        let validating = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
        let mutating = ApiResource::erase::<MutatingWebhookConfiguration>(&());
        Self {
            secrets: Api::namespaced_with(client.clone(), &settings.namespace, &secret),
            configurations: [
                (VALIDATING, Api::all_with(client.clone(), &validating)),
                (MUTATING, Api::all_with(client.clone(), &mutating)),
            ],
            settings,
        }
    }

    /// Checks for ever, and has `serving` serve what is found or made. `checked` is told of each check
    /// whether everything is as it should be now.
    pub(crate) async fn run(&self, serving: &Certificates, checked: impl Fn(Result<(), ()>)) {
        let mut changes = self.changes();
        let mut retry = RETRY;
        loop {
            let wait = match self.check(serving).await {
                Ok(()) => {
                    checked(Ok(()));
                    retry = RETRY;
                    CHECK_INTERVAL
                }
                Err(error) => {
                    checked(Err(()));
                    tracing::error!(%error, "the webhooks' certificates are not as they should be");
                    let wait = retry.mul_f64(1.0 + fastrand::f64());
                    retry = (retry * 2).min(LONGEST_RETRY);
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = changes.next() => {}
            }
        }
    }

    /// Changes of the Secret and of the webhook configurations.
    fn changes(&self) -> impl Stream<Item = ()> + Send + Unpin + use<> {
        let watched = self
            .configurations
            .iter()
            .map(|(name, api)| (*name, api))
            .chain([(self.settings.secret.as_str(), &self.secrets)]);
        let streams: Vec<_> = watched
            .map(|(name, api)| {
                let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
                watcher(api.clone(), config)
                    .default_backoff()
                    .filter_map(|event| {
                        let told = matches!(
                            event,
                            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_))
                        );
                        std::future::ready(told.then_some(()))
                    })
                    .boxed()
            })
            .collect();
        stream::select_all(streams)
    }

    async fn check(&self, serving: &Certificates) -> Result<(), Error> {
        let material = self.ensure().await?;
        for (name, api) in &self.configurations {
            self.inject(name, api, &material.ca_cert).await?;
        }
        // After the injection: whoever is called has its authority trusted already.
        let new = serving
            .set(&material.cert, &material.key)
            .map_err(|error| Error::Issue(error.to_string()))?;
        if new {
            tracing::info!("serving the certificate of the Secret");
        }
        Ok(())
    }

    /// The certificates in the Secret, after they were made good if they were not.
    async fn ensure(&self) -> Result<Material, Error> {
        let name = &self.settings.secret;
        let mut pause = CONFLICT_PAUSE;
        for attempt in 1.. {
            let secret = self
                .secrets
                .get_opt(name)
                .await
                .map_err(api("cannot read the Secret"))?;
            let Some(mut secret) = secret else {
                let full_name = format!("{}/{name}", self.settings.namespace);
                return Err(Error::NoSecret(full_name));
            };
            let stored = read(&secret);
            let Some(fresh) = self.due(&stored)? else {
                return Ok(stored);
            };
            write(&mut secret, &fresh);
            match self
                .secrets
                .replace(name, &PostParams::default(), &secret)
                .await
            {
                Ok(_) => {
                    tracing::info!(secret = name, "wrote new certificates");
                    return Ok(fresh);
                }
                Err(kube::Error::Api(status))
                    if status.is_conflict() && attempt < CONFLICT_TRIES =>
                {
                    tracing::debug!("another replica has written the Secret");
                }
                Err(error) => return Err(api("cannot write the Secret")(error)),
            }
            tokio::time::sleep(pause.mul_f64(1.0 + fastrand::f64())).await;
            pause *= 2;
        }
        // The loop has no end but those within.
        Err(Error::Issue("too many attempts".to_owned()))
    }

    /// New certificates in place of these, if they are due.
    fn due(&self, stored: &Material) -> Result<Option<Material>, Error> {
        let name = self.settings.server_name();
        let now = UnixTime::now();
        let issue = |error: rcgen::Error| Error::Issue(error.to_string());
        match issue::judge(stored, &name, now) {
            Verdict::Good => Ok(None),
            Verdict::RenewServer(reason) => {
                tracing::info!(reason, "making a new certificate");
                let renewed = issue::renew(stored.clone(), &name, now).or_else(|error| {
                    tracing::warn!(error, "this authority cannot sign; making a new one");
                    issue::create(&name, now).map_err(issue)
                })?;
                Ok(Some(renewed))
            }
            Verdict::RenewAll(reason) => {
                tracing::info!(reason, "making a new certificate authority");
                issue::create(&name, now).map(Some).map_err(issue)
            }
        }
    }

    /// Writes the authority's certificate into each webhook of a configuration.
    async fn inject(
        &self,
        name: &str,
        configurations: &Api<DynamicObject>,
        ca_cert: &[u8],
    ) -> Result<(), Error> {
        let bundle = STANDARD.encode(ca_cert);
        let mut pause = CONFLICT_PAUSE;
        for attempt in 1.. {
            let found = configurations
                .get_opt(name)
                .await
                .map_err(api("cannot read a webhook configuration"))?;
            let Some(mut found) = found else {
                tracing::info!(
                    name,
                    "there is no such webhook configuration; nothing to inject"
                );
                return Ok(());
            };
            if !set_bundles(&mut found.data, &bundle) {
                return Ok(());
            }
            match configurations
                .replace(name, &PostParams::default(), &found)
                .await
            {
                Ok(_) => {
                    tracing::info!(name, "wrote the authority's certificate");
                    return Ok(());
                }
                Err(kube::Error::Api(status))
                    if status.is_conflict() && attempt < CONFLICT_TRIES => {}
                Err(error) => return Err(api("cannot write a webhook configuration")(error)),
            }
            tokio::time::sleep(pause.mul_f64(1.0 + fastrand::f64())).await;
            pause *= 2;
        }
        Ok(())
    }
}

/// The certificates in a Secret; what is missing or no base64 is empty.
fn read(secret: &DynamicObject) -> Material {
    let field = |key: &str| {
        let text = secret.data["data"][key].as_str().unwrap_or_default();
        STANDARD.decode(text).unwrap_or_default()
    };
    Material {
        ca_cert: field("ca.crt"),
        ca_key: field("ca.key"),
        cert: field("tls.crt"),
        key: field("tls.key"),
    }
}

/// Puts certificates into a Secret and leaves everything else in it as it is.
fn write(secret: &mut DynamicObject, material: &Material) {
    if !secret.data["data"].is_object() {
        secret.data["data"] = Value::Object(serde_json::Map::new());
    }
    for (key, value) in [
        ("ca.crt", &material.ca_cert),
        ("ca.key", &material.ca_key),
        ("tls.crt", &material.cert),
        ("tls.key", &material.key),
    ] {
        secret.data["data"][key] = STANDARD.encode(value).into();
    }
}

/// Whether anything had to be changed.
fn set_bundles(configuration: &mut Value, bundle: &str) -> bool {
    let webhooks = configuration
        .get_mut("webhooks")
        .and_then(Value::as_array_mut);
    let mut changed = false;
    for webhook in webhooks.into_iter().flatten() {
        let present = &mut webhook["clientConfig"]["caBundle"];
        if present != bundle {
            *present = bundle.into();
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests;
