//! The JobSet controller under test, to be started and stopped at will.

use anyhow::Context as _;
use jobset_api::FeatureGates;
use jobset_controller::{Controller, ControllerOptions, Error};
use kube::Client;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::policies::Policies;
use crate::replica::{FIRST, Program, Replica, SECOND};

/// The controller.
pub struct Operator {
    how: How,
    running: Option<Running>,
    standby: Option<Replica>,
}

enum How {
    /// Without webhooks where there are policies in their place.
    InProcess {
        client: Client,
        gates: FeatureGates,
        policies: Option<Policies>,
        short_names: bool,
    },
    Program(Program),
}

enum Running {
    Task(CancellationToken, JoinHandle<Result<(), Error>>),
    Process(Replica),
}

impl Operator {
    /// The library, in this process, and the policies that take the place of webhooks if there are
    /// none. `short_names`: whether it publishes those.
    pub(crate) fn in_process(
        client: Client,
        gates: FeatureGates,
        policies: Option<Policies>,
        short_names: bool,
    ) -> Self {
        Self {
            how: How::InProcess {
                client,
                gates,
                policies,
                short_names,
            },
            running: None,
            standby: None,
        }
    }

    /// A program, installed as its manifests say.
    pub(crate) fn program(program: Program) -> Self {
        Self {
            how: How::Program(program),
            running: None,
            standby: None,
        }
    }

    /// The program, if it is one.
    pub(crate) fn installed(&self) -> anyhow::Result<&Program> {
        match &self.how {
            How::InProcess { .. } => anyhow::bail!("the controller is no program here"),
            How::Program(program) => Ok(program),
        }
    }

    /// Takes the admission policies out of force.
    pub(crate) async fn without_policies(&self) -> anyhow::Result<()> {
        match &self.how {
            How::InProcess {
                policies: Some(policies),
                ..
            } => policies.unbind().await,
            How::InProcess { .. } => anyhow::bail!("no policies are installed here"),
            How::Program(program) => program.without_policies().await,
        }
    }

    /// Installs again what was taken away.
    pub(crate) async fn reinstall(&self) -> anyhow::Result<()> {
        match &self.how {
            How::InProcess {
                policies: Some(policies),
                ..
            } => policies.apply().await,
            How::InProcess { .. } => Ok(()),
            How::Program(program) => program.reinstall().await,
        }
    }

    /// Starts it, unless it runs; returns when it is ready.
    ///
    /// # Errors
    /// When a program cannot be started, or does not become ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        self.running = Some(match &self.how {
            How::InProcess {
                client,
                gates,
                policies,
                short_names,
            } => {
                if let Some(policies) = policies {
                    policies.apply().await?;
                }
                let options = ControllerOptions {
                    gates: *gates,
                    pod_webhook: policies.is_none(),
                    short_names: *short_names,
                    ..ControllerOptions::default()
                };
                let token = CancellationToken::new();
                let controller = Controller::new(client.clone(), options);
                Running::Task(token.clone(), tokio::spawn(controller.run(token)))
            }
            How::Program(program) => {
                let replica = program.start(FIRST).await?;
                program.serve_webhooks(&replica).await?;
                Running::Process(replica)
            }
        });
        Ok(())
    }

    /// Asks it to end, and waits until it has. Nobody answers webhooks any more.
    ///
    /// # Errors
    /// When it has failed.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            None => Ok(()),
            Some(Running::Task(token, task)) => {
                token.cancel();
                Ok(task.await??)
            }
            Some(Running::Process(replica)) => replica.stop().await,
        }
    }

    /// Stops it, and takes its webhooks out of the way, as if another operator was there before.
    ///
    /// # Errors
    /// When it has failed.
    pub async fn make_way(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        match &self.how {
            How::InProcess { .. } => Ok(()),
            How::Program(program) => program.remove_webhooks().await,
        }
    }

    /// Ends it in the middle of whatever it does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            None => {}
            Some(Running::Task(_, task)) => {
                task.abort();
                let _ = task.await;
            }
            Some(Running::Process(replica)) => replica.kill().await?,
        }
        Ok(())
    }

    /// Starts a second process of the program beside the one that leads, and has it answer the
    /// webhooks.
    ///
    /// # Errors
    /// When that fails, or the controller is no program.
    pub(crate) async fn start_standby(&mut self) -> anyhow::Result<()> {
        let program = self.installed()?;
        let leads_first = matches!(&self.running, Some(Running::Process(r)) if r.name == FIRST);
        let name = if leads_first { SECOND } else { FIRST };
        let replica = program.start(name).await?;
        program.serve_webhooks(&replica).await?;
        self.standby = Some(replica);
        Ok(())
    }

    /// Ends the leading process in the middle of whatever it does; the other one has to go on.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub(crate) async fn kill_leader(&mut self) -> anyhow::Result<()> {
        let standby = self.standby.take().map(Running::Process);
        self.kill().await?;
        self.running = standby;
        Ok(())
    }

    /// Asks the leading process to end; the other one has to go on.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn stop_leader(&mut self) -> anyhow::Result<()> {
        let standby = self.standby.take().map(Running::Process);
        let stopped = self.stop().await;
        self.running = standby;
        stopped
    }

    /// Starts the process again if it has ended by itself. Whether it had.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn revive(&mut self) -> anyhow::Result<bool> {
        let Some(Running::Process(replica)) = &mut self.running else {
            return Ok(false);
        };
        if !replica.has_ended()? {
            return Ok(false);
        }
        let name = replica.name;
        let revived = self.installed()?.spawn(name)?;
        self.running = Some(Running::Process(revived));
        Ok(true)
    }

    /// The API server is about to start anew, and then refuses everything for a moment.
    pub(crate) fn let_refusals_pass(&mut self) {
        if let How::Program(program) = &mut self.how {
            program.let_refusals_pass();
        }
    }

    /// Stops it for good: removes what was installed, and looks whether its rights sufficed.
    ///
    /// # Errors
    /// When something was forbidden, or it has failed.
    pub(crate) async fn remove(&mut self) -> anyhow::Result<()> {
        let stopped = self.stop().await;
        let How::Program(program) = &self.how else {
            return stopped;
        };
        let removed = program.remove().await.context("cannot remove it");
        stopped.and(removed).and(program.check_rights())
    }
}
