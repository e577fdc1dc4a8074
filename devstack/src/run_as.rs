//! PostgreSQL refuses to run as root. When we are root, it runs as a user without rights.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

/// As whom a server runs.
#[derive(Default)]
pub(crate) struct RunAs {
    /// User and group its files must belong to; none: ours.
    owner: Option<(u32, u32)>,
    /// Put before its command line.
    pub(crate) prefix: Vec<OsString>,
    /// To be set while spawning, where there is no prefix to do so.
    pub(crate) ids: Option<(u32, u32)>,
}

impl RunAs {
    /// The user for a server that refuses root. Data made by some user stays with that user.
    pub(crate) fn not_root(data_dir: &Path) -> Result<RunAs> {
        if !rustix::process::geteuid().is_root() {
            return Ok(RunAs::default());
        }
        let made_by = fs::metadata(data_dir).ok().filter(|meta| meta.uid() != 0);
        let (uid, gid) = match made_by {
            Some(meta) => (meta.uid(), meta.gid()),
            None => unprivileged_user()?,
        };
        let setpriv = setpriv(uid, gid);
        let ids = setpriv.is_empty().then_some((uid, gid));
        Ok(RunAs { owner: Some((uid, gid)), prefix: setpriv, ids })
    }

    /// For an error's end: what may be wrong with running as that user.
    pub(crate) fn hint(&self) -> &'static str {
        match self.ids {
            Some(_) => {
                " as a user who is not root, but may not enter all folders above: \
                 use another data folder or install setpriv (util-linux)"
            }
            None => "",
        }
    }

    /// Makes `path` belong to that user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.owner else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid))
            .with_context(|| format!("could not give {} to user {uid}", path.display()))
    }
}

/// The command that becomes that user yet still passes folders only root may enter, since our data
/// and tools may lie below `/root`. `no_setuid_fixup` keeps that right visible to `access(2)`, by
/// which PostgreSQL looks for its own files. Empty where this system cannot do it.
fn setpriv(uid: u32, gid: u32) -> Vec<OsString> {
    let command: Vec<OsString> = [
        "setpriv",
        &format!("--reuid={uid}"),
        &format!("--regid={gid}"),
        "--clear-groups",
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    .map(OsString::from)
    .to_vec();
    let works = Command::new(&command[0])
        .args(&command[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if works { command } else { Vec::new() }
}

/// User and group id of `nobody`, or else of `postgres`.
fn unprivileged_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("could not read /etc/passwd")?;
    ["nobody", "postgres"].iter().find_map(|name| ids_of(&users, name)).ok_or_else(|| {
        anyhow!("PostgreSQL refuses to run as root and there is no user `nobody`: run as another user")
    })
}

fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let user = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = user.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
