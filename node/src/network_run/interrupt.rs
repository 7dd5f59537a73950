//! Ctrl-C in the middle of a run on real nodes: no process and no temporary folder stays.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions};

use crate::exit::Exit;

/// What has to go when the run is interrupted.
#[derive(Debug, Clone, Default)]
pub struct Cleanup {
    interrupted: Arc<AtomicBool>,
    nodes: Arc<Mutex<Vec<u32>>>,
}

impl Cleanup {
    /// From now on SIGINT and SIGTERM end the nodes, remove `folder`, and leave the program.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn on_interrupt(folder: PathBuf) -> anyhow::Result<Self> {
        let cleanup = Self::default();
        let (sender, ready) = mpsc::channel();
        let own = cleanup.clone();
        std::thread::spawn(move || own.wait(folder, &sender));
        ready.recv().context("signals cannot be handled")?;
        Ok(cleanup)
    }

    /// A node was started.
    pub fn started(&self, pid: u32) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// A node is gone: its process id may be somebody else's from now on.
    pub fn ended(&self, pid: u32) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|node| *node != pid);
    }

    /// Comes back only when there was no interruption: otherwise the program ends here, with
    /// whatever failed because its nodes went away left unsaid.
    pub fn unless_interrupted(&self) {
        while self.interrupted.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    fn wait(self, folder: PathBuf, ready: &mpsc::Sender<()>) {
        use tokio::signal::unix::{signal, SignalKind};
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt());
            let terminate = signal(SignalKind::terminate());
            let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
            if ready.send(()).is_err() {
                return;
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            self.interrupted.store(true, Ordering::SeqCst);
            eprintln!("\ninterrupted: stopping the nodes");
            self.end_nodes();
            // It may not be there, or hold what somebody else put there: then it stays.
            let _ = std::fs::remove_dir_all(folder);
            std::process::exit(Exit::Interrupted as i32);
        });
    }

    fn end_nodes(&self) {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let pids = || nodes.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        for pid in pids() {
            // A node that is gone already needs no signal.
            let _ = kill_process(pid, Signal::TERM);
        }
        for pid in pids() {
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}
