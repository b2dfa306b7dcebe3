//! `jobset dashboard`: JobSets in a browser, served on loopback.
//!
//! A thin shell over the views that the other commands print. A [`hub`] follows what somebody looks at,
//! once for all viewers; [`parts`] takes a view apart, [`store`] tells each viewer what has changed since
//! it was told last; [`server`] sends that as server-sent events, and [`guard`] decides who gets it. It
//! only shows: no request of a browser changes anything on the cluster.

mod guard;
mod hub;
mod logs;
mod page;
mod parts;
mod server;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
pub(crate) use self::hub::Way;
use self::hub::{Hub, Pace};
use self::server::{About, App};
use crate::args::DashboardArgs;
use crate::cluster;
use crate::engine;
use crate::exit::Exit;
use crate::up::quoted;

/// Serves the dashboard until a signal ends it.
pub(crate) async fn main(args: &DashboardArgs) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    let start = async {
        let way = Way::Arguments(args.connection.clone());
        let at = way.connect().await?;
        let scope = (!args.all_namespaces).then(|| at.namespace.clone());
        // What cannot be shown is said here, and not in the browser.
        cluster::probe(&at, scope.as_deref()).await?;
        Dashboard::start(way, scope, flags(args), args.port).await
    };
    tokio::pin!(interrupted);
    let dashboard = tokio::select! {
        dashboard = start => dashboard?,
        result = &mut interrupted => { result?; return Ok(Exit::Completed); }
    };
    eprintln!("Ctrl-C ends it. Open this address in a browser of this machine:\n");
    crate::output::text(&format!("{}\n", dashboard.url()))?;
    interrupted.await?;
    dashboard.stop();
    Ok(Exit::Completed)
}

/// What another command needs to find the same cluster.
fn flags(args: &DashboardArgs) -> String {
    let mut flags = String::new();
    let connection = &args.connection;
    if let Some(path) = &connection.kubeconfig {
        flags.push_str(&format!(
            " --kubeconfig {}",
            quoted(&path.to_string_lossy())
        ));
    }
    if let Some(context) = &connection.context {
        flags.push_str(&format!(" --context {}", quoted(context)));
    }
    flags
}

/// A dashboard that is being served.
pub(crate) struct Dashboard {
    url: String,
    stop: CancellationToken,
}

impl Dashboard {
    /// Begins to serve: the JobSets of a namespace, or of all, on a port of loopback, or any free one.
    ///
    /// # Errors
    ///
    /// The port is taken, or the cluster cannot be found.
    pub(crate) async fn start(
        way: Way,
        scope: Option<String>,
        flags: String,
        port: u16,
    ) -> anyhow::Result<Self> {
        let at = way.connect().await?;
        let (port, listeners) = server::listen(port).await?;
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            guard: Guard::new(port, token()?),
            about: About {
                version: env!("CARGO_PKG_VERSION"),
                namespace: scope.clone(),
                flags,
            },
            hub: Arc::new(Hub::new(way, at, scope, Pace::default(), stop.clone())),
        });
        let url = app.guard.url();
        let router = server::router(app);
        for listener in listeners {
            tokio::spawn(server::serve(listener, router.clone(), stop.clone()));
        }
        Ok(Self { url, stop })
    }

    /// The address to open, with the secret in it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Serves nobody any more.
    pub(crate) fn stop(self) {
        self.stop.cancel();
    }
}

/// A secret that nobody guesses.
fn token() -> anyhow::Result<String> {
    let mut secret = [0; 24];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut secret)
        .map_err(|_| anyhow!("the system has no random numbers"))
        .context("cannot make a token")?;
    let digits = secret.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect())
}
