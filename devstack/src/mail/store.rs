//! The mails caught so far: in memory, and as files if there is a folder for them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::message::Summary;

/// The longest mail taken.
pub(super) const MAX_MAIL_BYTES: usize = 5 * 1024 * 1024;
/// The oldest mails are dropped beyond this many, or this many bytes together.
const MAX_MAILS: usize = 2_000;
const MAX_TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// One mail as it came.
pub(super) struct Mail {
    /// Time of arrival in milliseconds, then a number that tells apart mails of the same one.
    /// Ids sort by arrival.
    pub(super) id: String,
    pub(super) raw: Vec<u8>,
    /// Kept, since the page asks for the list every two seconds.
    pub(super) summary: Summary,
}

impl Mail {
    fn new(id: String, raw: Vec<u8>) -> Mail {
        let arrived_ms = id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let summary = Summary::of(&id, arrived_ms, &raw);
        Mail { id, raw, summary }
    }
}

pub(super) struct Store {
    dir: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Oldest first.
    mails: VecDeque<Arc<Mail>>,
    total_bytes: usize,
    /// Mails added by this process.
    added: u64,
}

impl Store {
    /// Opens the folder and reads the mails of earlier runs.
    pub(super) fn open(dir: Option<PathBuf>) -> Result<Store> {
        let mut inner = Inner::default();
        if let Some(dir) = &dir {
            fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
            let mut files: Vec<_> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
            files.sort();
            for file in files {
                let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let raw = fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
                inner.push(Mail::new(id, raw));
            }
        }
        let store = Store { dir, inner: Mutex::new(inner) };
        store.drop_oldest(&mut store.lock());
        Ok(store)
    }

    /// Keeps a mail.
    pub(super) fn add(&self, raw: Vec<u8>) -> io::Result<()> {
        let mut inner = self.lock();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        inner.added += 1;
        let id = format!("{now_ms:013}-{:06}", inner.added % 1_000_000);
        if let Some(dir) = &self.dir {
            // Appears under its name only when complete, in case we are killed meanwhile.
            let part = dir.join(format!("{id}.part"));
            fs::write(&part, &raw)?;
            fs::rename(part, dir.join(format!("{id}.eml")))?;
        }
        inner.push(Mail::new(id, raw));
        self.drop_oldest(&mut inner);
        Ok(())
    }

    /// All mails, newest first.
    pub(super) fn list(&self) -> Vec<Arc<Mail>> {
        self.lock().mails.iter().rev().cloned().collect()
    }

    /// The mail with this id; `latest` is the newest one.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Mail>> {
        let inner = self.lock();
        match id {
            "latest" => inner.mails.back().cloned(),
            _ => inner.mails.iter().find(|mail| mail.id == id).cloned(),
        }
    }

    /// Forgets all mails.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        while self.drop_one(&mut inner) {}
    }

    fn drop_oldest(&self, inner: &mut Inner) {
        while inner.mails.len() > MAX_MAILS || inner.total_bytes > MAX_TOTAL_BYTES {
            self.drop_one(inner);
        }
    }

    fn drop_one(&self, inner: &mut Inner) -> bool {
        let Some(mail) = inner.mails.pop_front() else {
            return false;
        };
        inner.total_bytes -= mail.raw.len();
        if let Some(dir) = &self.dir {
            let _ = fs::remove_file(dir.join(format!("{}.eml", mail.id)));
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, mail: Mail) {
        self.total_bytes += mail.raw.len();
        self.mails.push_back(Arc::new(mail));
    }
}
