//! Running a program within limits: of time, of what it prints, and of how long it may live.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{kill_process_group, Pid, Signal};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// How much of the end of what it says on standard error is kept, in bytes.
const ERRORS_BYTES_MAX: usize = 4 << 10;

/// Why a program gave no output.
#[derive(Debug, Error)]
pub(super) enum ChildFault {
    #[error("`{program}` cannot be started: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("it had not ended after {} s and was killed", after.as_secs_f64())]
    TimedOut { after: Duration },
    #[error("it printed more than {max} bytes and was killed")]
    TooMuch { max: usize },
    #[error("it ended with {status}")]
    Failed { status: ExitStatus },
    #[error("its output cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it printed on standard output, when it ended well.
    pub(super) output: Result<Vec<u8>, ChildFault>,
    /// The end of what it said on standard error.
    pub(super) errors: String,
}

/// A program with what it descends to. All of them are killed when this is dropped, unless the
/// program has ended.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { child, id }
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // From here on the number may be somebody else's.
        self.id = None;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // It has not been waited for, so the number is its own; it may have ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Runs `command` in `folder` with `input` on its standard input, for at most `time`, and reads at
/// most `output_bytes_max` of what it prints. When the future is dropped, the program and what it
/// started is killed.
pub(super) async fn run(
    command: &[String],
    folder: &Path,
    input: &[u8],
    time: Duration,
    output_bytes_max: usize,
) -> Ended {
    let errors = Mutex::new(Vec::new());
    let output = match start(command, folder) {
        Err(fault) => Err(fault),
        Ok(mut group) => {
            let work = talk(&mut group, input, &errors, output_bytes_max);
            match tokio::time::timeout(time, work).await {
                Ok(done) => done,
                Err(_) => Err(ChildFault::TimedOut { after: time }),
            }
        }
    };
    let errors = errors.into_inner().expect("nothing panics while it holds this lock");
    Ended { output, errors: String::from_utf8_lossy(&errors).trim_end().to_owned() }
}

fn start(command: &[String], folder: &Path) -> Result<Group, ChildFault> {
    let (program, arguments) = command.split_first().expect("the settings name a program");
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: what it starts is killed with it, and Ctrl-C in the node's terminal
        // reaches the node alone, which then ends it in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map(Group::of)
        .map_err(|source| ChildFault::Start { program: program.clone(), source })
}

async fn talk(
    group: &mut Group,
    input: &[u8],
    errors: &Mutex<Vec<u8>>,
    output_bytes_max: usize,
) -> Result<Vec<u8>, ChildFault> {
    let mut stdin = group.child.stdin.take().expect("it is piped");
    let stdout = group.child.stdout.take().expect("it is piped");
    let stderr = group.child.stderr.take().expect("it is piped");
    let tell = async move {
        // A program that does not listen may be right all the same.
        let _ = stdin.write_all(input).await;
        Ok::<(), ChildFault>(())
    };
    let listen = read_bounded(stdout, output_bytes_max);
    let ((), output, ()) = tokio::try_join!(tell, listen, keep_end(stderr, errors))?;
    let status = group.wait().await?;
    if status.success() {
        Ok(output)
    } else {
        Err(ChildFault::Failed { status })
    }
}

async fn read_bounded(from: impl AsyncRead + Unpin, max: usize) -> Result<Vec<u8>, ChildFault> {
    let mut bytes = Vec::new();
    from.take(max as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > max {
        return Err(ChildFault::TooMuch { max });
    }
    Ok(bytes)
}

/// Reads to the end, and keeps the last bytes: a program that talks much must not stand still.
async fn keep_end(
    mut from: impl AsyncRead + Unpin,
    end: &Mutex<Vec<u8>>,
) -> Result<(), ChildFault> {
    let mut part = [0u8; 4096];
    loop {
        let count = from.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        let mut end = end.lock().expect("nothing panics while it holds this lock");
        end.extend_from_slice(&part[..count]);
        let surplus = end.len().saturating_sub(ERRORS_BYTES_MAX);
        end.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than any of these programs needs.
    const LONG: Duration = Duration::from_secs(120);

    fn shell(script: &str, input: &str, time: Duration) -> Ended {
        let command = ["sh", "-c", script].map(str::to_owned);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = std::env::temp_dir();
        runtime.block_on(run(&command, &folder, input.as_bytes(), time, 1000))
    }

    fn fault(ended: &Ended) -> String {
        ended.output.as_ref().expect_err("it went well").to_string()
    }

    #[test]
    fn what_it_prints_comes_back_and_what_it_says_beside_it() {
        let ended = shell("cat; echo said >&2", "{\"a\": 1}", LONG);
        assert_eq!(ended.output.unwrap(), b"{\"a\": 1}");
        assert_eq!(ended.errors, "said");
        // One that does not read its input is no fault, however much there is.
        let ended = shell("echo done", &"x".repeat(1 << 20), LONG);
        assert_eq!(ended.output.unwrap(), b"done\n");
    }

    #[test]
    fn every_way_to_fail_is_named() {
        let ended = shell("echo no rows >&2; exit 3", "", LONG);
        assert!(fault(&ended).contains("exit status: 3"), "{}", fault(&ended));
        assert_eq!(ended.errors, "no rows");
        assert!(fault(&shell("kill -9 $$", "", LONG)).contains("signal: 9"));
        let ended = shell("while :; do echo 0123456789; done", "", LONG);
        assert!(fault(&ended).contains("more than 1000 bytes"), "{}", fault(&ended));
        let ended = shell("echo late >&2; sleep 600", "", Duration::from_millis(300));
        assert!(fault(&ended).contains("after 0.3 s"), "{}", fault(&ended));
        let nothing = ["/no/such/program".to_owned()];
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ended = runtime.block_on(run(&nothing, Path::new("/"), b"", LONG, 10));
        let fault = fault(&ended);
        assert!(fault.contains("`/no/such/program` cannot be started"), "{fault}");
    }

    #[test]
    fn of_what_it_says_the_end_is_kept() {
        let script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done";
        let ended = shell(script, "", LONG);
        assert!(ended.errors.len() <= ERRORS_BYTES_MAX);
        assert!(ended.errors.ends_with("line 1999"), "{}", ended.errors);
    }

    /// The pipe's other end is held by what it started: when that is gone, too, it closes.
    #[test]
    fn what_it_started_dies_with_it_when_nobody_waits_any_more() {
        use std::io::{BufRead as _, BufReader, Read as _};
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("alive");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("(echo begun; sleep 600) > '{}' & wait", pipe.display());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let running = runtime.spawn(async move {
            let command = ["sh".to_owned(), "-c".to_owned(), script];
            run(&command, Path::new("/"), b"", LONG, 10).await
        });
        let mut reader = BufReader::new(std::fs::File::open(pipe).unwrap());
        let mut said = String::new();
        reader.read_line(&mut said).unwrap();
        assert_eq!(said, "begun\n");
        running.abort();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "begun\n");
    }
}
