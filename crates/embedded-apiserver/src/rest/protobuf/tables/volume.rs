//! Volumes of a Pod.

use super::meta::{LABEL_SELECTOR, OBJECT_META};
use super::reference::{
    LOCAL_OBJECT_REFERENCE, OBJECT_FIELD_SELECTOR, RESOURCE_FIELD_SELECTOR,
    TYPED_LOCAL_OBJECT_REFERENCE, TYPED_OBJECT_REFERENCE,
};
use crate::rest::protobuf::field::Kind::{Bool, Int32, Int64, Nested, Quantity, Text};
use crate::rest::protobuf::field::{Message, always, inline, list, map, omitted, optional};

pub(super) static VOLUME: Message = Message {
    name: "Volume",
    fields: &[always(1, "name", Text), inline(2, &VOLUME_SOURCE)],
};

pub(super) static VOLUME_SOURCE: Message = Message {
    name: "VolumeSource",
    fields: &[
        optional(1, "hostPath", Nested(&HOST_PATH_VOLUME_SOURCE)),
        optional(2, "emptyDir", Nested(&EMPTY_DIR_VOLUME_SOURCE)),
        optional(
            3,
            "gcePersistentDisk",
            Nested(&GCE_PERSISTENT_DISK_VOLUME_SOURCE),
        ),
        optional(
            4,
            "awsElasticBlockStore",
            Nested(&AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE),
        ),
        optional(5, "gitRepo", Nested(&GIT_REPO_VOLUME_SOURCE)),
        optional(6, "secret", Nested(&SECRET_VOLUME_SOURCE)),
        optional(7, "nfs", Nested(&NFS_VOLUME_SOURCE)),
        optional(8, "iscsi", Nested(&ISCSI_VOLUME_SOURCE)),
        optional(9, "glusterfs", Nested(&GLUSTERFS_VOLUME_SOURCE)),
        optional(
            10,
            "persistentVolumeClaim",
            Nested(&PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE),
        ),
        optional(11, "rbd", Nested(&RBD_VOLUME_SOURCE)),
        optional(12, "flexVolume", Nested(&FLEX_VOLUME_SOURCE)),
        optional(13, "cinder", Nested(&CINDER_VOLUME_SOURCE)),
        optional(14, "cephfs", Nested(&CEPH_FS_VOLUME_SOURCE)),
        optional(15, "flocker", Nested(&FLOCKER_VOLUME_SOURCE)),
        optional(16, "downwardAPI", Nested(&DOWNWARD_API_VOLUME_SOURCE)),
        optional(17, "fc", Nested(&FC_VOLUME_SOURCE)),
        optional(18, "azureFile", Nested(&AZURE_FILE_VOLUME_SOURCE)),
        optional(19, "configMap", Nested(&CONFIG_MAP_VOLUME_SOURCE)),
        optional(
            20,
            "vsphereVolume",
            Nested(&VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE),
        ),
        optional(21, "quobyte", Nested(&QUOBYTE_VOLUME_SOURCE)),
        optional(22, "azureDisk", Nested(&AZURE_DISK_VOLUME_SOURCE)),
        optional(
            23,
            "photonPersistentDisk",
            Nested(&PHOTON_PERSISTENT_DISK_VOLUME_SOURCE),
        ),
        optional(24, "portworxVolume", Nested(&PORTWORX_VOLUME_SOURCE)),
        optional(25, "scaleIO", Nested(&SCALE_IO_VOLUME_SOURCE)),
        optional(26, "projected", Nested(&PROJECTED_VOLUME_SOURCE)),
        optional(27, "storageos", Nested(&STORAGE_OS_VOLUME_SOURCE)),
        optional(28, "csi", Nested(&CSI_VOLUME_SOURCE)),
        optional(29, "ephemeral", Nested(&EPHEMERAL_VOLUME_SOURCE)),
        optional(30, "image", Nested(&IMAGE_VOLUME_SOURCE)),
    ],
};

pub(super) static HOST_PATH_VOLUME_SOURCE: Message = Message {
    name: "HostPathVolumeSource",
    fields: &[always(1, "path", Text), optional(2, "type", Text)],
};

pub(super) static EMPTY_DIR_VOLUME_SOURCE: Message = Message {
    name: "EmptyDirVolumeSource",
    fields: &[
        omitted(1, "medium", Text),
        optional(2, "sizeLimit", Quantity),
        optional(3, "mode", Int32),
    ],
};

pub(super) static GCE_PERSISTENT_DISK_VOLUME_SOURCE: Message = Message {
    name: "GCEPersistentDiskVolumeSource",
    fields: &[
        always(1, "pdName", Text),
        omitted(2, "fsType", Text),
        omitted(3, "partition", Int32),
        omitted(4, "readOnly", Bool),
    ],
};

