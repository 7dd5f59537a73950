//! The tasks at both ends of a one-way stream of frames.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream};
use libp2p_stream::{Control, IncomingStreams};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::driver::Input;
use super::frame::Lane;
use super::hub::Hub;
use super::limits::{
    READERS_PER_LANE_MAX, READER_BYTES_BURST, READER_BYTES_PER_SECOND, READER_FRAMES_BURST,
    READER_FRAMES_PER_SECOND, REDIAL_MAX, REDIAL_MIN, STREAM_OPEN_TIMEOUT, STREAM_WRITE_TIMEOUT,
};
use super::queue::Queue;
use super::rate::Rate;
use super::tasks::Tasks;

/// Sent by the acceptor of a stream: an acceptor that is busy drops streams without a word, so that
/// the opener must not believe in one before it sees this byte.
const READY: u8 = 1;

/// One direction of a link on one lane.
pub(super) struct Writer {
    pub(super) hub: Arc<Hub>,
    pub(super) streams: Control,
    pub(super) driver: mpsc::UnboundedSender<Input>,
    pub(super) peer: PeerId,
    pub(super) generation: u64,
    pub(super) lane: Lane,
    pub(super) queue: Arc<Queue>,
}

impl Writer {
    /// Keeps a stream to the peer open and writes what is queued, until it is aborted.
    pub(super) async fn run(mut self) {
        let mut pause = REDIAL_MIN;
        loop {
            let Some(mut stream) = self.open().await else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(REDIAL_MAX);
                continue;
            };
            pause = REDIAL_MIN;
            self.hub.replay(self.lane, &self.queue);
            if self.lane == Lane::Control {
                let up = Input::LinkUp { peer: self.peer, generation: self.generation };
                if self.driver.send(up).is_err() {
                    return;
                }
            }
            let reason = self.write_all(&mut stream).await;
            tracing::debug!(peer = %self.peer, lane = ?self.lane, %reason, "reopening a stream");
        }
    }

    async fn open(&mut self) -> Option<Stream> {
        let opening = async {
            let mut stream =
                self.streams.open_stream(self.peer, self.lane.protocol()).await.ok()?;
            let mut ready = [0];
            stream.read_exact(&mut ready).await.ok()?;
            (ready[0] == READY).then_some(stream)
        };
        timeout(STREAM_OPEN_TIMEOUT, opening).await.ok().flatten()
    }

    /// Writes until the stream breaks. The frame in hand goes back to the queue; those before it in
    /// a batch are among the recent ones, if they are ours. A frame may arrive twice, never out of
    /// its place in the newest copy of the sequence.
    async fn write_all(&self, stream: &mut Stream) -> io::Error {
        loop {
            let first = self.queue.pop().await;
            match timeout(STREAM_WRITE_TIMEOUT, self.write_batch(stream, &first)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.queue.put_back(first);
                    return error;
                }
                Err(_) => {
                    self.queue.put_back(first);
                    return io::ErrorKind::TimedOut.into();
                }
            }
        }
    }

    async fn write_batch(&self, stream: &mut Stream, first: &Bytes) -> io::Result<()> {
        write_frame(stream, first).await?;
        while let Some(frame) = self.queue.try_pop() {
            write_frame(stream, &frame).await?;
        }
        stream.flush().await
    }
}

async fn write_frame(stream: &mut Stream, frame: &Bytes) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("frames are at most a megabyte and a header");
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await
}

/// The live readers, so that a member that opens streams without end holds two per lane.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<BTreeMap<(PeerId, Lane), VecDeque<AbortHandle>>>);

impl Readers {
    /// Registers the newest reader and ends the oldest when there are too many.
    fn insert(&self, peer: PeerId, lane: Lane, reader: AbortHandle) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let readers = all.entry((peer, lane)).or_default();
        readers.retain(|reader| !reader.is_finished());
        readers.push_back(reader);
        while readers.len() > READERS_PER_LANE_MAX {
            readers.pop_front().expect("there are too many").abort();
        }
    }

    /// Ends every reader of a peer.
    pub(super) fn remove(&self, peer: PeerId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in Lane::ALL {
            for reader in all.remove(&(peer, lane)).unwrap_or_default() {
                reader.abort();
            }
        }
    }
}

/// Accepts the streams of one lane and gives each a reader.
pub(super) async fn accept(
    mut incoming: IncomingStreams,
    lane: Lane,
    hub: Arc<Hub>,
    readers: Arc<Readers>,
    tasks: Arc<Tasks>,
) {
    while let Some((peer, stream)) = incoming.next().await {
        let reader = read_all(hub.clone(), peer, lane, stream);
        readers.insert(peer, lane, tasks.transient("reader", reader));
    }
}

/// Reads frames until the stream ends or holds something else.
async fn read_all(hub: Arc<Hub>, peer: PeerId, lane: Lane, mut stream: Stream) {
    let counters = hub.counters(peer);
    let now = Instant::now();
    let mut frames = Rate::new(READER_FRAMES_PER_SECOND, READER_FRAMES_BURST, now);
    let mut bytes = Rate::new(READER_BYTES_PER_SECOND, READER_BYTES_BURST, now);
    if stream.write_all(&[READY]).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    loop {
        let frame = match read_frame(&mut stream, lane.frame_bytes_max()).await {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(%peer, ?lane, %error, "a stream of frames ended");
                return;
            }
        };
        let length = frame.len();
        counters.received(length);
        if !hub.receive(peer, lane, frame).await {
            tracing::warn!(%peer, ?lane, "a member sent something that is not a frame");
            return;
        }
        let now = Instant::now();
        let wait = frames.take(1.0, now).max(bytes.take(length as f64, now));
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }
}

async fn read_frame(stream: &mut Stream, bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes, longer than {bytes_max}"),
        ));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}
