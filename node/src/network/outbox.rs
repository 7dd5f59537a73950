//! What the swarm's driver hands out. The driver never waits, or pings would stop; a task of its
//! own waits for the receiver in its place.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use tokio::sync::mpsc;

/// The driver's end.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    queue: mpsc::UnboundedSender<T>,
    waiting: Arc<AtomicUsize>,
}

impl<T: Send + 'static> Outbox<T> {
    /// An outbox and the task that empties it into `receiver`.
    pub(super) fn new(
        receiver: mpsc::Sender<T>,
    ) -> (Self, impl std::future::Future<Output = ()> + Send) {
        let (queue, mut queued) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let outbox = Self { queue, waiting: waiting.clone() };
        let forward = async move {
            while let Some(event) = queued.recv().await {
                // A receiver that is gone does not want the event; that is no failure.
                let _ = receiver.send(event).await;
                waiting.fetch_sub(1, Relaxed);
            }
        };
        (outbox, forward)
    }

    /// Hands out what must not be lost; something else limits how much of it there is.
    pub(super) fn push(&self, event: T) {
        self.waiting.fetch_add(1, Relaxed);
        // The forwarding task lives as long as the network; its death is reported by itself.
        let _ = self.queue.send(event);
    }

    /// Whether fewer than `waiting_max` events wait.
    pub(super) fn has_room(&self, waiting_max: usize) -> bool {
        self.waiting.load(Relaxed) < waiting_max
    }
}
