//! A container's view of the file system: the host's, with volumes bound over it.
//!
//! Nothing is ever created on the host. Where a mount point does not exist, the nearest directory
//! above it that does is replaced, in this mount namespace only, by a *mirror*: a memory file
//! system into which every entry of the original is bound, and where missing directories can be
//! made. Entries that exist stay the host's; entries created directly in a mirrored directory
//! are private to the container and vanish with it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chroot, pivot_root};

use super::protocol::Mount;

const NONE: Option<&str> = None;

/// Device nodes that programs insist on finding as such; the others of `/dev` become links.
const DEVICES: [&str; 8] = [
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console",
];

/// Where the mirror of `/dev` keeps the original.
const ORIGINAL: &str = ".host";

/// Cuts this mount namespace off from the host's.
pub(super) fn make_private() -> Result<(), String> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|e| format!("cannot make mounts private: {e}"))
}

/// Mounts a `/proc` that shows this process-id namespace.
///
/// Inside another container that hides parts of `/proc` the kernel refuses; programs then see the
/// host's processes, which is harmless.
pub(super) fn mount_proc() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), flags, NONE);
}

/// Binds all `mounts`, mirroring directories on `stage` where mount points are missing.
pub(super) fn build(stage: &Path, mounts: &[Mount]) -> Result<(), String> {
    let mut mounts: Vec<Mount> = mounts.to_vec();
    for mount in &mut mounts {
        mount.target = resolve(&mount.target)?;
    }
    mounts.sort_by(|a, b| a.target.cmp(&b.target));

    // Mount points inside another volume are made in that volume, after it is mounted.
    let inner = |mount: &Mount| {
        let mut others = mounts.iter().filter(|o| o.target != mount.target);
        others.any(|o| mount.target.starts_with(&o.target))
    };
    let missing: Vec<&Mount> = mounts
        .iter()
        .filter(|m| !m.optional && !inner(m) && !fits(&m.source, &m.target))
        .collect();
    // In sorted order, an outer directory is mirrored before one inside it.
    let mirrors: BTreeSet<PathBuf> = missing
        .iter()
        .map(|m| existing_ancestor(&m.target))
        .collect();
    for directory in mirrors {
        mirror(stage, &directory)
            .map_err(|e| format!("cannot prepare {} for mounts: {e}", directory.display()))?;
    }
    let failed = |what: &str, mount: &Mount, error: io::Error| {
        let (source, target) = (mount.source.display(), mount.target.display());
        format!("cannot {what} {source} at {target}: {error}")
    };
    for mount in &missing {
        make_mount_point(&mount.source, &mount.target)
            .map_err(|e| failed("make room for", mount, e))?;
    }
    // All sources before the first bind: a volume at `/tmp`, say, may hide those that follow.
    let sources: Vec<io::Result<File>> = mounts.iter().map(|m| open_path(&m.source)).collect();
    for (mount, source) in mounts.iter().zip(sources) {
        let bound = source.and_then(|source| {
            let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
            if !mount.optional || fits(&source, &mount.target) {
                make_mount_point(&source, &mount.target)?;
                bind(&source, mount)?;
            }
            Ok(())
        });
        match bound {
            Err(_) if mount.optional => {}
            other => other.map_err(|e| failed("mount", mount, e))?,
        }
    }
    Ok(())
}

/// A handle that keeps naming what it names, whatever is mounted over its path.
fn open_path(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_PATH.bits())
        .open(path)
}

/// The mount point with symbolic links of its existing part followed.
fn resolve(target: &Path) -> Result<PathBuf, String> {
    let plain = target.components().all(|c| {
        matches!(
            c,
            Component::RootDir | Component::Normal(_) | Component::CurDir
        )
    });
    if !target.is_absolute() || !plain {
        return Err(format!(
            "mount path {} is not a plain absolute path",
            target.display()
        ));
    }
    let ancestor = existing_ancestor(target);
    let rest = target
        .strip_prefix(&ancestor)
        .unwrap_or(Path::new(""))
        .to_owned();
    let ancestor = fs::canonicalize(&ancestor)
        .map_err(|e| format!("cannot resolve {}: {e}", ancestor.display()))?;
    Ok(if rest.as_os_str().is_empty() {
        ancestor
    } else {
        ancestor.join(rest)
    })
}

