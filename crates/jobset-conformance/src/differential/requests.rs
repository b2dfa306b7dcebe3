//! A request, as data, and a server that gets it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A request. In path and body `{ns}` is the namespace, and `{x}` what was saved as `x`.
pub(super) struct Step {
    pub(super) name: &'static str,
    method: Method,
    path: String,
    content_type: &'static str,
    accept: Option<&'static str>,
    body: String,
    /// Saves a field of the answer: name and JSON pointer.
    saved: Option<(&'static str, &'static str)>,
}

impl Step {
    fn new(name: &'static str, method: Method, path: &str) -> Self {
        Self {
            name,
            method,
            path: path.to_owned(),
            content_type: "application/json",
            accept: None,
            body: String::new(),
            saved: None,
        }
    }

    pub(super) fn get(name: &'static str, path: &str) -> Self {
        Self::new(name, Method::GET, path)
    }

    pub(super) fn post(name: &'static str, path: &str, body: Value) -> Self {
        Self::new(name, Method::POST, path).text(&body.to_string())
    }

    pub(super) fn put(name: &'static str, path: &str, body: Value) -> Self {
        Self::new(name, Method::PUT, path).text(&body.to_string())
    }

    pub(super) fn delete(name: &'static str, path: &str, body: Value) -> Self {
        let step = Self::new(name, Method::DELETE, path);
        match body {
            Value::Null => step,
            body => step.text(&body.to_string()),
        }
    }

    /// `kind` is `merge-patch`, `json-patch`, `strategic-merge-patch` or `apply-patch`.
    pub(super) fn patch(name: &'static str, kind: &str, path: &str, body: Value) -> Self {
        let mut step = Self::new(name, Method::PATCH, path).text(&body.to_string());
        step.content_type = match kind {
            "merge" => "application/merge-patch+json",
            "json" => "application/json-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            "apply" => "application/apply-patch+yaml",
            _ => "application/unknown-patch+json",
        };
        step
    }

    pub(super) fn text(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(super) fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = Some(media_type);
        self
    }

    pub(super) fn save(mut self, name: &'static str, place: &'static str) -> Self {
        self.saved = Some((name, place));
        self
    }
}

/// A server and what it has said.
pub(super) struct Session {
    client: Client,
    namespace: String,
    saved: HashMap<&'static str, String>,
}

impl Session {
    /// Creates the namespace. With `accounts`, waits until it has its service account.
    pub(super) async fn open(
        client: &Client,
        namespace: &str,
        accounts: bool,
    ) -> anyhow::Result<Self> {
        let mut session = Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            saved: HashMap::new(),
        };
        let object = json!({"metadata": {"name": namespace}});
        let step = Step::post("open", "/api/v1/namespaces", object);
        let answer = session.send(&step).await?;
        anyhow::ensure!(answer["code"] == 201, "no namespace: {answer}");
        let path = "/api/v1/namespaces/{ns}/serviceaccounts/default";
        let mut patience = 1200;
        while accounts && session.send(&Step::get("account", path)).await?["code"] != 200 {
            patience -= 1;
            anyhow::ensure!(patience > 0, "{namespace} gets no service account");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(session)
    }

    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        let step = Step::delete("close", "/api/v1/namespaces/{ns}", Value::Null);
        self.send(&step).await.map(drop)
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{ns}", &self.namespace);
        for (name, value) in &self.saved {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// Status code, warnings and body. The body of a watch is the list of its events.
    pub(super) async fn send(&mut self, step: &Step) -> anyhow::Result<Value> {
        let mut request = Request::builder()
            .method(step.method.clone())
            .uri(self.fill(&step.path))
            .header("user-agent", "differential");
        if !step.body.is_empty() {
            request = request.header("content-type", step.content_type);
        }
        if let Some(accept) = step.accept {
            request = request.header("accept", accept);
        }
        let request = request.body(Body::from(self.fill(&step.body).into_bytes()))?;
        let response = self.client.send(request).await?;
        let code = response.status().as_u16();
        let warnings: Vec<String> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let mut body: Value = if step.path.contains("watch=") && code == 200 {
            let events = text.lines().map(serde_json::from_str::<Value>);
            events.collect::<Result<Vec<_>, _>>()?.into()
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| json!(text.trim()))
        };
        if let Some((name, place)) = step.saved {
            let value = body.pointer(place).with_context(|| {
                format!("{}: nothing to save at {place} of {code} {body}", step.name)
            })?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.saved.insert(name, value);
        }
        if let Value::String(text) = &mut body {
            *text = text.replace(&self.namespace, "{ns}");
        }
        Ok(json!({"code": code, "warnings": warnings, "body": body}))
    }
}
