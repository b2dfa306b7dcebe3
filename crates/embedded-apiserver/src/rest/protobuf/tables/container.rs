//! Containers of a Pod.

use super::reference::{LOCAL_OBJECT_REFERENCE, OBJECT_FIELD_SELECTOR, RESOURCE_FIELD_SELECTOR};
use crate::rest::protobuf::field::Kind::{Bool, Int32, Int64, IntOrString, Nested, Quantity, Text};
use crate::rest::protobuf::field::{Message, always, inline, list, map, omitted, optional};

pub(super) static CONTAINER: Message = Message {
    name: "Container",
    fields: &[
        always(1, "name", Text),
        omitted(2, "image", Text),
        list(3, "command", Text),
        list(4, "args", Text),
        omitted(5, "workingDir", Text),
        list(6, "ports", Nested(&CONTAINER_PORT)),
        list(7, "env", Nested(&ENV_VAR)),
        omitted(8, "resources", Nested(&RESOURCE_REQUIREMENTS)),
        list(9, "volumeMounts", Nested(&VOLUME_MOUNT)),
        optional(10, "livenessProbe", Nested(&PROBE)),
        optional(11, "readinessProbe", Nested(&PROBE)),
        optional(12, "lifecycle", Nested(&LIFECYCLE)),
        omitted(13, "terminationMessagePath", Text),
        omitted(14, "imagePullPolicy", Text),
        optional(15, "securityContext", Nested(&SECURITY_CONTEXT)),
        omitted(16, "stdin", Bool),
        omitted(17, "stdinOnce", Bool),
        omitted(18, "tty", Bool),
        list(19, "envFrom", Nested(&ENV_FROM_SOURCE)),
        omitted(20, "terminationMessagePolicy", Text),
        list(21, "volumeDevices", Nested(&VOLUME_DEVICE)),
        optional(22, "startupProbe", Nested(&PROBE)),
        list(23, "resizePolicy", Nested(&CONTAINER_RESIZE_POLICY)),
        optional(24, "restartPolicy", Text),
        list(25, "restartPolicyRules", Nested(&CONTAINER_RESTART_RULE)),
    ],
};

pub(super) static CONTAINER_PORT: Message = Message {
    name: "ContainerPort",
    fields: &[
        omitted(1, "name", Text),
        omitted(2, "hostPort", Int32),
        always(3, "containerPort", Int32),
        omitted(4, "protocol", Text),
        omitted(5, "hostIP", Text),
    ],
};

pub(super) static ENV_FROM_SOURCE: Message = Message {
    name: "EnvFromSource",
    fields: &[
        omitted(1, "prefix", Text),
        optional(2, "configMapRef", Nested(&CONFIG_MAP_ENV_SOURCE)),
        optional(3, "secretRef", Nested(&SECRET_ENV_SOURCE)),
    ],
};

pub(super) static CONFIG_MAP_ENV_SOURCE: Message = Message {
    name: "ConfigMapEnvSource",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        optional(2, "optional", Bool),
    ],
};

pub(super) static SECRET_ENV_SOURCE: Message = Message {
    name: "SecretEnvSource",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        optional(2, "optional", Bool),
    ],
};

pub(super) static ENV_VAR: Message = Message {
    name: "EnvVar",
    fields: &[
        always(1, "name", Text),
        omitted(2, "value", Text),
        optional(3, "valueFrom", Nested(&ENV_VAR_SOURCE)),
    ],
};

pub(super) static ENV_VAR_SOURCE: Message = Message {
    name: "EnvVarSource",
    fields: &[
        optional(1, "fieldRef", Nested(&OBJECT_FIELD_SELECTOR)),
        optional(2, "resourceFieldRef", Nested(&RESOURCE_FIELD_SELECTOR)),
        optional(3, "configMapKeyRef", Nested(&CONFIG_MAP_KEY_SELECTOR)),
        optional(4, "secretKeyRef", Nested(&SECRET_KEY_SELECTOR)),
        optional(5, "fileKeyRef", Nested(&FILE_KEY_SELECTOR)),
    ],
};

pub(super) static CONFIG_MAP_KEY_SELECTOR: Message = Message {
    name: "ConfigMapKeySelector",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        always(2, "key", Text),
        optional(3, "optional", Bool),
    ],
};

pub(super) static SECRET_KEY_SELECTOR: Message = Message {
    name: "SecretKeySelector",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        always(2, "key", Text),
        optional(3, "optional", Bool),
    ],
};

