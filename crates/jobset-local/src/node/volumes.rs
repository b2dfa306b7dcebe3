//! Volumes as directories of the host, to be bound into containers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, PersistentVolumeClaim, Pod,
    Volume,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::env::{self, SourceKind, Sources};
use super::fields::{self, PodFacts};
use super::sources;
use crate::sandbox::protocol::Mount;

/// File mode of projected files unless the spec says otherwise.
const DEFAULT_MODE: i32 = 0o644;

/// Where volumes live on the host.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The Pod's own directory, removed with it.
    pub(crate) pod: PathBuf,
    /// Claims, as `<namespace>/<claim>`; they outlive Pods.
    pub(crate) claims: PathBuf,
}

/// Makes every volume of the Pod and returns the host path of each by name.
///
/// # Errors
///
/// A message for the `FailedMount` event; the caller tries again.
pub(crate) async fn prepare(
    client: &Client,
    places: &Places,
    pod: &Pod,
    facts: &PodFacts,
) -> Result<HashMap<String, PathBuf>, String> {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|s| s.volumes.as_deref())
        .unwrap_or_default();
    if volumes.is_empty() {
        return Ok(HashMap::new());
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let needed = volumes.iter().flat_map(needed).collect();
    let sources = sources::fetch(client, namespace, needed)
        .await
        .map_err(|e| e.to_string())?;
    let mut paths = HashMap::new();
    for volume in volumes {
        let own = places.pod.join("volumes").join(&volume.name);
        let path = if let Some(claim) = claim_name(pod, volume) {
            bind_claim(client, namespace, &claim).await?;
            let path = places.claims.join(namespace).join(&claim);
            make_dir(&path, 0o777).map_err(|e| failed(volume, &e))?;
            path
        } else if let Some(host_path) = &volume.host_path {
            check_host_path(host_path).map_err(|e| format!("volume {:?}: {e}", volume.name))?
        } else {
            let files = contents(volume, pod, facts, &sources)
                .map_err(|e| format!("volume {:?}: {e}", volume.name))?;
            make_dir(&own, 0o777).map_err(|e| failed(volume, &e))?;
            for file in files {
                write_file(&own, &file).map_err(|e| failed(volume, &e))?;
            }
            own
        };
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

fn failed(volume: &Volume, error: &io::Error) -> String {
    format!("volume {:?}: {error}", volume.name)
}

/// The bind mounts of one container.
pub(crate) fn mounts(
    container: &Container,
    paths: &HashMap<String, PathBuf>,
    env: &[(String, String)],
) -> Result<Vec<Mount>, String> {
    if container
        .volume_devices
        .as_ref()
        .is_some_and(|d| !d.is_empty())
    {
        return Err("the process runtime has no block devices (volumeDevices)".to_owned());
    }
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let path = paths
            .get(&mount.name)
            .ok_or_else(|| format!("volumeMounts names unknown volume {:?}", mount.name))?;
        let expanded = mount.sub_path_expr.as_ref().map(|expression| {
            env::expand(expression, |name| {
                env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
            })
        });
        let sub_path = expanded
            .as_ref()
            .or(mount.sub_path.as_ref())
            .filter(|p| !p.is_empty());
        let source = match sub_path {
            None => path.clone(),
            Some(sub_path) => {
                let inner = relative(sub_path)?;
                let source = path.join(inner);
                if !source.exists() {
                    make_dir(&source, 0o777).map_err(|e| format!("subPath {sub_path:?}: {e}"))?;
                }
                // A link in the volume must not lead out of it.
                let real = |p: &Path| fs::canonicalize(p).map_err(|e| e.to_string());
                let (resolved, root) = (real(&source)?, real(path)?);
                if !resolved.starts_with(root) {
                    return Err(format!("subPath {sub_path:?} leads out of the volume"));
                }
                resolved
            }
        };
        mounts.push(Mount {
            source,
            target: Path::new("/").join(&mount.mount_path),
            read_only: mount.read_only == Some(true),
            optional: false,
        });
    }
    Ok(mounts)
}

/// A path below a volume: no `..`, not absolute.
fn relative(path: &str) -> Result<&Path, String> {
    let inner = Path::new(path);
    if inner
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
    {
        Ok(inner)
    } else {
        Err(format!(
            "path {path:?} must be relative and must not contain '..'"
        ))
    }
}

fn needed(volume: &Volume) -> BTreeSet<(SourceKind, String)> {
    let mut needed = BTreeSet::new();
    let mut add = |kind, name: Option<&String>| {
        needed.extend(name.map(|n| (kind, n.clone())));
    };
    add(
        SourceKind::ConfigMap,
        volume.config_map.as_ref().map(|s| &s.name),
    );
    add(
        SourceKind::Secret,
        volume.secret.as_ref().and_then(|s| s.secret_name.as_ref()),
    );
    let projected = volume
        .projected
        .iter()
        .flat_map(|p| p.sources.iter().flatten());
    for source in projected {
        add(
            SourceKind::ConfigMap,
            source.config_map.as_ref().map(|s| &s.name),
        );
        add(SourceKind::Secret, source.secret.as_ref().map(|s| &s.name));
    }
    needed
}

/// A file to be written into a volume.
#[derive(Debug, PartialEq, Eq)]
struct File {
    path: String,
    mode: i32,
    data: Vec<u8>,
}

/// The files of a volume that has its own directory.
fn contents(
    volume: &Volume,
    pod: &Pod,
    facts: &PodFacts,
    sources: &Sources,
) -> Result<Vec<File>, String> {
    if volume.empty_dir.is_some() {
        return Ok(Vec::new());
    }
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let data = data_of(
            &sources.config_maps,
            "configmap",
            &source.name,
            source.optional,
        )?;
        return select(data, source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let data = data_of(&sources.secrets, "secret", name, source.optional)?;
        return select(data, source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let items = source.items.as_deref().unwrap_or_default();
        return items
            .iter()
            .map(|item| downward(item, pod, facts, mode))
            .collect();
    }
    if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        let mut files = Vec::new();
        for source in projected.sources.iter().flatten() {
            if let Some(s) = &source.config_map {
                let data = data_of(&sources.config_maps, "configmap", &s.name, s.optional)?;
                files.extend(select(data, s.items.as_deref(), mode, s.optional)?);
            } else if let Some(s) = &source.secret {
                let data = data_of(&sources.secrets, "secret", &s.name, s.optional)?;
                files.extend(select(data, s.items.as_deref(), mode, s.optional)?);
            } else if let Some(s) = &source.downward_api {
                for item in s.items.iter().flatten() {
                    files.push(downward(item, pod, facts, mode)?);
                }
            } else {
                return Err(
                    "a projected source is of a kind the process runtime does not have \
                            (it has configMap, secret and downwardAPI)"
                        .to_owned(),
                );
            }
        }
        return Ok(files);
    }
    Err(
        "this kind of volume does not exist in the process runtime; it has emptyDir, configMap, \
         secret, downwardAPI, projected, hostPath and persistentVolumeClaim"
            .to_owned(),
    )
}

type Entries<'a> = Option<&'a BTreeMap<String, Vec<u8>>>;

fn data_of<'a>(
    all: &'a env::Data,
    kind: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Entries<'a>, String> {
    match all.get(name).and_then(Option::as_ref) {
        Some(data) => Ok(Some(data)),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("{kind} {name:?} not found")),
    }
}

