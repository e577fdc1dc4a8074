//! What others on this machine must not read: the data folder, and in it keys, given, or made once and kept.

use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use engine::PayloadKeys;

use crate::config;

/// Everybody makes files there, as in `/tmp`.
const STICKY: u32 = 0o1000;
/// All rights of group and others.
const OTHERS: u32 = 0o077;

/// Makes a folder that only its owner may look into, or makes one that is there such a folder; gives its full
/// path.
pub fn private_folder(folder: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = folder.canonicalize()?;
    let mode = fs::metadata(&folder)?.permissions().mode();
    if mode & STICKY != 0 {
        return Err(io::Error::other("it is shared with other users: choose a folder of its own"));
    }
    if mode & OTHERS != 0 {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(folder)
}

/// `HOLDFAST_PAYLOAD_KEY`, or the key in `payload.key` of the data folder, made at the first start.
pub fn payload_key(data_dir: &Path) -> anyhow::Result<String> {
    if let Some(key) = config::optional("HOLDFAST_PAYLOAD_KEY") {
        return checked(key, "HOLDFAST_PAYLOAD_KEY");
    }
    let file = data_dir.join("payload.key");
    checked(kept(&file)?, &file.display().to_string())
}

/// A key of the API that is as long as `holdfast api` wants one: kept in `api.key`.
pub fn api_key(data_dir: &Path) -> anyhow::Result<String> {
    kept(&data_dir.join("api.key"))
}

/// What accounts of customers are made with: given, or kept in `account.secret`.
pub fn account_secret(data_dir: &Path) -> anyhow::Result<String> {
    given_or_kept("HOLDFAST_ACCOUNT_SECRET", &data_dir.join("account.secret"))
}

/// What links in mails are signed with: given, or kept in `link.secret`.
pub fn link_secret(data_dir: &Path) -> anyhow::Result<String> {
    given_or_kept("HOLDFAST_LINK_SECRET", &data_dir.join("link.secret"))
}

fn given_or_kept(name: &str, file: &Path) -> anyhow::Result<String> {
    config::optional(name).map_or_else(|| kept(file), Ok)
}

/// What is in a file; at the first start, a new random key.
fn kept(file: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(key) => Ok(key.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = PayloadKeys::generate();
            write_private(file, &key)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn checked(key: String, place: &str) -> anyhow::Result<String> {
    match PayloadKeys::parse(&key) {
        Ok(_) => Ok(key),
        Err(why) => anyhow::bail!("the payload key in {place} is no 32 bytes in base64: {why}"),
    }
}

/// Writes a file that only its owner may read. It is whole or not there, also if we are killed now.
pub fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let part = file.with_added_extension("part");
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options
        .open(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&part, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