pub(super) static AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE: Message = Message {
    name: "AWSElasticBlockStoreVolumeSource",
    fields: &[
        always(1, "volumeID", Text),
        omitted(2, "fsType", Text),
        omitted(3, "partition", Int32),
        omitted(4, "readOnly", Bool),
    ],
};

pub(super) static GIT_REPO_VOLUME_SOURCE: Message = Message {
    name: "GitRepoVolumeSource",
    fields: &[
        always(1, "repository", Text),
        omitted(2, "revision", Text),
        omitted(3, "directory", Text),
    ],
};

pub(super) static SECRET_VOLUME_SOURCE: Message = Message {
    name: "SecretVolumeSource",
    fields: &[
        omitted(1, "secretName", Text),
        list(2, "items", Nested(&KEY_TO_PATH)),
        optional(3, "defaultMode", Int32),
        optional(4, "optional", Bool),
        optional(5, "defaultUser", Int64),
    ],
};

pub(super) static KEY_TO_PATH: Message = Message {
    name: "KeyToPath",
    fields: &[
        always(1, "key", Text),
        always(2, "path", Text),
        optional(3, "mode", Int32),
        optional(4, "user", Int64),
    ],
};

pub(super) static NFS_VOLUME_SOURCE: Message = Message {
    name: "NFSVolumeSource",
    fields: &[
        always(1, "server", Text),
        always(2, "path", Text),
        omitted(3, "readOnly", Bool),
    ],
};

