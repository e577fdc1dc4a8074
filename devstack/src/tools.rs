//! Where the server binaries are: on this machine, or among the tools fetched earlier, or fetched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::fetch;

/// Older ones lack what we start the server with.
const OLDEST_TEMPORAL: Version = (1, 9);
const OLDEST_POSTGRES_MAJOR: u32 = 14;
/// Something else may bear the name on PATH and never answer.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// Folders with one folder per installed PostgreSQL, and how the names of those begin.
const POSTGRES_HOMES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Major and minor.
type Version = (u32, u32);

/// Finds the server binaries, and fetches the missing ones once.
#[derive(Debug, Clone)]
pub struct Tools {
    dir: PathBuf,
}

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub(crate) struct PgBin {
    pub(crate) dir: PathBuf,
    major: u32,
}

impl Tools {
    /// `tools_dir` keeps what had to be fetched, as in `.holdfast/bin`. Many programs may share it.
    pub fn new(tools_dir: PathBuf) -> Tools {
        Tools { dir: tools_dir }
    }

    /// The `temporal` binary.
    pub(crate) async fn temporal(&self) -> Result<PathBuf> {
        for found in on_path("temporal") {
            match version_of(&found).await {
                Some(version) if version >= OLDEST_TEMPORAL => return Ok(found),
                Some((major, minor)) => {
                    eprintln!("{} is version {major}.{minor}, too old: not used", found.display());
                }
                None => {}
            }
        }
        let dir = self.dir()?;
        let fetched = fetch::temporal_in(&dir);
        if !fetched.is_file() {
            fetch::temporal(&dir).await?;
        }
        ensure!(
            version_of(&fetched).await.is_some(),
            "the fetched Temporal does not run here: remove {} and start again, or install its CLI",
            dir.display()
        );
        Ok(fetched)
    }

    /// PostgreSQL of the given major version, or of any that is new enough.
    pub(crate) async fn postgres(&self, major: Option<u32>) -> Result<PgBin> {
        let dir = self.dir()?;
        let mut found = installed().await;
        found.extend(probe(fetch::postgres_in(&dir)).await);
        if let Some(bin) = pick(&found, major) {
            return Ok(bin);
        }
        if fetch::has_postgres(major) && fetch::postgres_in(&dir).is_empty() {
            fetch::postgres(&dir).await?;
            found = probe(fetch::postgres_in(&dir)).await;
        }
        if let Some(bin) = pick(&found, major) {
            return Ok(bin);
        }
        match major {
            Some(major) => bail!(
                "the data was made by PostgreSQL {major}, which is not here: install it, \
                 or use another data folder"
            ),
            None => bail!(
                "the fetched PostgreSQL does not run here: \
                 install PostgreSQL {OLDEST_POSTGRES_MAJOR} or newer"
            ),
        }
    }

    /// The `tansu` binary: the fetched one alone, for it is known by its hash.
    pub(crate) async fn tansu(&self) -> Result<PathBuf> {
        let dir = self.dir()?;
        let fetched = fetch::tansu_in(&dir);
        if !fetched.is_file() {
            fetch::tansu(&dir).await?;
        }
        Ok(fetched)
    }

    /// The folder with a Python package, such as `stripe==16.1.0`, and what it needs: for `PYTHONPATH`.
    ///
    /// # Errors
    /// When it is not here and cannot be fetched.
    pub async fn python_package(&self, requirement: &str) -> Result<PathBuf> {
        fetch::python_package(&self.dir()?, requirement).await
    }

    fn dir(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.dir)
            .and_then(|()| self.dir.canonicalize())
            .with_context(|| format!("could not make {}", self.dir.display()))
    }
}

/// The one on PATH comes first: it is what the user chose.
async fn installed() -> Vec<PgBin> {
    // `postgres` on PATH is often a link, and `initdb` stands only beside what it points to.
    let chosen = on_path("postgres").filter_map(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()));
    let mut found = probe(chosen.collect()).await;
    let mut homes =
        probe(POSTGRES_HOMES.iter().flat_map(|(dir, prefix)| bins_below(dir, prefix)).collect()).await;
    homes.sort_by_key(|bin| std::cmp::Reverse(bin.major));
    found.extend(homes);
    found
}

fn bins_below(dir: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

/// Those of `dirs` that hold a PostgreSQL that runs here.
async fn probe(dirs: Vec<PathBuf>) -> Vec<PgBin> {
    let mut bins = Vec::new();
    for dir in dirs {
        if dir.join("initdb").is_file()
            && let Some((major, _)) = version_of(&dir.join("postgres")).await
        {
            bins.push(PgBin { dir, major });
        }
    }
    bins
}

fn pick(found: &[PgBin], major: Option<u32>) -> Option<PgBin> {
    let fits = |bin: &&PgBin| match major {
        Some(major) => bin.major == major,
        None => bin.major >= OLDEST_POSTGRES_MAJOR,
    };
    found.iter().find(fits).cloned()
}

/// Every executable of that name on PATH, in order.
#[expect(clippy::disallowed_methods, reason = "PATH is no setting of ours")]
fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let dirs: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let name = name.to_owned();
    dirs.into_iter().map(move |dir| dir.join(&name)).filter(|file| file.is_file())
}

/// What the binary answers to `--version`; none if it does not run.
async fn version_of(binary: &Path) -> Option<Version> {
    let mut command = Command::new(binary);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(VERSION_LIMIT, command.output()).await.ok()?.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The first version number in `text`: a word that begins with a digit.
fn parse_version(text: &str) -> Option<Version> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let major = numbers.next()?.ok()?;
    Some((major, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_servers_print_them() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some((15, 14)));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some((18, 0)));
        assert_eq!(parse_version("temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)"), Some((1, 9)));
        assert_eq!(parse_version("command not found"), None);
    }
}
