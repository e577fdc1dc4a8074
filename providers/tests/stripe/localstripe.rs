//! localstripe: a simulator of Stripe from PyPI, which nobody here wrote. Fetched once, started on a free
//! port of the loopback interface, and gone with the process that started it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const REQUIREMENT: &str = "localstripe==1.15.10";
/// Stripe's own library, for its signer.
pub const STRIPE_LIBRARY: &str = "stripe==16.1.0";

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
listener.bind(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None)
"#;

pub struct LocalStripe {
    pub url: String,
    child: Child,
}

impl LocalStripe {
    /// Empty, and ready: its socket listens before it says its port.
    pub fn start() -> Self {
        let mut child = python(&fetch(REQUIREMENT))
            .args(["-c", LAUNCHER, "0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 starts");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut port).expect("localstripe says its port");
        assert!(!port.is_empty(), "localstripe ended at its start");
        Self { url: format!("http://127.0.0.1:{}", port.trim()), child }
    }
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python that sees the packages in a folder, and none that happen to lie elsewhere under our name.
pub fn python(packages: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Unpacks a Python package and what it needs into a folder, once, and gives the folder.
pub fn fetch(requirement: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(tools.join(format!("{requirement}.lock"))).expect("a lock file");
    lock.lock().expect("the lock");
    let done = tools.join(requirement);
    if done.is_dir() {
        return done;
    }
    let part = tools.join(format!("{requirement}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).expect("an old try goes away");
    }
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&part)
        .arg(requirement)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .stdin(Stdio::null())
        .status()
        .expect("python3 -m pip runs");
    assert!(status.success(), "{requirement} could not be fetched");
    fs::rename(&part, &done).expect("the folder gets its name");
    done
}
