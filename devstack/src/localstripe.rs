//! localstripe: a simulator of Stripe from PyPI, which nobody here wrote. For tests only.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Tools;

const REQUIREMENT: &str = "localstripe==1.15.10";

/// Not its own `start`, which listens on every interface, wants IPv6, and keeps its data in one pickle under
/// /tmp. Prints its port; ends when its standard input does, which is when its parent ended in any way.
const LAUNCHER: &str = r#"
import os, socket, sys, threading
from aiohttp import web
from localstripe import resources, server
resources.store.dump_to_disk = lambda: None
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None)
"#;

/// A running localstripe, on 127.0.0.1 only. Dropping it ends it, and so does the end of its parent.
pub struct LocalStripe {
    url: String,
    child: Child,
}

impl LocalStripe {
    /// Starts one without any data, on a free port. Fetched once; needs Python 3.
    ///
    /// # Errors
    /// When it cannot be fetched or does not start.
    pub async fn start(tools: &Tools) -> Result<LocalStripe> {
        let packages = tools.python_package(REQUIREMENT).await?;
        tokio::task::spawn_blocking(move || launch(&packages)).await?
    }

    /// The base of its calls: `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python that sees the packages in a folder, and none that happen to lie elsewhere under their names.
pub fn python(packages: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// It answers as soon as it says its port: calls wait in the socket until then.
fn launch(packages: &Path) -> Result<LocalStripe> {
    let mut child = python(packages)
        .args(["-c", LAUNCHER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start python3")?;
    let stdout = child.stdout.take().context("its output is piped")?;
    let mut server = LocalStripe { url: String::new(), child };
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    ensure!(!port.is_empty(), "localstripe ended at its start");
    server.url = format!("http://127.0.0.1:{}", port.trim());
    Ok(server)
}
