//! Decides what to do next for one JobSet: a pure, total, deterministic planner.
//!
//! [`plan`] takes a snapshot of a JobSet and its children ([`Observed`]) and answers with a
//! [`Plan`]: steps to carry out, then one status to write, then events to send. It does no I/O,
//! reads no clock, draws no random numbers, and never fails or panics, whatever the objects hold.
//! It will never talk to an API server: whoever calls it does.
//!
//! # The flow
//!
//! One plan, top to bottom (`plan.rs`), each line a file of its name:
//!
//! 1. A JobSet that is being deleted, or is managed by another controller, is left alone.
//! 2. `buckets`: every Job is of a *previous* attempt, *active*, *successful* or *failed*.
//! 3. `counts`: the numbers of each replicated job, for the status and for all that follows.
//! 4. `stuck`: Pods that do not go, where that is asked for.
//! 5. A finished JobSet: delete what still runs, then `ttl`. The end.
//! 6. Delete Jobs of previous attempts.
//! 7. All Jobs ready: a restart is over, and after a while `recovery` forgives it.
//! 8. `deadline`: the JobSet fails when its time is over, unless it has succeeded.
//! 9. `failure_policy`, if any Job failed. The end: it changes the status and nothing else.
//! 10. `success_policy`, if any Job succeeded. If it is satisfied, the end.
//! 11. `in_place`: the attempts of Pods whose containers restart together.
//! 12. `suspend`, if asked for, before anything that can fail for other reasons.
//! 13. `execution`: a resumption is counted before it happens.
//! 14. `pod_webhook`: where none runs, what would need it is held back; then `service`, `claims`.
//! 15. `elastic`: unfinished Jobs follow the size in their template.
//! 16. `create`: missing Jobs, as `depends_on`, `startup_policy` and the back-off of `recovery`
//!     allow; `construct` builds them.
//! 17. `resume`: suspended Jobs of a running JobSet.
//!
//! `why` says in one line what a decision was about.
//!
//! [`render`] is beside it: all objects of a JobSet at once, for people who want to see them first.
//!
//! # What is written when a step fails
//!
//! Steps run in order, and a failed one stops those that build upon it
//! ([`Step::continue_on_error`]). The status is written in any case: the counts must not freeze
//! because a quota refuses a Job. But a condition that a step makes true is written only if that
//! step succeeded, and an event only after the status write that belongs to it. [`Plan::settle`]
//! knows which is which. The reference writes nothing at all after a failed step (its "rule E")
//! and everything otherwise ("rule S").
//!
//! # What always holds
//!
//! * A decision about a failure changes counters in the status and nothing else. Jobs are deleted
//!   and created by later plans, from the counters as committed. Since the status write carries a
//!   resourceVersion as precondition, a plan from a stale snapshot can only lose a race, never
//!   count twice.
//! * The name of a Job follows from JobSet, replicated job and index. A name that any Job of the
//!   snapshot has, in whatever state, is not created again, so there are never two incarnations.
//! * Every change of an existing Job names its uid. What was recreated meanwhile is not touched.
//! * After Completed or Failed nothing is created, and what is active is deleted.
//! * Applying a plan and planning again ends in an empty plan.
//! * Work is linear in the number of Jobs ([`plan_counted`] counts it), and no Job is copied.
//!
//! Labels, being editable, are read with suspicion: a broken one makes a warning and a guess,
//! never a dead end.

mod buckets;
mod claims;
mod conditions;
mod construct;
mod counts;
mod create;
mod deadline;
mod depends_on;
mod draft;
mod elastic;
mod execution;
mod failure_policy;
#[cfg(test)]
mod fixtures;
mod in_place;
mod job_body;
pub mod model;
pub mod note;
mod observed;
mod options;
mod patterns;
pub mod placement;
mod plan;
mod pod_webhook;
mod pods;
mod recovery;
mod render;
mod resume;
mod roles;
mod service;
mod settle;
pub mod short_names;
mod startup_policy;
mod stuck;
mod success_policy;
mod suspend;
mod targets;
mod ttl;
pub mod why;
mod work;

pub use create::MAX_CREATIONS;
pub use job_body::JobBody;
pub use model::*;
pub use options::PlanOptions;
pub use plan::{plan, plan_counted, wants_pods};
pub use pod_webhook::needs_pod_webhook;
pub use pods::{ChildPod, PodPhase};
pub use render::{Rendered, RenderedRole, Wait, render};
pub use settle::Settled;
pub use stuck::nodes_in_question;
pub use work::Work;
