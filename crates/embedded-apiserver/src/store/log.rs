//! Durability: an append-only log of changes, rewritten as a snapshot when it has grown.
//!
//! One JSON document per line: `{"r":7,"c":"jobs.batch","o":{…}}` stores an object at revision 7,
//! `{"r":8,"c":"jobs.batch","n":["default","a"]}` removes one, `{"r":8}` only tells the revision.
//! A change is in the file (in the kernel's memory) before anyone hears of it, so that a crash of
//! the process loses nothing; a thread forces the file to disk a moment later, so that a crash of
//! the machine loses at most [`SYNC_INTERVAL`]. The last line may be torn: everything from the
//! first line that cannot be read is cut off when the log is opened.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::object::Key;

/// The longest time a change is only in the kernel's memory.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// A log smaller than this is never rewritten while the server runs.
const REWRITE_FROM: u64 = 16 << 20;
/// A log is rewritten when it is this many times as large as its live objects.
const REWRITE_RATIO: u64 = 4;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(rename = "r")]
    revision: u64,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none", borrow)]
    collection: Option<std::borrow::Cow<'a, str>>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none", borrow)]
    object: Option<&'a RawValue>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    name: Option<(String, String)>,
}

/// What a log held: the newest revision, and the objects by collection and key.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) revision: u64,
    pub(super) objects: BTreeMap<String, BTreeMap<Key, Vec<u8>>>,
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Held so that no second server uses the directory.
    _lock: File,
    length: u64,
    sync: SyncSender<File>,
}

impl Log {
    /// Opens or creates the log in a directory, and reads what it holds.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Restored)> {
        std::fs::create_dir_all(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} is in use by another server", directory.display()),
            ),
            std::fs::TryLockError::Error(error) => error,
        })?;
        let path = directory.join("objects.log");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        let (restored, length) = read(&file)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        let (sync, requests) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || sync_files(&requests))?;
        Ok((
            Self {
                path,
                file,
                _lock: lock,
                length,
                sync,
            },
            restored,
        ))
    }

    /// Appends one change; the object is `None` for a removal.
    pub(super) fn append(
        &mut self,
        revision: u64,
        collection: &str,
        key: &Key,
        object: Option<&[u8]>,
    ) -> io::Result<()> {
        let mut line = Vec::with_capacity(object.map_or(0, <[u8]>::len) + 128);
        write_line(&mut line, revision, collection, key, object)?;
        if let Err(error) = self.file.write_all(&line) {
            // Half a line in the middle would hide what comes after it.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += line.len() as u64;
        // A full channel means that a sync is about to happen anyway.
        match self.file.try_clone().map(|file| self.sync.try_send(file)) {
            Ok(Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether most of the log is history.
    pub(super) fn is_bloated(&self, live_bytes: u64) -> bool {
        self.length > REWRITE_FROM && self.length > live_bytes.saturating_mul(REWRITE_RATIO)
    }

    /// Replaces the log with a snapshot, atomically.
    pub(super) fn rewrite<'a>(
        &mut self,
        revision: u64,
        objects: impl Iterator<Item = (&'a str, &'a Key, u64, &'a [u8])>,
    ) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut writer = BufWriter::new(
            OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&temporary)?,
        );
        writeln!(writer, "{{\"r\":{revision}}}")?;
        let mut line = Vec::new();
        for (collection, key, revision, object) in objects {
            line.clear();
            write_line(&mut line, revision, collection, key, Some(object))?;
            writer.write_all(&line)?;
        }
        let mut file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.length = file.stream_position()?;
        self.file = file;
        Ok(())
    }
}

fn write_line(
    line: &mut Vec<u8>,
    revision: u64,
    collection: &str,
    key: &Key,
    object: Option<&[u8]>,
) -> io::Result<()> {
    write!(line, "{{\"r\":{revision},\"c\":")?;
    serde_json::to_writer(&mut *line, collection)?;
    match object {
        Some(object) => {
            line.extend_from_slice(b",\"o\":");
            line.extend_from_slice(object);
        }
        None => {
            line.extend_from_slice(b",\"n\":");
            serde_json::to_writer(&mut *line, &(&*key.namespace, &*key.name))?;
        }
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}

/// Reads all whole lines, and returns how many bytes they are.
fn read(file: &File) -> io::Result<(Restored, u64)> {
    let mut reader = BufReader::new(file);
    let mut restored = Restored::default();
    let mut length = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes)?;
        if read == 0 || bytes.last() != Some(&b'\n') || apply(&mut restored, &bytes).is_none() {
            return Ok((restored, length));
        }
        length += read as u64;
    }
}

fn apply(restored: &mut Restored, bytes: &[u8]) -> Option<()> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Names,
    }
    #[derive(Deserialize)]
    struct Names {
        name: String,
        #[serde(default)]
        namespace: String,
    }
    let line: Line<'_> = serde_json::from_slice(bytes).ok()?;
    restored.revision = restored.revision.max(line.revision);
    let Some(collection) = line.collection else {
        return Some(());
    };
    let objects = restored.objects.entry(collection.into_owned()).or_default();
    if let Some(object) = line.object {
        let names: Named = serde_json::from_str(object.get()).ok()?;
        let key = Key::new(&names.metadata.namespace, &names.metadata.name);
        objects.insert(key, object.get().as_bytes().to_vec());
    } else if let Some((namespace, name)) = line.name {
        objects.remove(&Key::new(&namespace, &name));
    }
    Some(())
}

/// Forces files to disk, at most once per interval; ends with the log.
fn sync_files(requests: &Receiver<File>) {
    while let Ok(file) = requests.recv() {
        // Nobody can be told; the next write to a broken disk fails by itself.
        let _ = file.sync_data();
        std::thread::sleep(SYNC_INTERVAL);
    }
}