pub(super) static FILE_KEY_SELECTOR: Message = Message {
    name: "FileKeySelector",
    fields: &[
        always(1, "volumeName", Text),
        always(2, "path", Text),
        always(3, "key", Text),
        optional(4, "optional", Bool),
    ],
};

pub(super) static RESOURCE_REQUIREMENTS: Message = Message {
    name: "ResourceRequirements",
    fields: &[
        map(1, "limits", Quantity),
        map(2, "requests", Quantity),
        list(3, "claims", Nested(&RESOURCE_CLAIM)),
    ],
};

pub(super) static RESOURCE_CLAIM: Message = Message {
    name: "ResourceClaim",
    fields: &[always(1, "name", Text), omitted(2, "request", Text)],
};

pub(super) static CONTAINER_RESIZE_POLICY: Message = Message {
    name: "ContainerResizePolicy",
    fields: &[
        always(1, "resourceName", Text),
        always(2, "restartPolicy", Text),
    ],
};

pub(super) static CONTAINER_RESTART_RULE: Message = Message {
    name: "ContainerRestartRule",
    fields: &[
        omitted(1, "action", Text),
        optional(
            2,
            "exitCodes",
            Nested(&CONTAINER_RESTART_RULE_ON_EXIT_CODES),
        ),
    ],
};

pub(super) static CONTAINER_RESTART_RULE_ON_EXIT_CODES: Message = Message {
    name: "ContainerRestartRuleOnExitCodes",
    fields: &[omitted(1, "operator", Text), list(2, "values", Int32)],
};

pub(super) static VOLUME_MOUNT: Message = Message {
    name: "VolumeMount",
    fields: &[
        always(1, "name", Text),
        omitted(2, "readOnly", Bool),
        always(3, "mountPath", Text),
        omitted(4, "subPath", Text),
        optional(5, "mountPropagation", Text),
        omitted(6, "subPathExpr", Text),
        optional(7, "recursiveReadOnly", Text),
        list(8, "bindMountOptions", Text),
    ],
};

pub(super) static VOLUME_DEVICE: Message = Message {
    name: "VolumeDevice",
    fields: &[always(1, "name", Text), always(2, "devicePath", Text)],
};

pub(super) static PROBE: Message = Message {
    name: "Probe",
    fields: &[
        inline(1, &PROBE_HANDLER),
        omitted(2, "initialDelaySeconds", Int32),
        omitted(3, "timeoutSeconds", Int32),
        omitted(4, "periodSeconds", Int32),
        omitted(5, "successThreshold", Int32),
        omitted(6, "failureThreshold", Int32),
        optional(7, "terminationGracePeriodSeconds", Int64),
    ],
};

pub(super) static PROBE_HANDLER: Message = Message {
    name: "ProbeHandler",
    fields: &[
        optional(1, "exec", Nested(&EXEC_ACTION)),
        optional(2, "httpGet", Nested(&HTTP_GET_ACTION)),
        optional(3, "tcpSocket", Nested(&TCP_SOCKET_ACTION)),
        optional(4, "grpc", Nested(&GRPC_ACTION)),
    ],
};

pub(super) static EXEC_ACTION: Message = Message {
    name: "ExecAction",
    fields: &[list(1, "command", Text)],
};

pub(super) static HTTP_GET_ACTION: Message = Message {
    name: "HTTPGetAction",
    fields: &[
        omitted(1, "path", Text),
        always(2, "port", IntOrString),
        omitted(3, "host", Text),
        omitted(4, "scheme", Text),
        list(5, "httpHeaders", Nested(&HTTP_HEADER)),
        optional(6, "protocol", Text),
    ],
};

pub(super) static HTTP_HEADER: Message = Message {
    name: "HTTPHeader",
    fields: &[always(1, "name", Text), always(2, "value", Text)],
};

pub(super) static TCP_SOCKET_ACTION: Message = Message {
    name: "TCPSocketAction",
    fields: &[always(1, "port", IntOrString), omitted(2, "host", Text)],
};

pub(super) static GRPC_ACTION: Message = Message {
    name: "GRPCAction",
    fields: &[
        always(1, "port", Int32),
        optional(2, "service", Text),
        optional(3, "mode", Text),
    ],
};

pub(super) static LIFECYCLE: Message = Message {
    name: "Lifecycle",
    fields: &[
        optional(1, "postStart", Nested(&LIFECYCLE_HANDLER)),
        optional(2, "preStop", Nested(&LIFECYCLE_HANDLER)),
        optional(3, "stopSignal", Text),
    ],
};

