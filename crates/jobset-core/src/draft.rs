//! A plan in the making.

use std::time::Duration;

use jobset_api::JobSetStatus;
use k8s_openapi::jiff::Timestamp;

use crate::conditions::Change;
use crate::model::{Action, Event, Plan, Step, StepKind, Terminal};
use crate::options::PlanOptions;
use crate::settle::{Effect, Settlement, What};
use crate::why::Decision;
use crate::work::Work;

/// Warnings kept word for word; the rest is only counted.
const MAX_WARNINGS: usize = 16;

/// Collects steps, effects and warnings while the flow in `plan.rs` goes from top to bottom.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    steps: Vec<Step>,
    settlement: Settlement,
    /// The last step so far whose failure stops what comes after it.
    barrier: Option<usize>,
    requeue_after: Option<Duration>,
    warnings: Vec<String>,
    more_warnings: usize,
    error: Option<String>,
    /// Decisions of the failure policy, in order.
    pub(crate) decisions: Vec<Decision>,
    /// How to plan.
    pub(crate) options: PlanOptions,
    pub(crate) work: Work,
}

impl Draft {
    pub(crate) fn new(stored: JobSetStatus, options: PlanOptions, now: Timestamp) -> Self {
        Self {
            settlement: Settlement {
                base: stored,
                now,
                ..Settlement::default()
            },
            options,
            ..Self::default()
        }
    }

    /// The time of the plan.
    pub(crate) fn now(&self) -> Timestamp {
        self.settlement.now
    }

    /// Status with what is certain so far.
    pub(crate) fn status(&self) -> &JobSetStatus {
        &self.settlement.base
    }

    /// Changes the status in a way that holds whatever happens to the steps. `change` returns
    /// whether it changed anything.
    pub(crate) fn change_status(&mut self, change: impl FnOnce(&mut JobSetStatus) -> bool) {
        self.settlement.dirty |= change(&mut self.settlement.base);
    }

    /// Adds a step, unless it would be empty. Returns its index.
    pub(crate) fn step(&mut self, kind: StepKind, actions: Vec<Action>) -> Option<usize> {
        if actions.is_empty() {
            return None;
        }
        let continue_on_error = matches!(
            kind,
            StepKind::DeletePrevious
                | StepKind::DeleteActive
                | StepKind::Suspend
                | StepKind::Scale
                | StepKind::RemovePods
        );
        let index = self.steps.len();
        self.steps.push(Step {
            kind,
            actions,
            continue_on_error,
        });
        if !continue_on_error {
            self.barrier = Some(index);
        }
        Some(index)
    }

    /// A condition that holds once everything planned so far has succeeded.
    pub(crate) fn condition(&mut self, change: Change) {
        self.effect(self.barrier, What::Condition(change));
    }

    /// A condition that holds if that one step succeeds, or in any case if there is none.
    pub(crate) fn condition_after(&mut self, step: Option<usize>, change: Change) {
        self.effect(step, What::Condition(change));
    }

    /// An event to send after the status write, whatever happens to the steps.
    pub(crate) fn event_always(&mut self, event: Event) {
        self.effect(None, What::Event(event));
    }

    fn effect(&mut self, requires: Option<usize>, what: What) {
        self.settlement.effects.push(Effect { requires, what });
    }

    /// This plan ends the JobSet.
    pub(crate) fn terminal(&mut self, terminal: Terminal) {
        self.settlement.terminal = Some(terminal);
        self.change_status(|status| {
            terminal.as_str().clone_into(&mut status.terminal_state);
            true
        });
    }

    /// Plan again after this time at the latest.
    pub(crate) fn requeue(&mut self, after: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(after, |old| old.min(after)));
    }

    /// Nothing about the JobSet is worth writing any more: it is about to be deleted.
    pub(crate) fn mute(&mut self) {
        self.settlement.muted = true;
    }

    /// Notes something odd. The text is built only if it is kept: ten thousand Jobs with the same
    /// oddity must not cost ten thousand lines.
    pub(crate) fn warn(&mut self, text: impl FnOnce() -> String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(text());
        } else {
            self.more_warnings += 1;
        }
    }

    /// Notes something that another try may mend.
    pub(crate) fn error(&mut self, text: String) {
        self.error.get_or_insert(text);
    }

    /// The finished plan: the status and events as they are if every step succeeds.
    pub(crate) fn finish(mut self) -> (Plan, Work) {
        if self.more_warnings > 0 {
            self.warnings
                .push(format!("… and {} more warnings", self.more_warnings));
        }
        let settled = self.settlement.settle(|_| true);
        let plan = Plan {
            steps: self.steps,
            status: settled.status,
            events: settled.events,
            requeue_after: self.requeue_after,
            terminal: settled.terminal,
            warnings: self.warnings,
            error: self.error,
            decisions: self.decisions,
            settlement: self.settlement,
        };
        (plan, self.work)
    }
}
