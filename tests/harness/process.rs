//! A `holdfast` process: started, watched by its log, killed or asked to stop.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{PipeWriter, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use serde_json::Value;

use super::{eventually, wait_until};

/// What a process gets as its environment, and nothing else.
pub type Env = Vec<(&'static str, String)>;

/// Becomes the program (same process id) and leaves a guard behind that kills it when our end of the
/// pipe closes: no process outlives the tests, however they end.
const GUARD: &str = r#"exec 3<&0
( ( trap '' HUP INT TERM QUIT; exec >/dev/null 2>&1; read -r line <&3 || kill -s KILL $$ ) & )
[ -z "$TEST_MAX_FILES" ] || ulimit -n "$TEST_MAX_FILES"
exec "$@" </dev/null 3<&-"#;

/// Lines of a log that are printed when a test fails.
const LAST_WORDS: usize = 80;

/// A command that becomes this program, and that does not outlive the guard, nor us. When the program has
/// ended, a line written to the guard sends it away.
pub fn guarded(program: impl AsRef<OsStr>) -> (Command, PipeWriter) {
    let (end, guard) = std::io::pipe().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", GUARD, "guard"]).arg(program).stdin(end);
    (command, guard)
}

pub struct Holdfast {
    name: String,
    pub child: Child,
    guard: PipeWriter,
    log: PathBuf,
}

impl Holdfast {
    /// Starts `holdfast <command>`; what it prints and logs becomes a file in `dir`.
    pub fn start(command: &str, env: &Env, dir: &Path) -> Self {
        Self::start_with(command, &[], env, dir)
    }

    pub fn start_with(command: &str, arguments: &[String], env: &Env, dir: &Path) -> Self {
        let name = format!("{command}-{}", super::unique());
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let (mut holdfast, guard) = guarded(env!("CARGO_BIN_EXE_holdfast"));
        let child = holdfast
            .arg(command)
            .args(arguments)
            .env_clear()
            .env("HOME", dir)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { name, child, guard, log }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits for the log line with this message.
    pub async fn says(&mut self, message: &str) -> Value {
        let what = format!("{} says `{message}`", self.name);
        eventually(&what, async || {
            assert!(self.child.try_wait().unwrap().is_none(), "{} has ended:\n{}", self.name, self.log());
            let log = self.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["message"] == message)
        })
        .await
    }

    /// Waits until it has printed this, for a program that speaks to people.
    pub async fn prints(&mut self, text: &str) {
        let what = format!("{} prints `{text}`", self.name);
        wait_until(&what, async || {
            assert!(self.child.try_wait().unwrap().is_none(), "{} has ended:\n{}", self.name, self.log());
            self.log().contains(text)
        })
        .await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let _ = self.guard.write_all(b"\n");
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Ctrl-C, without waiting.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, async || self.child.try_wait().unwrap()).await
    }
}

/// Runs a command of `holdfast` to its end; gives whether it succeeded, and what it said.
pub fn run(command: &str, env: &[(&'static str, String)]) -> (bool, String) {
    let (succeeded, printed, logged) = printed(&[command], env);
    (succeeded, printed + &logged)
}

/// The same with arguments, and what it printed apart from what it logged.
pub fn printed(arguments: &[&str], env: &[(&'static str, String)]) -> (bool, String, String) {
    let mut holdfast = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = holdfast.args(arguments).env_clear().envs(env.iter().cloned()).output().unwrap();
    let [printed, logged] =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), printed, logged)
}

impl Drop for Holdfast {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
            eprintln!("---- log of {}\n{}", self.name, last.join("\n"));
        }
    }
}
