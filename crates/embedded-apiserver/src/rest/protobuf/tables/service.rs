//! Service.

use super::meta::{CONDITION, OBJECT_META};
use crate::rest::protobuf::field::Kind::{Bool, Int32, IntOrString, Nested, Text};
use crate::rest::protobuf::field::{Message, always, list, map, omitted, optional};

pub(super) static SERVICE: Message = Message {
    name: "Service",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        omitted(2, "spec", Nested(&SERVICE_SPEC)),
        omitted(3, "status", Nested(&SERVICE_STATUS)),
    ],
};

pub(super) static SERVICE_SPEC: Message = Message {
    name: "ServiceSpec",
    fields: &[
        list(1, "ports", Nested(&SERVICE_PORT)),
        map(2, "selector", Text),
        omitted(3, "clusterIP", Text),
        omitted(4, "type", Text),
        list(5, "externalIPs", Text),
        omitted(7, "sessionAffinity", Text),
        omitted(8, "loadBalancerIP", Text),
        list(9, "loadBalancerSourceRanges", Text),
        omitted(10, "externalName", Text),
        omitted(11, "externalTrafficPolicy", Text),
        omitted(12, "healthCheckNodePort", Int32),
        omitted(13, "publishNotReadyAddresses", Bool),
        optional(
            14,
            "sessionAffinityConfig",
            Nested(&SESSION_AFFINITY_CONFIG),
        ),
        optional(17, "ipFamilyPolicy", Text),
        list(18, "clusterIPs", Text),
        list(19, "ipFamilies", Text),
        optional(20, "allocateLoadBalancerNodePorts", Bool),
        optional(21, "loadBalancerClass", Text),
        optional(22, "internalTrafficPolicy", Text),
        optional(23, "trafficDistribution", Text),
    ],
};

pub(super) static SERVICE_PORT: Message = Message {
    name: "ServicePort",
    fields: &[
        omitted(1, "name", Text),
        omitted(2, "protocol", Text),
        always(3, "port", Int32),
        omitted(4, "targetPort", IntOrString),
        omitted(5, "nodePort", Int32),
        optional(6, "appProtocol", Text),
    ],
};

pub(super) static SESSION_AFFINITY_CONFIG: Message = Message {
    name: "SessionAffinityConfig",
    fields: &[optional(1, "clientIP", Nested(&CLIENT_IP_CONFIG))],
};

pub(super) static CLIENT_IP_CONFIG: Message = Message {
    name: "ClientIPConfig",
    fields: &[optional(1, "timeoutSeconds", Int32)],
};

pub(super) static SERVICE_STATUS: Message = Message {
    name: "ServiceStatus",
    fields: &[
        omitted(1, "loadBalancer", Nested(&LOAD_BALANCER_STATUS)),
        list(2, "conditions", Nested(&CONDITION)),
    ],
};

pub(super) static LOAD_BALANCER_STATUS: Message = Message {
    name: "LoadBalancerStatus",
    fields: &[list(1, "ingress", Nested(&LOAD_BALANCER_INGRESS))],
};

pub(super) static LOAD_BALANCER_INGRESS: Message = Message {
    name: "LoadBalancerIngress",
    fields: &[
        omitted(1, "ip", Text),
        omitted(2, "hostname", Text),
        optional(3, "ipMode", Text),
        list(4, "ports", Nested(&PORT_STATUS)),
    ],
};

pub(super) static PORT_STATUS: Message = Message {
    name: "PortStatus",
    fields: &[
        always(1, "port", Int32),
        always(2, "protocol", Text),
        optional(3, "error", Text),
    ],
};