fn select(
    data: Entries<'_>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<Vec<File>, String> {
    let Some(data) = data else {
        return Ok(Vec::new());
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = data.iter();
        return Ok(all
            .map(|(k, v)| File {
                path: k.clone(),
                mode,
                data: v.clone(),
            })
            .collect());
    };
    let mut files = Vec::new();
    for item in items {
        match data.get(&item.key) {
            Some(value) => files.push(File {
                path: item.path.clone(),
                mode: item.mode.unwrap_or(mode),
                data: value.clone(),
            }),
            None if optional == Some(true) => {}
            None => return Err(format!("references non-existent key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward(
    item: &DownwardAPIVolumeFile,
    pod: &Pod,
    facts: &PodFacts,
    mode: i32,
) -> Result<File, String> {
    let text = if let Some(r) = &item.field_ref {
        fields::field(pod, facts, &r.field_path)?
    } else if let Some(r) = &item.resource_field_ref {
        let container = env::find(pod, r.container_name.as_deref().unwrap_or_default())?;
        fields::resource(container, facts, &r.resource, r.divisor.as_ref())?
    } else {
        return Err(format!("item {:?} has no source", item.path));
    };
    Ok(File {
        path: item.path.clone(),
        mode: item.mode.unwrap_or(mode),
        data: text.into_bytes(),
    })
}

fn write_file(directory: &Path, file: &File) -> io::Result<()> {
    let inner = relative(&file.path).map_err(io::Error::other)?;
    let path = directory.join(inner);
    if let Some(parent) = path.parent() {
        make_dir(parent, 0o755)?;
    }
    // Never readable by others in between; and gone first, when a retry finds a read-only one.
    let _ = fs::remove_file(&path);
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    out.write_all(&file.data)?;
    out.set_permissions(Permissions::from_mode(file.mode.cast_unsigned() & 0o777))
}

/// Makes a directory and those above it; `mode` is set whatever the process's mask says.
fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The claim behind a volume; ephemeral ones are named after the Pod.
fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(claim.claim_name.clone());
    }
    volume.ephemeral.as_ref()?;
    Some(format!("{}-{}", pod.metadata.name.as_deref()?, volume.name))
}

/// Checks that the claim exists and says that it is bound: every claim is a directory here.
async fn bind_claim(client: &Client, namespace: &str, name: &str) -> Result<(), String> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = api.get_opt(name).await.map_err(|e| e.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound") {
        return Ok(());
    }
    let spec = claim.spec.as_ref();
    let patch = json!({"status": {
        "phase": "Bound",
        "accessModes": spec.and_then(|s| s.access_modes.clone()).unwrap_or_default(),
        "capacity": spec.and_then(|s| s.resources.as_ref()?.requests.clone()).unwrap_or_default(),
    }});
    let patched = api
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    patched.map(|_| ()).map_err(|e| e.to_string())
}

fn check_host_path(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let missing = !path.exists();
    let create = |made: io::Result<()>| made.map_err(|e| format!("hostPath {}: {e}", source.path));
    match kind {
        "DirectoryOrCreate" if missing => {
            create(DirBuilder::new().recursive(true).mode(0o755).create(&path))?;
        }
        "FileOrCreate" if missing => {
            create(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&path)
                    .map(|_| ()),
            )?;
        }
        _ => {}
    }
    let found = fs::metadata(&path)
        .map_err(|e| format!("hostPath {}: {e}", source.path))?
        .file_type();
    let fits = match kind {
        "Directory" | "DirectoryOrCreate" => found.is_dir(),
        "File" | "FileOrCreate" => found.is_file(),
        "Socket" => found.is_socket(),
        "CharDevice" => found.is_char_device(),
        "BlockDevice" => found.is_block_device(),
        _ => true,
    };
    if fits {
        Ok(path)
    } else {
        Err(format!(
            "hostPath type check failed: {} is not a {kind}",
            source.path
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::facts;
    use super::*;

    fn volume(value: serde_json::Value) -> Volume {
        let mut full = json!({"name": "v"});
        full.as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        serde_json::from_value(full).unwrap()
    }

    fn sources() -> Sources {
        let data = BTreeMap::from([
            ("a".to_owned(), b"1".to_vec()),
            ("b".to_owned(), b"2".to_vec()),
        ]);
        Sources {
            config_maps: HashMap::from([("cm".to_owned(), Some(data.clone()))]),
            secrets: HashMap::from([("s".to_owned(), Some(data))]),
        }
    }

    fn file(path: &str, mode: i32, data: &str) -> File {
        File {
            path: path.to_owned(),
            mode,
            data: data.as_bytes().to_vec(),
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"k": "v"}}})).unwrap()
    }

    #[test]
    fn projected_files() {
        let cases = [
            (json!({"emptyDir": {"medium": "Memory"}}), Ok(vec![])),
            (
                json!({"configMap": {"name": "cm"}}),
                Ok(vec![file("a", 0o644, "1"), file("b", 0o644, "2")]),
            ),
            (
                json!({"secret": {"secretName": "s", "defaultMode": 0o400,
                    "items": [{"key": "b", "path": "x/y"}, {"key": "a", "path": "z", "mode": 0o600}]}}),
                Ok(vec![file("x/y", 0o400, "2"), file("z", 0o600, "1")]),
            ),
            (
                json!({"configMap": {"name": "no", "optional": true}}),
                Ok(vec![]),
            ),
            (
                json!({"configMap": {"name": "no"}}),
                Err("configmap \"no\" not found"),
            ),
            (
                json!({"secret": {"secretName": "s", "items": [{"key": "no", "path": "p"}]}}),
                Err("references non-existent key: no"),
            ),
            (
                json!({"downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
                Ok(vec![file("labels", 0o644, "k=\"v\"")]),
            ),
            (
                json!({"projected": {"defaultMode": 0o440, "sources": [
                    {"configMap": {"name": "cm", "items": [{"key": "a", "path": "c"}]}},
                    {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
                Ok(vec![file("c", 0o440, "1"), file("n", 0o440, "p")]),
            ),
        ];
        for (source, expected) in cases {
            let got = contents(&volume(source.clone()), &pod(), &facts(), &sources());
            assert_eq!(got, expected.map_err(str::to_owned), "{source}");
        }
        let nfs = volume(json!({"nfs": {"server": "x", "path": "/"}}));
        assert!(contents(&nfs, &pod(), &facts(), &sources()).is_err());
    }

    #[test]
    fn files_stay_in_their_volume() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x"] {
            assert!(
                write_file(directory.path(), &file(path, 0o644, "")).is_err(),
                "{path}"
            );
        }
        write_file(directory.path(), &file("d/f", 0o400, "x")).unwrap();
        write_file(directory.path(), &file("d/f", 0o440, "y")).unwrap();
        let mode = fs::metadata(directory.path().join("d/f"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o440);
    }

    #[test]
    fn mounts_with_sub_paths() {
        let directory = tempfile::tempdir().unwrap();
        let paths = HashMap::from([("v".to_owned(), directory.path().to_owned())]);
        let container: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [
            {"name": "v", "mountPath": "/data"},
            {"name": "v", "mountPath": "/own", "subPathExpr": "pods/$(P)", "readOnly": true}]}))
        .unwrap();
        let env = [("P".to_owned(), "one".to_owned())];
        let got = mounts(&container, &paths, &env).unwrap();
        assert_eq!(got[0].target, Path::new("/data"));
        assert!(got[1].source.ends_with("pods/one") && got[1].source.is_dir() && got[1].read_only);
        std::os::unix::fs::symlink("/", directory.path().join("out")).unwrap();
        let bad: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [
            {"name": "v", "mountPath": "/x", "subPath": "out/etc"}]}))
        .unwrap();
        assert!(
            mounts(&bad, &paths, &env)
                .unwrap_err()
                .contains("out of the volume")
        );
    }
}
