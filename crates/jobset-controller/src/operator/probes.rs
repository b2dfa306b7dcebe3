//! Health probes: whether this process lives, and whether it is ready to be called.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, StatusCode};
use jobset_controller::webhook::probe::dial;
use tokio::sync::watch;

use super::serve::{Answer, text};

/// Name and path of the checks, unless configured otherwise.
const LIVE: &str = "/healthz";
const READY: &str = "/readyz";

/// What readiness is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The certificates are as they should be.
    pub(crate) certificates: bool,
    /// Where the webhook server listens; `None` where there is none.
    pub(crate) webhook: Option<SocketAddr>,
}

/// Answers probes.
#[derive(Clone)]
pub(crate) struct Probes {
    live: Arc<str>,
    ready: Arc<str>,
    readiness: watch::Receiver<Readiness>,
}

impl Probes {
    /// Probes at these paths, or at the usual ones where they are empty.
    pub(crate) fn new(live: &str, ready: &str, readiness: watch::Receiver<Readiness>) -> Self {
        let or = |path: &str, default: &str| -> Arc<str> {
            if path.is_empty() { default } else { path }.into()
        };
        Self {
            live: or(live, LIVE),
            ready: or(ready, READY),
            readiness,
        }
    }

    /// The answer to a request.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> Answer {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        for (root, name) in [(&*self.live, "healthz"), (&*self.ready, "readyz")] {
            let Some(rest) = path.strip_prefix(root) else {
                continue;
            };
            match rest.trim_end_matches('/') {
                "" => {
                    let excluded = excluded(&query);
                    let skip = excluded.iter().any(|check| check == name);
                    let result = if skip { Ok(()) } else { self.check(name).await };
                    return all(name, result, &excluded, verbose(&query));
                }
                one if one.strip_prefix('/') == Some(name) => {
                    return match self.check(name).await {
                        Ok(()) => text(StatusCode::OK, "ok"),
                        Err(error) => text(
                            StatusCode::INTERNAL_SERVER_ERROR,
                            format!("internal server error: {error}\n"),
                        ),
                    };
                }
                _ => {}
            }
        }
        text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    async fn check(&self, name: &str) -> Result<(), String> {
        if name == "healthz" {
            return Ok(());
        }
        let readiness = self.readiness.borrow().clone();
        if !readiness.certificates {
            return Err("the certificates are not ready".to_owned());
        }
        match readiness.webhook {
            None => Ok(()),
            Some(address) => dial(address)
                .await
                .map_err(|error| format!("the webhook server is not reachable: {error}")),
        }
    }
}

fn all(name: &str, result: Result<(), String>, excluded: &[String], verbose: bool) -> Answer {
    let status = if result.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    if let Err(error) = &result {
        tracing::info!(check = name, error, "a health check failed");
    } else if !verbose {
        return text(status, "ok");
    }
    let mut body = String::new();
    // Writing to a String cannot fail.
    let _ = match &result {
        // The reason is for those who may read the log.
        Err(_) => writeln!(body, "[-]{name} failed: reason withheld"),
        Ok(()) if excluded.iter().any(|check| check == name) => {
            writeln!(body, "[+]{name} excluded: ok")
        }
        Ok(()) => writeln!(body, "[+]{name} ok"),
    };
    let unknown: Vec<_> = excluded
        .iter()
        .filter(|check| *check != name)
        .map(|check| format!("{check:?}"))
        .collect();
    if !unknown.is_empty() {
        let _ = writeln!(
            body,
            "warn: some health checks cannot be excluded: no matches for {}",
            unknown.join(",")
        );
    }
    let end = if result.is_ok() { "passed" } else { "failed" };
    let _ = writeln!(body, "healthz check {end}");
    text(status, body)
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn verbose(query: &str) -> bool {
    parameters(query).any(|(name, _)| name == "verbose")
}

fn excluded(query: &str) -> Vec<String> {
    parameters(query)
        .filter(|(name, value)| *name == "exclude" && !value.is_empty())
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(readiness: Readiness, path: &str) -> (u16, String) {
        let (_sender, receiver) = watch::channel(readiness);
        let probes = Probes::new("", "", receiver);
        let request = Request::builder().uri(path).body(()).unwrap();
        let answer = probes.answer(request).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers() {
        let ready = Readiness {
            certificates: true,
            webhook: None,
        };
        let not = Readiness::default;
        let failed = "[-]readyz failed: reason withheld\nhealthz check failed\n";
        let table = [
            (not(), "/healthz", 200, "ok"),
            (not(), "/healthz/", 200, "ok"),
            (not(), "/healthz/healthz", 200, "ok"),
            (
                not(),
                "/healthz?verbose",
                200,
                "[+]healthz ok\nhealthz check passed\n",
            ),
            (not(), "/readyz", 500, failed),
            (not(), "/readyz?verbose=true", 500, failed),
            (
                not(),
                "/readyz/readyz",
                500,
                "internal server error: the certificates are not ready\n",
            ),
            (not(), "/readyz?exclude=readyz", 200, "ok"),
            (
                not(),
                "/readyz?exclude=readyz&verbose",
                200,
                "[+]readyz excluded: ok\nhealthz check passed\n",
            ),
            (
                ready.clone(),
                "/readyz?exclude=other&verbose",
                200,
                "[+]readyz ok\nwarn: some health checks cannot be excluded: no matches for \
                 \"other\"\nhealthz check passed\n",
            ),
            (ready.clone(), "/readyz", 200, "ok"),
            (ready, "/readyz/readyz", 200, "ok"),
            (not(), "/healthz/other", 404, "404 page not found\n"),
            (not(), "/", 404, "404 page not found\n"),
            (not(), "/healthzz", 404, "404 page not found\n"),
        ];
        for (readiness, path, status, body) in table {
            assert_eq!(
                ask(readiness, path).await,
                (status, body.to_owned()),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn a_webhook_server_has_to_be_there() {
        let with = |webhook| Readiness {
            certificates: true,
            webhook: Some(webhook),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (status, body) = ask(with(address), "/readyz/readyz").await;
        assert_eq!(status, 500);
        assert!(body.contains("not reachable"), "{body}");
    }

    #[tokio::test]
    async fn paths_can_be_configured() {
        let (_sender, receiver) = watch::channel(Readiness::default());
        let probes = Probes::new("/live", "/ready", receiver);
        for (path, status) in [("/live", 200), ("/ready", 500), ("/healthz", 404)] {
            let request = Request::builder().uri(path).body(()).unwrap();
            let answer = probes.clone().answer(request).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
    }
}
