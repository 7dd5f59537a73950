//! Tasks whose death is noticed.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The network's background tasks. A task that panics, or an essential one that ends, is reported
/// to whoever waits in [`Tasks::failed`]; none dies silently.
#[derive(Debug)]
pub(super) struct Tasks {
    failure: watch::Sender<Option<String>>,
    handles: Mutex<Vec<AbortHandle>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { failure: watch::Sender::new(None), handles: Mutex::default() }
    }
}

impl Tasks {
    /// Runs a task that must not end before the network is shut down.
    pub(super) fn essential(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.run(name, true, task)
    }

    /// Runs a task that may end.
    pub(super) fn transient(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.run(name, false, task)
    }

    fn run(
        &self,
        name: &'static str,
        essential: bool,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let failure = self.failure.clone();
        let handle = tokio::spawn(async move {
            let reason = match AssertUnwindSafe(task).catch_unwind().await {
                Err(_) => format!("the network's {name} task panicked"),
                Ok(()) if essential => format!("the network's {name} task ended"),
                Ok(()) => return,
            };
            failure.send_if_modified(|first| {
                let changed = first.is_none();
                first.get_or_insert(reason);
                changed
            });
        })
        .abort_handle();
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| !handle.is_finished());
        handles.push(handle.clone());
        handle
    }

    /// Resolves with the reason when a task has died.
    pub(super) fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        let mut failure = self.failure.subscribe();
        async move {
            let reason = failure.wait_for(Option::is_some).await.ok().and_then(|r| r.clone());
            match reason {
                Some(reason) => reason,
                // Every task was ended on purpose.
                None => std::future::pending().await,
            }
        }
    }

    /// Ends every task, without reporting.
    pub(super) fn abort(&self) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in handles.drain(..) {
            handle.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_early_end_are_reported() {
        let tasks = Tasks::default();
        tasks.transient("reader", async {});
        tasks.transient("writer", async { panic!("as the test wants") });
        assert_eq!(tasks.failed().await, "the network's writer task panicked");
        let tasks = Tasks::default();
        tasks.essential("driver", async {});
        assert_eq!(tasks.failed().await, "the network's driver task ended");
    }
}
