//! `batch/v1` Job.

use super::meta::{LABEL_SELECTOR, OBJECT_META};
use super::pod::POD_TEMPLATE_SPEC;
use crate::rest::protobuf::field::Kind::{Bool, Int32, Int64, Nested, Text, Time};
use crate::rest::protobuf::field::{Message, always, list, omitted, optional};

pub(super) static JOB: Message = Message {
    name: "Job",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        omitted(2, "spec", Nested(&JOB_SPEC)),
        omitted(3, "status", Nested(&JOB_STATUS)),
    ],
};

pub(super) static JOB_SPEC: Message = Message {
    name: "JobSpec",
    fields: &[
        optional(1, "parallelism", Int32),
        optional(2, "completions", Int32),
        optional(3, "activeDeadlineSeconds", Int64),
        optional(4, "selector", Nested(&LABEL_SELECTOR)),
        optional(5, "manualSelector", Bool),
        always(6, "template", Nested(&POD_TEMPLATE_SPEC)),
        optional(7, "backoffLimit", Int32),
        optional(8, "ttlSecondsAfterFinished", Int32),
        optional(9, "completionMode", Text),
        optional(10, "suspend", Bool),
        optional(11, "podFailurePolicy", Nested(&POD_FAILURE_POLICY)),
        optional(12, "backoffLimitPerIndex", Int32),
        optional(13, "maxFailedIndexes", Int32),
        optional(14, "podReplacementPolicy", Text),
        optional(15, "managedBy", Text),
        optional(16, "successPolicy", Nested(&SUCCESS_POLICY)),
    ],
};

pub(super) static POD_FAILURE_POLICY: Message = Message {
    name: "PodFailurePolicy",
    fields: &[list(1, "rules", Nested(&POD_FAILURE_POLICY_RULE))],
};

pub(super) static POD_FAILURE_POLICY_RULE: Message = Message {
    name: "PodFailurePolicyRule",
    fields: &[
        always(1, "action", Text),
        optional(
            2,
            "onExitCodes",
            Nested(&POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT),
        ),
        list(
            3,
            "onPodConditions",
            Nested(&POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN),
        ),
    ],
};

pub(super) static POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT: Message = Message {
    name: "PodFailurePolicyOnExitCodesRequirement",
    fields: &[
        optional(1, "containerName", Text),
        always(2, "operator", Text),
        list(3, "values", Int32),
    ],
};

pub(super) static POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN: Message = Message {
    name: "PodFailurePolicyOnPodConditionsPattern",
    fields: &[always(1, "type", Text), always(2, "status", Text)],
};

pub(super) static SUCCESS_POLICY: Message = Message {
    name: "SuccessPolicy",
    fields: &[list(1, "rules", Nested(&SUCCESS_POLICY_RULE))],
};

pub(super) static SUCCESS_POLICY_RULE: Message = Message {
    name: "SuccessPolicyRule",
    fields: &[
        optional(1, "succeededIndexes", Text),
        optional(2, "succeededCount", Int32),
    ],
};

pub(super) static JOB_STATUS: Message = Message {
    name: "JobStatus",
    fields: &[
        list(1, "conditions", Nested(&JOB_CONDITION)),
        optional(2, "startTime", Time),
        optional(3, "completionTime", Time),
        omitted(4, "active", Int32),
        omitted(5, "succeeded", Int32),
        omitted(6, "failed", Int32),
        omitted(7, "completedIndexes", Text),
        optional(
            8,
            "uncountedTerminatedPods",
            Nested(&UNCOUNTED_TERMINATED_PODS),
        ),
        optional(9, "ready", Int32),
        optional(10, "failedIndexes", Text),
        optional(11, "terminating", Int32),
    ],
};

pub(super) static JOB_CONDITION: Message = Message {
    name: "JobCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        omitted(3, "lastProbeTime", Time),
        omitted(4, "lastTransitionTime", Time),
        omitted(5, "reason", Text),
        omitted(6, "message", Text),
    ],
};

pub(super) static UNCOUNTED_TERMINATED_PODS: Message = Message {
    name: "UncountedTerminatedPods",
    fields: &[list(1, "succeeded", Text), list(2, "failed", Text)],
};
