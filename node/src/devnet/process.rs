//! Node processes: starting, waiting for, and ending them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use rustix::process::{kill_process, Pid, Signal};

use crate::config::{Config, Home};

/// How often a condition of another process is looked at: there is nothing to be notified by.
const POLL: Duration = Duration::from_millis(20);

/// The node program when whoever starts nodes is that program itself.
///
/// # Errors
/// When the operating system does not know its path.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program is not known")
}

fn command(program: &Path, home: &Path) -> anyhow::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.join("node.log"))
        .with_context(|| format!("cannot write the log in {}", home.display()))?;
    // What an earlier run left would be taken for this run's.
    let config = Config::load(&Home::new(home).config_file(), [])?;
    let address = Home::new(home).address_file(&config);
    match fs::remove_file(&address) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", address.display()))
        }
        _ => {}
    }
    let mut command = Command::new(program);
    command.arg("run").arg("--home").arg(home).stdout(log.try_clone()?).stderr(log);
    // Settings of whoever starts a devnet are not settings of its nodes.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FEDLEDGER_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Starts a node that goes on when this process ends.
pub(super) fn spawn_detached(program: &Path, home: &Path) -> anyhow::Result<u32> {
    use std::os::unix::process::CommandExt as _;
    let child = command(program, home)?
        .stdin(Stdio::null())
        // A group of its own, so that Ctrl-C in this terminal does not reach it.
        .process_group(0)
        .spawn()
        .context("the node cannot be started")?;
    Ok(child.id())
}

/// A node process that lives as long as this value: it ends itself when its standard input closes,
/// which the operating system sees to even when this process is killed.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    home: PathBuf,
    /// Address of its HTTP API.
    pub http: String,
}

impl Running {
    /// Starts the node in `home` and waits until its API answers.
    ///
    /// # Errors
    /// When it does not come up within `patience`; its log's last lines are in the error.
    pub fn start(program: &Path, home: &Path, patience: Duration) -> anyhow::Result<Self> {
        let mut started = Self::launch(program, home)?;
        started.wait_ready(patience)?;
        Ok(started)
    }

    /// Starts the node in `home` without waiting; its `http` is empty until
    /// [`Running::wait_ready`].
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn launch(program: &Path, home: &Path) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut child = command(program, home)?
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            // Ctrl-C reaches the one who holds the pipe, who then ends the nodes in order.
            .process_group(0)
            .spawn()
            .context("the node cannot be started")?;
        let input = child.stdin.take();
        Ok(Self { child, input, home: home.to_owned(), http: String::new() })
    }

    /// Waits until the node's API answers.
    ///
    /// # Errors
    /// When it does not within `patience`; its log's last lines are in the error.
    pub fn wait_ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        let child = std::cell::RefCell::new(&mut self.child);
        let alive = || matches!(child.borrow_mut().try_wait(), Ok(None));
        let http = wait_for_api(&self.home, Instant::now() + patience, alive)?;
        self.http = http;
        Ok(())
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the node as a loss of power would, as far as a process can: SIGKILL, at once.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.input = None;
        Ok(())
    }

    /// Ends the node in order and waits for it.
    ///
    /// # Errors
    /// When it does not end by itself within `patience`; it is killed then.
    pub fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.input = None;
        let until = Instant::now() + patience;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the node in {} had to be killed", self.home.display());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to report to: the process is gone either way.
        let _ = self.end(Duration::from_secs(10));
    }
}

/// Waits until the node in `home` has written where its API is and answers there.
pub(super) fn wait_for_api(
    home: &Path,
    until: Instant,
    alive: impl Fn() -> bool,
) -> anyhow::Result<String> {
    let files = Home::new(home);
    let config = Config::load(&files.config_file(), [])?;
    let file = files.address_file(&config);
    loop {
        if let Ok(text) = fs::read_to_string(&file) {
            let address = text.trim();
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(address.to_owned());
            }
        }
        if !alive() {
            bail!("the node ended at once; the end of its log:\n{}", log_end(home));
        }
        if Instant::now() > until {
            bail!("its API does not answer; the end of its log:\n{}", log_end(home));
        }
        std::thread::sleep(POLL);
    }
}

fn log_end(home: &Path) -> String {
    let text = fs::read_to_string(home.join("node.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Whether a process id is still that of the node in `home`: ids are used again.
pub(super) fn is_ours(pid: u32, home: &Path) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else {
        // Without /proc (macOS) the process' existence has to do.
        return File::open("/proc/self/cmdline").is_err()
            && process(pid).is_some_and(|id| rustix::process::test_kill_process(id).is_ok());
    };
    let home = home.as_os_str().as_encoded_bytes();
    arguments.split(|byte| *byte == 0).any(|argument| argument == home)
}

fn process(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Asks a process to end.
pub(super) fn terminate(pid: u32) -> anyhow::Result<()> {
    let id = process(pid).context("not a process id")?;
    kill_process(id, Signal::TERM).with_context(|| format!("cannot end process {pid}"))
}

/// Waits for a process to end and kills it when time is up.
pub(super) fn wait_or_kill(pid: u32, home: &Path, until: Instant) -> anyhow::Result<()> {
    while is_ours(pid, home) {
        if Instant::now() > until {
            let id = process(pid).context("not a process id")?;
            kill_process(id, Signal::KILL).with_context(|| format!("cannot kill {pid}"))?;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