pub(super) static ISCSI_VOLUME_SOURCE: Message = Message {
    name: "ISCSIVolumeSource",
    fields: &[
        always(1, "targetPortal", Text),
        always(2, "iqn", Text),
        always(3, "lun", Int32),
        omitted(4, "iscsiInterface", Text),
        omitted(5, "fsType", Text),
        omitted(6, "readOnly", Bool),
        list(7, "portals", Text),
        omitted(8, "chapAuthDiscovery", Bool),
        optional(10, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(11, "chapAuthSession", Bool),
        optional(12, "initiatorName", Text),
    ],
};

pub(super) static GLUSTERFS_VOLUME_SOURCE: Message = Message {
    name: "GlusterfsVolumeSource",
    fields: &[
        always(1, "endpoints", Text),
        always(2, "path", Text),
        omitted(3, "readOnly", Bool),
    ],
};

pub(super) static PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE: Message = Message {
    name: "PersistentVolumeClaimVolumeSource",
    fields: &[always(1, "claimName", Text), omitted(2, "readOnly", Bool)],
};

pub(super) static RBD_VOLUME_SOURCE: Message = Message {
    name: "RBDVolumeSource",
    fields: &[
        list(1, "monitors", Text),
        always(2, "image", Text),
        omitted(3, "fsType", Text),
        omitted(4, "pool", Text),
        omitted(5, "user", Text),
        omitted(6, "keyring", Text),
        optional(7, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(8, "readOnly", Bool),
    ],
};

pub(super) static FLEX_VOLUME_SOURCE: Message = Message {
    name: "FlexVolumeSource",
    fields: &[
        always(1, "driver", Text),
        omitted(2, "fsType", Text),
        optional(3, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(4, "readOnly", Bool),
        map(5, "options", Text),
    ],
};

pub(super) static CINDER_VOLUME_SOURCE: Message = Message {
    name: "CinderVolumeSource",
    fields: &[
        always(1, "volumeID", Text),
        omitted(2, "fsType", Text),
        omitted(3, "readOnly", Bool),
        optional(4, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
    ],
};

pub(super) static CEPH_FS_VOLUME_SOURCE: Message = Message {
    name: "CephFSVolumeSource",
    fields: &[
        list(1, "monitors", Text),
        omitted(2, "path", Text),
        omitted(3, "user", Text),
        omitted(4, "secretFile", Text),
        optional(5, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(6, "readOnly", Bool),
    ],
};

pub(super) static FLOCKER_VOLUME_SOURCE: Message = Message {
    name: "FlockerVolumeSource",
    fields: &[
        omitted(1, "datasetName", Text),
        omitted(2, "datasetUUID", Text),
    ],
};

pub(super) static DOWNWARD_API_VOLUME_SOURCE: Message = Message {
    name: "DownwardAPIVolumeSource",
    fields: &[
        list(1, "items", Nested(&DOWNWARD_API_VOLUME_FILE)),
        optional(2, "defaultMode", Int32),
        optional(3, "defaultUser", Int64),
    ],
};

pub(super) static DOWNWARD_API_VOLUME_FILE: Message = Message {
    name: "DownwardAPIVolumeFile",
    fields: &[
        always(1, "path", Text),
        optional(2, "fieldRef", Nested(&OBJECT_FIELD_SELECTOR)),
        optional(3, "resourceFieldRef", Nested(&RESOURCE_FIELD_SELECTOR)),
        optional(4, "mode", Int32),
        optional(5, "user", Int64),
    ],
};

pub(super) static FC_VOLUME_SOURCE: Message = Message {
    name: "FCVolumeSource",
    fields: &[
        list(1, "targetWWNs", Text),
        optional(2, "lun", Int32),
        omitted(3, "fsType", Text),
        omitted(4, "readOnly", Bool),
        list(5, "wwids", Text),
    ],
};

pub(super) static AZURE_FILE_VOLUME_SOURCE: Message = Message {
    name: "AzureFileVolumeSource",
    fields: &[
        always(1, "secretName", Text),
        always(2, "shareName", Text),
        omitted(3, "readOnly", Bool),
    ],
};

pub(super) static CONFIG_MAP_VOLUME_SOURCE: Message = Message {
    name: "ConfigMapVolumeSource",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        list(2, "items", Nested(&KEY_TO_PATH)),
        optional(3, "defaultMode", Int32),
        optional(4, "optional", Bool),
        optional(5, "defaultUser", Int64),
    ],
};

pub(super) static VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE: Message = Message {
    name: "VsphereVirtualDiskVolumeSource",
    fields: &[
        always(1, "volumePath", Text),
        omitted(2, "fsType", Text),
        omitted(3, "storagePolicyName", Text),
        omitted(4, "storagePolicyID", Text),
    ],
};

pub(super) static QUOBYTE_VOLUME_SOURCE: Message = Message {
    name: "QuobyteVolumeSource",
    fields: &[
        always(1, "registry", Text),
        always(2, "volume", Text),
        omitted(3, "readOnly", Bool),
        omitted(4, "user", Text),
        omitted(5, "group", Text),
        omitted(6, "tenant", Text),
    ],
};

pub(super) static AZURE_DISK_VOLUME_SOURCE: Message = Message {
    name: "AzureDiskVolumeSource",
    fields: &[
        always(1, "diskName", Text),
        always(2, "diskURI", Text),
        optional(3, "cachingMode", Text),
        optional(4, "fsType", Text),
        optional(5, "readOnly", Bool),
        optional(6, "kind", Text),
    ],
};

pub(super) static PHOTON_PERSISTENT_DISK_VOLUME_SOURCE: Message = Message {
    name: "PhotonPersistentDiskVolumeSource",
    fields: &[always(1, "pdID", Text), omitted(2, "fsType", Text)],
};

pub(super) static PROJECTED_VOLUME_SOURCE: Message = Message {
    name: "ProjectedVolumeSource",
    fields: &[
        list(1, "sources", Nested(&VOLUME_PROJECTION)),
        optional(2, "defaultMode", Int32),
        optional(3, "defaultUser", Int64),
    ],
};

pub(super) static VOLUME_PROJECTION: Message = Message {
    name: "VolumeProjection",
    fields: &[
        optional(1, "secret", Nested(&SECRET_PROJECTION)),
        optional(2, "downwardAPI", Nested(&DOWNWARD_API_PROJECTION)),
        optional(3, "configMap", Nested(&CONFIG_MAP_PROJECTION)),
        optional(
            4,
            "serviceAccountToken",
            Nested(&SERVICE_ACCOUNT_TOKEN_PROJECTION),
        ),
        optional(
            5,
            "clusterTrustBundle",
            Nested(&CLUSTER_TRUST_BUNDLE_PROJECTION),
        ),
        optional(6, "podCertificate", Nested(&POD_CERTIFICATE_PROJECTION)),
    ],
};

pub(super) static SECRET_PROJECTION: Message = Message {
    name: "SecretProjection",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        list(2, "items", Nested(&KEY_TO_PATH)),
        optional(4, "optional", Bool),
    ],
};

pub(super) static DOWNWARD_API_PROJECTION: Message = Message {
    name: "DownwardAPIProjection",
    fields: &[list(1, "items", Nested(&DOWNWARD_API_VOLUME_FILE))],
};

pub(super) static CONFIG_MAP_PROJECTION: Message = Message {
    name: "ConfigMapProjection",
    fields: &[
        inline(1, &LOCAL_OBJECT_REFERENCE),
        list(2, "items", Nested(&KEY_TO_PATH)),
        optional(4, "optional", Bool),
    ],
};

pub(super) static SERVICE_ACCOUNT_TOKEN_PROJECTION: Message = Message {
    name: "ServiceAccountTokenProjection",
    fields: &[
        omitted(1, "audience", Text),
        optional(2, "expirationSeconds", Int64),
        always(3, "path", Text),
        optional(4, "user", Int64),
    ],
};

pub(super) static CLUSTER_TRUST_BUNDLE_PROJECTION: Message = Message {
    name: "ClusterTrustBundleProjection",
    fields: &[
        optional(1, "name", Text),
        optional(2, "signerName", Text),
        optional(3, "labelSelector", Nested(&LABEL_SELECTOR)),
        always(4, "path", Text),
        optional(5, "optional", Bool),
        optional(6, "user", Int64),
    ],
};

pub(super) static POD_CERTIFICATE_PROJECTION: Message = Message {
    name: "PodCertificateProjection",
    fields: &[
        omitted(1, "signerName", Text),
        omitted(2, "keyType", Text),
        optional(3, "maxExpirationSeconds", Int32),
        omitted(4, "credentialBundlePath", Text),
        omitted(5, "keyPath", Text),
        omitted(6, "certificateChainPath", Text),
        map(7, "userAnnotations", Text),
        optional(8, "user", Int64),
    ],
};

pub(super) static PORTWORX_VOLUME_SOURCE: Message = Message {
    name: "PortworxVolumeSource",
    fields: &[
        always(1, "volumeID", Text),
        omitted(2, "fsType", Text),
        omitted(3, "readOnly", Bool),
    ],
};

pub(super) static SCALE_IO_VOLUME_SOURCE: Message = Message {
    name: "ScaleIOVolumeSource",
    fields: &[
        always(1, "gateway", Text),
        always(2, "system", Text),
        optional(3, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
        omitted(4, "sslEnabled", Bool),
        omitted(5, "protectionDomain", Text),
        omitted(6, "storagePool", Text),
        omitted(7, "storageMode", Text),
        omitted(8, "volumeName", Text),
        omitted(9, "fsType", Text),
        omitted(10, "readOnly", Bool),
    ],
};

pub(super) static STORAGE_OS_VOLUME_SOURCE: Message = Message {
    name: "StorageOSVolumeSource",
    fields: &[
        omitted(1, "volumeName", Text),
        omitted(2, "volumeNamespace", Text),
        omitted(3, "fsType", Text),
        omitted(4, "readOnly", Bool),
        optional(5, "secretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
    ],
};

pub(super) static CSI_VOLUME_SOURCE: Message = Message {
    name: "CSIVolumeSource",
    fields: &[
        always(1, "driver", Text),
        optional(2, "readOnly", Bool),
        optional(3, "fsType", Text),
        map(4, "volumeAttributes", Text),
        optional(5, "nodePublishSecretRef", Nested(&LOCAL_OBJECT_REFERENCE)),
    ],
};

pub(super) static EPHEMERAL_VOLUME_SOURCE: Message = Message {
    name: "EphemeralVolumeSource",
    fields: &[optional(
        1,
        "volumeClaimTemplate",
        Nested(&PERSISTENT_VOLUME_CLAIM_TEMPLATE),
    )],
};

pub(super) static PERSISTENT_VOLUME_CLAIM_TEMPLATE: Message = Message {
    name: "PersistentVolumeClaimTemplate",
    fields: &[
        omitted(1, "metadata", Nested(&OBJECT_META)),
        always(2, "spec", Nested(&PERSISTENT_VOLUME_CLAIM_SPEC)),
    ],
};

pub(super) static PERSISTENT_VOLUME_CLAIM_SPEC: Message = Message {
    name: "PersistentVolumeClaimSpec",
    fields: &[
        list(1, "accessModes", Text),
        omitted(2, "resources", Nested(&VOLUME_RESOURCE_REQUIREMENTS)),
        omitted(3, "volumeName", Text),
        optional(4, "selector", Nested(&LABEL_SELECTOR)),
        optional(5, "storageClassName", Text),
        optional(6, "volumeMode", Text),
        optional(7, "dataSource", Nested(&TYPED_LOCAL_OBJECT_REFERENCE)),
        optional(8, "dataSourceRef", Nested(&TYPED_OBJECT_REFERENCE)),
        optional(9, "volumeAttributesClassName", Text),
    ],
};

pub(super) static VOLUME_RESOURCE_REQUIREMENTS: Message = Message {
    name: "VolumeResourceRequirements",
    fields: &[map(1, "limits", Quantity), map(2, "requests", Quantity)],
};

pub(super) static IMAGE_VOLUME_SOURCE: Message = Message {
    name: "ImageVolumeSource",
    fields: &[
        omitted(1, "reference", Text),
        omitted(2, "pullPolicy", Text),
    ],
};
