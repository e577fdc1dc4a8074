//! Helpers such as package clients, killed when dropped: they end with us, together with what they started.

use std::io::{self, PipeWriter};

use tokio::process::Command;

/// Becomes the helper (same process id, a process group of its own) after leaving a guard behind,
/// which ends the whole group as soon as our end of the pipe closes.
const GUARD: &str = r#"exec 3<&0
( (
    trap '' HUP INT TERM QUIT
    exec >/dev/null 2>&1
    read -r line <&3
    kill -s KILL -- "-$$"
) & )
exec "$@" </dev/null 3<&-"#;

/// The same command, which is killed when the guard is dropped or when we die. Drop the guard also
/// after the command's end: its guard goes away then.
pub(crate) fn kill_on_drop(command: &Command) -> io::Result<(Command, PipeWriter)> {
    let (end, guard) = io::pipe()?;
    let command = command.as_std();
    let mut guarded = Command::new("/bin/sh");
    guarded.args(["-c", GUARD, "guard"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        guarded.current_dir(dir);
    }
    guarded.stdin(end).process_group(0).kill_on_drop(true);
    Ok((guarded, guard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use tokio::io::{AsyncBufReadExt, BufReader};

    /// The helper's own child as well: it inherits nothing of ours that would tell it.
    #[tokio::test]
    async fn a_dropped_leash_ends_what_the_helper_started() {
        let mut helper = Command::new("/bin/sh");
        helper.args(["-c", "sleep 600 & echo started; wait"]);
        let (mut helper, guard) = kill_on_drop(&helper).unwrap();
        let mut child = helper.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("started"));
        drop(guard);
        assert!(!child.wait().await.unwrap().success());
        // `sleep` holds this pipe open for as long as it lives.
        assert_eq!(lines.next_line().await.unwrap(), None);
    }
}