pub(super) static LIFECYCLE_HANDLER: Message = Message {
    name: "LifecycleHandler",
    fields: &[
        optional(1, "exec", Nested(&EXEC_ACTION)),
        optional(2, "httpGet", Nested(&HTTP_GET_ACTION)),
        optional(3, "tcpSocket", Nested(&TCP_SOCKET_ACTION)),
        optional(4, "sleep", Nested(&SLEEP_ACTION)),
    ],
};

pub(super) static SLEEP_ACTION: Message = Message {
    name: "SleepAction",
    fields: &[always(1, "seconds", Int64)],
};

pub(super) static SECURITY_CONTEXT: Message = Message {
    name: "SecurityContext",
    fields: &[
        optional(1, "capabilities", Nested(&CAPABILITIES)),
        optional(2, "privileged", Bool),
        optional(3, "seLinuxOptions", Nested(&SE_LINUX_OPTIONS)),
        optional(4, "runAsUser", Int64),
        optional(5, "runAsNonRoot", Bool),
        optional(6, "readOnlyRootFilesystem", Bool),
        optional(7, "allowPrivilegeEscalation", Bool),
        optional(8, "runAsGroup", Int64),
        optional(9, "procMount", Text),
        optional(
            10,
            "windowsOptions",
            Nested(&WINDOWS_SECURITY_CONTEXT_OPTIONS),
        ),
        optional(11, "seccompProfile", Nested(&SECCOMP_PROFILE)),
        optional(12, "appArmorProfile", Nested(&APP_ARMOR_PROFILE)),
    ],
};

pub(super) static CAPABILITIES: Message = Message {
    name: "Capabilities",
    fields: &[list(1, "add", Text), list(2, "drop", Text)],
};

pub(super) static SE_LINUX_OPTIONS: Message = Message {
    name: "SELinuxOptions",
    fields: &[
        omitted(1, "user", Text),
        omitted(2, "role", Text),
        omitted(3, "type", Text),
        omitted(4, "level", Text),
    ],
};

pub(super) static WINDOWS_SECURITY_CONTEXT_OPTIONS: Message = Message {
    name: "WindowsSecurityContextOptions",
    fields: &[
        optional(1, "gmsaCredentialSpecName", Text),
        optional(2, "gmsaCredentialSpec", Text),
        optional(3, "runAsUserName", Text),
        optional(4, "hostProcess", Bool),
    ],
};

pub(super) static SECCOMP_PROFILE: Message = Message {
    name: "SeccompProfile",
    fields: &[
        always(1, "type", Text),
        optional(2, "localhostProfile", Text),
    ],
};

pub(super) static APP_ARMOR_PROFILE: Message = Message {
    name: "AppArmorProfile",
    fields: &[
        always(1, "type", Text),
        optional(2, "localhostProfile", Text),
    ],
};

pub(super) static EPHEMERAL_CONTAINER: Message = Message {
    name: "EphemeralContainer",
    fields: &[
        inline(1, &EPHEMERAL_CONTAINER_COMMON),
        omitted(2, "targetContainerName", Text),
    ],
};

pub(super) static EPHEMERAL_CONTAINER_COMMON: Message = Message {
    name: "EphemeralContainerCommon",
    fields: &[
        always(1, "name", Text),
        omitted(2, "image", Text),
        list(3, "command", Text),
        list(4, "args", Text),
        omitted(5, "workingDir", Text),
        list(6, "ports", Nested(&CONTAINER_PORT)),
        list(7, "env", Nested(&ENV_VAR)),
        omitted(8, "resources", Nested(&RESOURCE_REQUIREMENTS)),
        list(9, "volumeMounts", Nested(&VOLUME_MOUNT)),
        optional(10, "livenessProbe", Nested(&PROBE)),
        optional(11, "readinessProbe", Nested(&PROBE)),
        optional(12, "lifecycle", Nested(&LIFECYCLE)),
        omitted(13, "terminationMessagePath", Text),
        omitted(14, "imagePullPolicy", Text),
        optional(15, "securityContext", Nested(&SECURITY_CONTEXT)),
        omitted(16, "stdin", Bool),
        omitted(17, "stdinOnce", Bool),
        omitted(18, "tty", Bool),
        list(19, "envFrom", Nested(&ENV_FROM_SOURCE)),
        omitted(20, "terminationMessagePolicy", Text),
        list(21, "volumeDevices", Nested(&VOLUME_DEVICE)),
        optional(22, "startupProbe", Nested(&PROBE)),
        list(23, "resizePolicy", Nested(&CONTAINER_RESIZE_POLICY)),
        optional(24, "restartPolicy", Text),
        list(25, "restartPolicyRules", Nested(&CONTAINER_RESTART_RULE)),
    ],
};
