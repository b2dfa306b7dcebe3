//! Pod, PodTemplateSpec and PodSpec.

use super::container::{
    APP_ARMOR_PROFILE, CONTAINER, EPHEMERAL_CONTAINER, RESOURCE_REQUIREMENTS, SE_LINUX_OPTIONS,
    SECCOMP_PROFILE, WINDOWS_SECURITY_CONTEXT_OPTIONS,
};
use super::meta::{LABEL_SELECTOR, OBJECT_META};
use super::pod_status::POD_STATUS;
use super::reference::{LOCAL_OBJECT_REFERENCE, NODE_SELECTOR_TERM};
use super::volume::VOLUME;
use crate::rest::protobuf::field::Kind::{Bool, Int32, Int64, Nested, Quantity, Text};
use crate::rest::protobuf::field::{Message, always, list, map, omitted, optional};

pub(super) static POD: Message = Message {
    name: "Pod",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        omitted(2, "spec", Nested(&POD_SPEC)),
        omitted(3, "status", Nested(&POD_STATUS)),
    ],
};

pub(super) static POD_SPEC: Message = Message {
    name: "PodSpec",
    fields: &[
        list(1, "volumes", Nested(&VOLUME)),
        list(2, "containers", Nested(&CONTAINER)),
        omitted(3, "restartPolicy", Text),
        optional(4, "terminationGracePeriodSeconds", Int64),
        optional(5, "activeDeadlineSeconds", Int64),
        omitted(6, "dnsPolicy", Text),
        map(7, "nodeSelector", Text),
        omitted(8, "serviceAccountName", Text),
        omitted(9, "serviceAccount", Text),
        omitted(10, "nodeName", Text),
        omitted(11, "hostNetwork", Bool),
        omitted(12, "hostPID", Bool),
        omitted(13, "hostIPC", Bool),
        optional(14, "securityContext", Nested(&POD_SECURITY_CONTEXT)),
        list(15, "imagePullSecrets", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(16, "hostname", Text),
        omitted(17, "subdomain", Text),
        optional(18, "affinity", Nested(&AFFINITY)),
        omitted(19, "schedulerName", Text),
        list(20, "initContainers", Nested(&CONTAINER)),
        optional(21, "automountServiceAccountToken", Bool),
        list(22, "tolerations", Nested(&TOLERATION)),
        list(23, "hostAliases", Nested(&HOST_ALIAS)),
        omitted(24, "priorityClassName", Text),
        optional(25, "priority", Int32),
        optional(26, "dnsConfig", Nested(&POD_DNS_CONFIG)),
        optional(27, "shareProcessNamespace", Bool),
        list(28, "readinessGates", Nested(&POD_READINESS_GATE)),
        optional(29, "runtimeClassName", Text),
        optional(30, "enableServiceLinks", Bool),
        optional(31, "preemptionPolicy", Text),
        map(32, "overhead", Quantity),
        list(
            33,
            "topologySpreadConstraints",
            Nested(&TOPOLOGY_SPREAD_CONSTRAINT),
        ),
        list(34, "ephemeralContainers", Nested(&EPHEMERAL_CONTAINER)),
        optional(35, "setHostnameAsFQDN", Bool),
        optional(36, "os", Nested(&POD_OS)),
        optional(37, "hostUsers", Bool),
        list(38, "schedulingGates", Nested(&POD_SCHEDULING_GATE)),
        list(39, "resourceClaims", Nested(&POD_RESOURCE_CLAIM)),
        optional(40, "resources", Nested(&RESOURCE_REQUIREMENTS)),
        optional(41, "hostnameOverride", Text),
        optional(43, "schedulingGroup", Nested(&POD_SCHEDULING_GROUP)),
        list(44, "evictionResponders", Nested(&EVICTION_RESPONDER)),
    ],
};

pub(super) static POD_SECURITY_CONTEXT: Message = Message {
    name: "PodSecurityContext",
    fields: &[
        optional(1, "seLinuxOptions", Nested(&SE_LINUX_OPTIONS)),
        optional(2, "runAsUser", Int64),
        optional(3, "runAsNonRoot", Bool),
        list(4, "supplementalGroups", Int64),
        optional(5, "fsGroup", Int64),
        optional(6, "runAsGroup", Int64),
        list(7, "sysctls", Nested(&SYSCTL)),
        optional(
            8,
            "windowsOptions",
            Nested(&WINDOWS_SECURITY_CONTEXT_OPTIONS),
        ),
        optional(9, "fsGroupChangePolicy", Text),
        optional(10, "seccompProfile", Nested(&SECCOMP_PROFILE)),
        optional(11, "appArmorProfile", Nested(&APP_ARMOR_PROFILE)),
        optional(12, "supplementalGroupsPolicy", Text),
        optional(13, "seLinuxChangePolicy", Text),
    ],
};

pub(super) static SYSCTL: Message = Message {
    name: "Sysctl",
    fields: &[always(1, "name", Text), always(2, "value", Text)],
};

pub(super) static AFFINITY: Message = Message {
    name: "Affinity",
    fields: &[
        optional(1, "nodeAffinity", Nested(&NODE_AFFINITY)),
        optional(2, "podAffinity", Nested(&POD_AFFINITY)),
        optional(3, "podAntiAffinity", Nested(&POD_ANTI_AFFINITY)),
    ],
};

pub(super) static NODE_AFFINITY: Message = Message {
    name: "NodeAffinity",
    fields: &[
        optional(
            1,
            "requiredDuringSchedulingIgnoredDuringExecution",
            Nested(&NODE_SELECTOR),
        ),
        list(
            2,
            "preferredDuringSchedulingIgnoredDuringExecution",
            Nested(&PREFERRED_SCHEDULING_TERM),
        ),
    ],
};

pub(super) static NODE_SELECTOR: Message = Message {
    name: "NodeSelector",
    fields: &[list(1, "nodeSelectorTerms", Nested(&NODE_SELECTOR_TERM))],
};

pub(super) static NODE_SELECTOR_REQUIREMENT: Message = Message {
    name: "NodeSelectorRequirement",
    fields: &[
        always(1, "key", Text),
        always(2, "operator", Text),
        list(3, "values", Text),
    ],
};

pub(super) static PREFERRED_SCHEDULING_TERM: Message = Message {
    name: "PreferredSchedulingTerm",
    fields: &[
        always(1, "weight", Int32),
        always(2, "preference", Nested(&NODE_SELECTOR_TERM)),
    ],
};

pub(super) static POD_AFFINITY: Message = Message {
    name: "PodAffinity",
    fields: &[
        list(
            1,
            "requiredDuringSchedulingIgnoredDuringExecution",
            Nested(&POD_AFFINITY_TERM),
        ),
        list(
            2,
            "preferredDuringSchedulingIgnoredDuringExecution",
            Nested(&WEIGHTED_POD_AFFINITY_TERM),
        ),
    ],
};

pub(super) static POD_AFFINITY_TERM: Message = Message {
    name: "PodAffinityTerm",
    fields: &[
        optional(1, "labelSelector", Nested(&LABEL_SELECTOR)),
        list(2, "namespaces", Text),
        always(3, "topologyKey", Text),
        optional(4, "namespaceSelector", Nested(&LABEL_SELECTOR)),
        list(5, "matchLabelKeys", Text),
        list(6, "mismatchLabelKeys", Text),
    ],
};

pub(super) static WEIGHTED_POD_AFFINITY_TERM: Message = Message {
    name: "WeightedPodAffinityTerm",
    fields: &[
        always(1, "weight", Int32),
        always(2, "podAffinityTerm", Nested(&POD_AFFINITY_TERM)),
    ],
};

pub(super) static POD_ANTI_AFFINITY: Message = Message {
    name: "PodAntiAffinity",
    fields: &[
        list(
            1,
            "requiredDuringSchedulingIgnoredDuringExecution",
            Nested(&POD_AFFINITY_TERM),
        ),
        list(
            2,
            "preferredDuringSchedulingIgnoredDuringExecution",
            Nested(&WEIGHTED_POD_AFFINITY_TERM),
        ),
    ],
};

pub(super) static TOLERATION: Message = Message {
    name: "Toleration",
    fields: &[
        omitted(1, "key", Text),
        omitted(2, "operator", Text),
        omitted(3, "value", Text),
        omitted(4, "effect", Text),
        optional(5, "tolerationSeconds", Int64),
    ],
};

pub(super) static HOST_ALIAS: Message = Message {
    name: "HostAlias",
    fields: &[always(1, "ip", Text), list(2, "hostnames", Text)],
};

pub(super) static POD_DNS_CONFIG: Message = Message {
    name: "PodDNSConfig",
    fields: &[
        list(1, "nameservers", Text),
        list(2, "searches", Text),
        list(3, "options", Nested(&POD_DNS_CONFIG_OPTION)),
    ],
};

pub(super) static POD_DNS_CONFIG_OPTION: Message = Message {
    name: "PodDNSConfigOption",
    fields: &[omitted(1, "name", Text), optional(2, "value", Text)],
};

pub(super) static POD_READINESS_GATE: Message = Message {
    name: "PodReadinessGate",
    fields: &[always(1, "conditionType", Text)],
};

pub(super) static TOPOLOGY_SPREAD_CONSTRAINT: Message = Message {
    name: "TopologySpreadConstraint",
    fields: &[
        always(1, "maxSkew", Int32),
        always(2, "topologyKey", Text),
        always(3, "whenUnsatisfiable", Text),
        optional(4, "labelSelector", Nested(&LABEL_SELECTOR)),
        optional(5, "minDomains", Int32),
        optional(6, "nodeAffinityPolicy", Text),
        optional(7, "nodeTaintsPolicy", Text),
        list(8, "matchLabelKeys", Text),
    ],
};

pub(super) static POD_OS: Message = Message {
    name: "PodOS",
    fields: &[always(1, "name", Text)],
};

pub(super) static POD_SCHEDULING_GATE: Message = Message {
    name: "PodSchedulingGate",
    fields: &[always(1, "name", Text)],
};

pub(super) static POD_RESOURCE_CLAIM: Message = Message {
    name: "PodResourceClaim",
    fields: &[
        always(1, "name", Text),
        optional(3, "resourceClaimName", Text),
        optional(4, "resourceClaimTemplateName", Text),
    ],
};

pub(super) static POD_SCHEDULING_GROUP: Message = Message {
    name: "PodSchedulingGroup",
    fields: &[optional(1, "podGroupName", Text)],
};

pub(super) static EVICTION_RESPONDER: Message = Message {
    name: "EvictionResponder",
    fields: &[always(1, "name", Text), optional(2, "priority", Int32)],
};

pub(super) static POD_TEMPLATE_SPEC: Message = Message {
    name: "PodTemplateSpec",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        omitted(2, "spec", Nested(&POD_SPEC)),
    ],
};