/// The longest leading part of `path` that exists.
fn existing_ancestor(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// Whether the mount point exists and is of the source's kind.
fn fits(source: &Path, target: &Path) -> bool {
    match (fs::metadata(source), fs::metadata(target)) {
        (Ok(source), Ok(target)) => source.is_dir() == target.is_dir(),
        _ => false,
    }
}

fn make_mount_point(source: &Path, target: &Path) -> io::Result<()> {
    if fits(source, target) {
        return Ok(());
    }
    let is_dir = fs::metadata(source)?.is_dir();
    if fs::symlink_metadata(target).is_ok() {
        let (is, cannot) = if is_dir {
            ("a file", "a directory")
        } else {
            ("a directory", "a file")
        };
        return Err(io::Error::other(format!(
            "{cannot} cannot be mounted on {is}"
        )));
    }
    let directory = if is_dir {
        Some(target)
    } else {
        target.parent()
    };
    if let Some(directory) = directory {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)?;
    }
    if !is_dir {
        File::create(target)?;
    }
    Ok(())
}

fn bind(source: &Path, m: &Mount) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), &m.target, NONE, flags, NONE)?;
    if m.read_only {
        // A bind takes its options in a second step, and must keep those that are locked.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(
            NONE,
            &m.target,
            NONE,
            flags | present_flags(&m.target),
            NONE,
        )?;
    }
    Ok(())
}

fn present_flags(path: &Path) -> MsFlags {
    let mut flags = MsFlags::empty();
    if let Ok(present) = statvfs(path).map(|s| s.flags()) {
        for (have, keep) in [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
            (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        ] {
            if present.contains(have) {
                flags |= keep;
            }
        }
    }
    flags
}

/// Replaces `directory` by a writable copy of its first level.
fn mirror(stage: &Path, directory: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("jobset"),
        stage,
        Some("tmpfs"),
        flags,
        Some("mode=755"),
    )?;
    // Otherwise a bind of the directory that contains the stage would copy it into itself.
    mount(NONE, stage, NONE, MsFlags::MS_UNBINDABLE, NONE)?;
    let devices = directory == Path::new("/dev");
    if devices {
        let original = stage.join(ORIGINAL);
        fs::create_dir(&original)?;
        mount(
            Some(directory),
            &original,
            NONE,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            NONE,
        )?;
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let copy = stage.join(&name);
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &copy)?;
            continue;
        }
        let device = kind.is_char_device() || kind.is_block_device();
        if devices && device && !DEVICES.iter().any(|d| name.to_str() == Some(d)) {
            symlink(Path::new(ORIGINAL).join(&name), &copy)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&copy)?;
        } else {
            File::create(&copy)?;
        }
        // Entries that may not be bound (a dead network mount) appear empty.
        let _ = mount(
            Some(&entry.path()),
            &copy,
            NONE,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            NONE,
        );
    }
    if directory == Path::new("/") {
        return change_root(stage);
    }
    mount(Some(stage), directory, NONE, MsFlags::MS_MOVE, NONE)?;
    mount(NONE, directory, NONE, MsFlags::MS_PRIVATE, NONE)?;
    Ok(())
}

/// Makes the file system at `root` this process's root.
fn change_root(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    if pivot_root(".", ".").is_ok() {
        // The old root now lies on top of the new one.
        umount2(".", MntFlags::MNT_DETACH)?;
    } else {
        // An initial RAM file system cannot be pivoted away from.
        mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)?;
        chroot(".")?;
    }
    std::env::set_current_dir("/")?;
    mount(NONE, "/", NONE, MsFlags::MS_PRIVATE, NONE)?;
    Ok(())
}
