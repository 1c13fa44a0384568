//! Volumes, as our kinds spell them: Kubernetes' own members, plus a claim template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as corev1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A volume of a pod; give one of the members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::terse_fields)]
pub struct VolumeSource {
    /// A disk of AWS EBS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_elastic_block_store: Option<corev1::AWSElasticBlockStoreVolumeSource>,
    /// A data disk of Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_disk: Option<corev1::AzureDiskVolumeSource>,
    /// A share of Azure Files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_file: Option<corev1::AzureFileVolumeSource>,
    /// A CephFS mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cephfs: Option<corev1::CephFSVolumeSource>,
    /// A volume of OpenStack Cinder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cinder: Option<corev1::CinderVolumeSource>,
    /// The keys of a ConfigMap as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub config_map: Option<corev1::ConfigMapVolumeSource>,
    /// A volume created by a CSI driver for the lifetime of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<corev1::CSIVolumeSource>,
    /// Facts about the pod as files.
    #[serde(
        default,
        rename = "downwardAPI",
        skip_serializing_if = "Option::is_none"
    )]
    pub downward_api: Option<corev1::DownwardAPIVolumeSource>,
    /// A directory that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<corev1::EmptyDirVolumeSource>,
    /// A claim created for the pod and deleted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<corev1::EphemeralVolumeSource>,
    /// A Fibre Channel disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fc: Option<corev1::FCVolumeSource>,
    /// A volume created by an exec based plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex_volume: Option<corev1::FlexVolumeSource>,
    /// A Flocker volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flocker: Option<corev1::FlockerVolumeSource>,
    /// A persistent disk of GCE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gce_persistent_disk: Option<corev1::GCEPersistentDiskVolumeSource>,
    /// A Glusterfs mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glusterfs: Option<corev1::GlusterfsVolumeSource>,
    /// A path on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<corev1::HostPathVolumeSource>,
    /// An iSCSI disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iscsi: Option<corev1::ISCSIVolumeSource>,
    /// An NFS mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<corev1::NFSVolumeSource>,
    /// A PersistentVolumeClaim of the pod's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<corev1::PersistentVolumeClaimVolumeSource>,
    /// A Photon Controller disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photon_persistent_disk: Option<corev1::PhotonPersistentDiskVolumeSource>,
    /// A Portworx volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portworx_volume: Option<corev1::PortworxVolumeSource>,
    /// Several sources in one directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<corev1::ProjectedVolumeSource>,
    /// A Quobyte mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quobyte: Option<corev1::QuobyteVolumeSource>,
    /// A Rados block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rbd: Option<corev1::RBDVolumeSource>,
    /// A ScaleIO volume.
    #[serde(default, rename = "scaleIO", skip_serializing_if = "Option::is_none")]
    pub scale_io: Option<corev1::ScaleIOVolumeSource>,
    /// The keys of a Secret as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<corev1::SecretVolumeSource>,
    /// A StorageOS volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storageos: Option<corev1::StorageOSVolumeSource>,
    /// A disk of vSphere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsphere_volume: Option<corev1::VsphereVirtualDiskVolumeSource>,
}

impl VolumeSource {
    /// The volume as Kubernetes' own type, under a name.
    #[must_use]
    pub fn to_pod_volume(&self, name: &str) -> corev1::Volume {
        let source = self.clone();
        corev1::Volume {
            name: name.to_owned(),
            aws_elastic_block_store: source.aws_elastic_block_store,
            azure_disk: source.azure_disk,
            azure_file: source.azure_file,
            cephfs: source.cephfs,
            cinder: source.cinder,
            config_map: source.config_map,
            csi: source.csi,
            downward_api: source.downward_api,
            empty_dir: source.empty_dir,
            ephemeral: source.ephemeral,
            fc: source.fc,
            flex_volume: source.flex_volume,
            flocker: source.flocker,
            gce_persistent_disk: source.gce_persistent_disk,
            git_repo: None,
            glusterfs: source.glusterfs,
            host_path: source.host_path,
            image: None,
            iscsi: source.iscsi,
            nfs: source.nfs,
            persistent_volume_claim: source.persistent_volume_claim,
            photon_persistent_disk: source.photon_persistent_disk,
            portworx_volume: source.portworx_volume,
            projected: source.projected,
            quobyte: source.quobyte,
            rbd: source.rbd,
            scale_io: source.scale_io,
            secret: source.secret,
            storageos: source.storageos,
            vsphere_volume: source.vsphere_volume,
        }
    }
}

/// A volume of a pod, or the template of a claim to create for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplatedVolumeSource {
    /// The volume.
    #[serde(flatten)]
    pub volume: VolumeSource,
    /// A claim that is created when the volume is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim_template: Option<PersistentVolumeClaim>,
}

/// A named volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Name by which mounts refer to the volume.
    pub name: String,
    /// The volume.
    #[serde(flatten)]
    pub source: TemplatedVolumeSource,
}

impl Volume {
    /// The volume as Kubernetes' own type. A claim template has no counterpart there and is not in
    /// the result.
    #[must_use]
    pub fn to_pod_volume(&self) -> corev1::Volume {
        self.source.volume.to_pod_volume(&self.name)
    }
}

/// A claim to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolumeClaim {
    /// `v1`, if the whole claim is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `PersistentVolumeClaim`, if the whole claim is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name, labels and annotations of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ClaimMetadata>,
    /// What is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse)]
    pub spec: Option<corev1::PersistentVolumeClaimSpec>,
    /// Accepted for compatibility: the state of a claim that the template was copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse)]
    pub status: Option<corev1::PersistentVolumeClaimStatus>,
}

/// The part of a claim's metadata that can be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMetadata {
    /// Annotations of the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Start of the name, if no name is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    /// Labels of the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Name of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Owners of the claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub owner_references: Vec<OwnerReference>,
}
