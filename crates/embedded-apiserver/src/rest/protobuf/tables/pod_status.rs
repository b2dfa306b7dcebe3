//! The status of a Pod.

use super::container::RESOURCE_REQUIREMENTS;
use crate::rest::protobuf::field::Kind::{Bool, Int32, Int64, Nested, Quantity, Text, Time};
use crate::rest::protobuf::field::{Message, always, list, map, omitted, optional};

pub(super) static POD_STATUS: Message = Message {
    name: "PodStatus",
    fields: &[
        omitted(1, "phase", Text),
        list(2, "conditions", Nested(&POD_CONDITION)),
        omitted(3, "message", Text),
        omitted(4, "reason", Text),
        omitted(5, "hostIP", Text),
        omitted(6, "podIP", Text),
        optional(7, "startTime", Time),
        list(8, "containerStatuses", Nested(&CONTAINER_STATUS)),
        omitted(9, "qosClass", Text),
        list(10, "initContainerStatuses", Nested(&CONTAINER_STATUS)),
        omitted(11, "nominatedNodeName", Text),
        list(12, "podIPs", Nested(&POD_IP)),
        list(13, "ephemeralContainerStatuses", Nested(&CONTAINER_STATUS)),
        omitted(14, "resize", Text),
        list(
            15,
            "resourceClaimStatuses",
            Nested(&POD_RESOURCE_CLAIM_STATUS),
        ),
        list(16, "hostIPs", Nested(&HOST_IP)),
        omitted(17, "observedGeneration", Int64),
        optional(
            18,
            "extendedResourceClaimStatus",
            Nested(&POD_EXTENDED_RESOURCE_CLAIM_STATUS),
        ),
        map(19, "allocatedResources", Quantity),
        optional(20, "resources", Nested(&RESOURCE_REQUIREMENTS)),
        list(
            21,
            "nodeAllocatableResourceClaimStatuses",
            Nested(&NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS),
        ),
        list(22, "volumeHealth", Nested(&POD_VOLUME_HEALTH)),
    ],
};

pub(super) static POD_CONDITION: Message = Message {
    name: "PodCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        omitted(3, "lastProbeTime", Time),
        omitted(4, "lastTransitionTime", Time),
        omitted(5, "reason", Text),
        omitted(6, "message", Text),
        omitted(7, "observedGeneration", Int64),
    ],
};

pub(super) static HOST_IP: Message = Message {
    name: "HostIP",
    fields: &[always(1, "ip", Text)],
};

pub(super) static POD_IP: Message = Message {
    name: "PodIP",
    fields: &[always(1, "ip", Text)],
};

pub(super) static CONTAINER_STATUS: Message = Message {
    name: "ContainerStatus",
    fields: &[
        always(1, "name", Text),
        omitted(2, "state", Nested(&CONTAINER_STATE)),
        omitted(3, "lastState", Nested(&CONTAINER_STATE)),
        always(4, "ready", Bool),
        always(5, "restartCount", Int32),
        always(6, "image", Text),
        always(7, "imageID", Text),
        omitted(8, "containerID", Text),
        optional(9, "started", Bool),
        map(10, "allocatedResources", Quantity),
        optional(11, "resources", Nested(&RESOURCE_REQUIREMENTS)),
        list(12, "volumeMounts", Nested(&VOLUME_MOUNT_STATUS)),
        optional(13, "user", Nested(&CONTAINER_USER)),
        list(14, "allocatedResourcesStatus", Nested(&RESOURCE_STATUS)),
        optional(15, "stopSignal", Text),
    ],
};

pub(super) static CONTAINER_STATE: Message = Message {
    name: "ContainerState",
    fields: &[
        optional(1, "waiting", Nested(&CONTAINER_STATE_WAITING)),
        optional(2, "running", Nested(&CONTAINER_STATE_RUNNING)),
        optional(3, "terminated", Nested(&CONTAINER_STATE_TERMINATED)),
    ],
};

pub(super) static CONTAINER_STATE_WAITING: Message = Message {
    name: "ContainerStateWaiting",
    fields: &[omitted(1, "reason", Text), omitted(2, "message", Text)],
};

pub(super) static CONTAINER_STATE_RUNNING: Message = Message {
    name: "ContainerStateRunning",
    fields: &[omitted(1, "startedAt", Time)],
};

