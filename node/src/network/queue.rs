//! The frames that wait for one peer on one lane, bounded by number and bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::frame::Lane;
use super::limits::{
    BULK_QUEUE_BYTES_MAX, BULK_QUEUE_FRAMES_MAX, CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_FRAMES_MAX,
};

/// Whose frame asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Ours: up to the whole queue.
    Own,
    /// Passed on for another member: half of the queue at most, so that one member cannot crowd out
    /// our own frames through us.
    Relayed,
}

/// A bounded queue with one consumer, which may put back what it could not send.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    filled: Notify,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(lane: Lane) -> Self {
        match lane {
            Lane::Control => Self::bounded(CONTROL_QUEUE_FRAMES_MAX, CONTROL_QUEUE_BYTES_MAX),
            Lane::Bulk => Self::bounded(BULK_QUEUE_FRAMES_MAX, BULK_QUEUE_BYTES_MAX),
        }
    }

    fn bounded(frames_max: usize, bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), filled: Notify::new(), frames_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a frame; false when there is no room and the frame is lost to this peer.
    pub(super) fn push(&self, frame: Bytes, share: Share) -> bool {
        let divisor = match share {
            Share::Own => 1,
            Share::Relayed => 2,
        };
        let mut inner = self.lock();
        let full = inner.frames.len() >= self.frames_max / divisor
            || inner.bytes + frame.len() > self.bytes_max / divisor;
        if full {
            return false;
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        drop(inner);
        self.filled.notify_one();
        true
    }

    /// Puts a frame that was not sent back to the head.
    pub(super) fn put_back(&self, frame: Bytes) {
        let mut inner = self.lock();
        inner.bytes += frame.len();
        inner.frames.push_front(frame);
    }

    /// Puts the frames of `recent`, oldest first, before the others, except those that wait anyway.
    pub(super) fn replay<'a>(&self, recent: impl DoubleEndedIterator<Item = &'a Bytes>) {
        let mut inner = self.lock();
        let waiting: Vec<*const u8> = inner.frames.iter().map(|frame| frame.as_ptr()).collect();
        for frame in recent.rev().filter(|frame| !waiting.contains(&frame.as_ptr())) {
            inner.bytes += frame.len();
            inner.frames.push_front(frame.clone());
        }
        drop(inner);
        self.filled.notify_one();
    }

    /// The next frame, if one waits.
    pub(super) fn try_pop(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        let frame = inner.frames.pop_front()?;
        inner.bytes -= frame.len();
        Some(frame)
    }

    /// Waits for the next frame.
    pub(super) async fn pop(&self) -> Bytes {
        loop {
            if let Some(frame) = self.try_pop() {
                return frame;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &Queue) -> Vec<Bytes> {
        std::iter::from_fn(|| queue.try_pop()).collect()
    }

    #[test]
    fn it_is_bounded_by_frames_and_by_bytes() {
        let queue = Queue::bounded(2, 10);
        let push = |bytes: &'static [u8]| queue.push(Bytes::from_static(bytes), Share::Own);
        assert!(push(b"12345678"));
        assert!(!push(b"123"), "eleven bytes");
        assert!(push(b"12"));
        assert!(!push(b""), "three frames");
        assert_eq!(drain(&queue), [&b"12345678"[..], b"12"]);
        assert!(push(b"1234567890"), "room again");
    }

    #[test]
    fn relayed_frames_take_half_of_it() {
        let queue = Queue::bounded(4, 100);
        let frame = Bytes::from_static(b"x");
        let pushed = |share| (0..4).filter(|_| queue.push(frame.clone(), share)).count();
        assert_eq!(pushed(Share::Relayed), 2);
        assert_eq!(pushed(Share::Own), 2);
    }

    #[test]
    fn a_replay_comes_first_and_doubles_nothing() {
        let queue = Queue::bounded(10, 100);
        let recent: Vec<Bytes> = (0..4u8).map(|i| Bytes::from(vec![i])).collect();
        queue.push(recent[2].clone(), Share::Own);
        queue.push(recent[3].clone(), Share::Own);
        queue.replay(recent.iter());
        assert_eq!(drain(&queue), [&recent[0], &recent[1], &recent[2], &recent[3]]);
    }

    #[tokio::test]
    async fn a_waiting_consumer_is_woken() {
        let queue = std::sync::Arc::new(Queue::bounded(10, 100));
        let consumer = tokio::spawn({
            let queue = queue.clone();
            async move { queue.pop().await }
        });
        tokio::task::yield_now().await;
        queue.push(Bytes::from_static(b"x"), Share::Own);
        assert_eq!(&consumer.await.unwrap()[..], b"x");
    }
}
