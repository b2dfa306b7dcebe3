//! One webhook of a configuration, compiled.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::client::{Client, Clients, Target};
use super::matcher::Matcher;

/// A webhook.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    /// Which requests are its own. Whether a failed call refuses them is said there, too.
    pub(crate) matcher: Matcher,
    /// Is called again if a later webhook changes the object.
    pub(crate) reinvoked: bool,
    /// May be called for requests that store nothing.
    pub(crate) allows_dry_run: bool,
    timeout: Duration,
    /// Whom to call, or why nobody can be called.
    client: Result<Arc<Client>, String>,
}

impl Hook {
    /// Compiles one entry of `webhooks`. What cannot be understood, as it may be in an object that
    /// an older server stored, makes calls fail.
    pub(super) fn compile(webhook: &Value, clients: &mut Clients) -> Self {
        let (matcher, problem) = Matcher::of_webhook(webhook);
        let client = match problem {
            Some(problem) => Err(problem),
            None => target(&webhook["clientConfig"]).map(|target| clients.client(target)),
        };
        let is = |key: &str, value: &str| webhook[key].as_str() == Some(value);
        Self {
            name: webhook["name"].as_str().unwrap_or_default().to_owned(),
            matcher,
            reinvoked: is("reinvocationPolicy", "IfNeeded"),
            allows_dry_run: is("sideEffects", "None") || is("sideEffects", "NoneOnDryRun"),
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10)),
            client,
        }
    }

    /// Sends a review and returns the answer, whatever it says.
    pub(crate) async fn call(&self, review: Bytes) -> Result<Value, String> {
        match &self.client {
            Ok(client) => client.call(review, self.timeout).await,
            Err(problem) => Err(problem.clone()),
        }
    }
}

/// Whom a `clientConfig` names.
fn target(config: &Value) -> Result<Target, String> {
    let authority = match config["caBundle"].as_str() {
        None | Some("") => None,
        Some(text) => {
            let pem = STANDARD.decode(text);
            Some(pem.map_err(|error| format!("caBundle is not base64: {error}"))?)
        }
    };
    if let Some(url) = config["url"].as_str() {
        return Ok(Target {
            url: url.to_owned(),
            service: None,
            authority,
        });
    }
    let service = &config["service"];
    let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let port = service["port"].as_u64().unwrap_or(443);
    let port = u16::try_from(port).map_err(|_| format!("{port} is not a port"))?;
    let path = text("path");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Target {
        // The name that the certificate must be for.
        url: format!("https://{name}.{namespace}.svc:{port}{slash}{path}"),
        service: Some((namespace, name, port)),
        authority,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(webhook: Value) -> Hook {
        Hook::compile(&webhook, &mut Clients::new(None))
    }

    #[tokio::test]
    async fn what_is_not_understood_fails_when_called() {
        for (key, value, problem) in [
            (
                "matchConditions",
                json!([{"expression": "("}]),
                "matchConditions",
            ),
            (
                "clientConfig",
                json!({"url": "https://a", "caBundle": "%"}),
                "base64",
            ),
            ("clientConfig", json!({"service": {"port": 70_000}}), "port"),
            (
                "objectSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
                "objectSelector",
            ),
        ] {
            let hook = hook(json!({"name": "a.b.c", key: value}));
            let error = hook.call(Bytes::new()).await.unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn services_have_the_name_of_their_certificate() {
        let service = json!({"namespace": "n", "name": "s", "path": "/p"});
        let found = target(&json!({ "service": service })).unwrap();
        assert_eq!(found.url, "https://s.n.svc:443/p");
    }
}