pub(super) static CONTAINER_STATE_TERMINATED: Message = Message {
    name: "ContainerStateTerminated",
    fields: &[
        always(1, "exitCode", Int32),
        omitted(2, "signal", Int32),
        omitted(3, "reason", Text),
        omitted(4, "message", Text),
        omitted(5, "startedAt", Time),
        omitted(6, "finishedAt", Time),
        omitted(7, "containerID", Text),
    ],
};

pub(super) static VOLUME_MOUNT_STATUS: Message = Message {
    name: "VolumeMountStatus",
    fields: &[
        always(1, "name", Text),
        always(2, "mountPath", Text),
        omitted(3, "readOnly", Bool),
        optional(4, "recursiveReadOnly", Text),
        optional(5, "volumeStatus", Nested(&VOLUME_STATUS)),
    ],
};

pub(super) static VOLUME_STATUS: Message = Message {
    name: "VolumeStatus",
    fields: &[optional(1, "image", Nested(&IMAGE_VOLUME_STATUS))],
};

pub(super) static IMAGE_VOLUME_STATUS: Message = Message {
    name: "ImageVolumeStatus",
    fields: &[omitted(1, "imageRef", Text)],
};

pub(super) static CONTAINER_USER: Message = Message {
    name: "ContainerUser",
    fields: &[optional(1, "linux", Nested(&LINUX_CONTAINER_USER))],
};

pub(super) static LINUX_CONTAINER_USER: Message = Message {
    name: "LinuxContainerUser",
    fields: &[
        always(1, "uid", Int64),
        always(2, "gid", Int64),
        list(3, "supplementalGroups", Int64),
    ],
};

pub(super) static RESOURCE_STATUS: Message = Message {
    name: "ResourceStatus",
    fields: &[
        always(1, "name", Text),
        list(2, "resources", Nested(&RESOURCE_HEALTH)),
    ],
};

pub(super) static RESOURCE_HEALTH: Message = Message {
    name: "ResourceHealth",
    fields: &[
        always(1, "resourceID", Text),
        omitted(2, "health", Text),
        optional(6, "message", Text),
    ],
};

pub(super) static POD_RESOURCE_CLAIM_STATUS: Message = Message {
    name: "PodResourceClaimStatus",
    fields: &[
        always(1, "name", Text),
        optional(2, "resourceClaimName", Text),
    ],
};

pub(super) static POD_EXTENDED_RESOURCE_CLAIM_STATUS: Message = Message {
    name: "PodExtendedResourceClaimStatus",
    fields: &[
        list(
            1,
            "requestMappings",
            Nested(&CONTAINER_EXTENDED_RESOURCE_REQUEST),
        ),
        always(2, "resourceClaimName", Text),
    ],
};

pub(super) static CONTAINER_EXTENDED_RESOURCE_REQUEST: Message = Message {
    name: "ContainerExtendedResourceRequest",
    fields: &[
        always(1, "containerName", Text),
        always(2, "resourceName", Text),
        always(3, "requestName", Text),
    ],
};

pub(super) static NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS: Message = Message {
    name: "NodeAllocatableResourceClaimStatus",
    fields: &[
        always(1, "resourceClaimName", Text),
        list(2, "containers", Text),
        list(4, "mapping", Nested(&NODE_ALLOCATABLE_MAPPED_RESOURCES)),
        list(5, "overhead", Nested(&NODE_ALLOCATABLE_OVERHEAD_RESOURCES)),
    ],
};

pub(super) static NODE_ALLOCATABLE_MAPPED_RESOURCES: Message = Message {
    name: "NodeAllocatableMappedResources",
    fields: &[always(1, "name", Text), optional(2, "quantity", Quantity)],
};

pub(super) static NODE_ALLOCATABLE_OVERHEAD_RESOURCES: Message = Message {
    name: "NodeAllocatableOverheadResources",
    fields: &[
        always(1, "name", Text),
        optional(2, "perPod", Quantity),
        optional(3, "perContainer", Quantity),
    ],
};

pub(super) static POD_VOLUME_HEALTH: Message = Message {
    name: "PodVolumeHealth",
    fields: &[
        always(1, "name", Text),
        list(2, "healthConditions", Nested(&VOLUME_HEALTH_CONDITION)),
        omitted(3, "lastTransitionTime", Time),
    ],
};

pub(super) static VOLUME_HEALTH_CONDITION: Message = Message {
    name: "VolumeHealthCondition",
    fields: &[
        always(1, "status", Text),
        always(2, "reason", Text),
        omitted(3, "message", Text),
    ],
};
