//! The bytes of requests and answers: sync, which is the engine's, and pieces of blobs.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use fedledger_ledger::ids::Digest;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{request_response, StreamProtocol};

use super::limits::BLOB_CHUNK_BYTES_MAX;

/// A request and its answer are each `length u32 | bytes`, up to a limit. The length tells an
/// answer from a stream that was cut off.
#[derive(Debug, Clone)]
pub(super) struct Bounded {
    pub(super) request_bytes_max: usize,
    pub(super) response_bytes_max: usize,
}

async fn read_bounded(io: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        let reason = format!("a message of {length} bytes, longer than {bytes_max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    // Memory is taken as bytes arrive, not because a peer has named a length.
    let mut bytes = Vec::new();
    io.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

async fn write_bounded(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a message of over 4 GiB"))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await
}

#[async_trait]
impl request_response::Codec for Bounded {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_bounded(io, self.request_bytes_max).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_bounded(io, self.response_bytes_max).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Bytes,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_bounded(io, &request).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Bytes,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_bounded(io, &response).await
    }
}

/// Asks for a piece of a blob: `digest 32 | offset u64 | length u32`, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRequest {
    pub(super) digest: Digest,
    pub(super) offset: u64,
    /// 1 to [`BLOB_CHUNK_BYTES_MAX`] bytes.
    pub(super) length: u32,
}

impl ChunkRequest {
    pub(super) fn encode(&self) -> Bytes {
        let offset = self.offset.to_be_bytes();
        [&self.digest.0[..], &offset, &self.length.to_be_bytes()].concat().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(rest.try_into().ok()?);
        let fits = (1..=BLOB_CHUNK_BYTES_MAX as u32).contains(&length);
        let offset = u64::from_be_bytes(*offset);
        fits.then_some(Self { digest: Digest(*digest), offset, length })
    }
}

/// The answer: `0 | blob length u64 | bytes`, or one of the others' single byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChunkResponse {
    /// A piece.
    Found {
        /// Length of the whole blob.
        total: u64,
        /// As many bytes as were asked for, fewer at the end of the blob.
        bytes: Bytes,
    },
    /// Not held, or not to be shown yet: which of the two is nobody's business.
    NotServed,
    /// Too many requests at once; ask again later.
    Busy,
}

impl ChunkResponse {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Found { total, bytes } => [&[0][..], &total.to_be_bytes(), bytes].concat().into(),
            Self::NotServed => Bytes::from_static(&[1]),
            Self::Busy => Bytes::from_static(&[2]),
        }
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        match bytes.split_first()? {
            (0, rest) => {
                let total = u64::from_be_bytes(*rest.first_chunk()?);
                Some(Self::Found { total, bytes: bytes.slice(9..) })
            }
            (1, []) => Some(Self::NotServed),
            (2, []) => Some(Self::Busy),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_and_bad_ones_are_refused() {
        let request = ChunkRequest { digest: Digest::of(b"x"), offset: 1 << 40, length: 1 << 20 };
        let bytes = request.encode();
        assert_eq!(ChunkRequest::decode(&bytes), Some(request));
        assert_eq!(ChunkRequest::decode(&bytes[..43]), None);
        assert_eq!(ChunkRequest::decode(&[&bytes[..], &[0]].concat()), None);
        for length in [0, (1 << 20) + 1] {
            let bytes = ChunkRequest { length, ..request }.encode();
            assert_eq!(ChunkRequest::decode(&bytes), None, "{length} bytes");
        }
    }

    #[test]
    fn responses_survive_and_bad_ones_are_refused() {
        let found = ChunkResponse::Found { total: 5, bytes: Bytes::from_static(b"hello") };
        for response in [found, ChunkResponse::NotServed, ChunkResponse::Busy] {
            assert_eq!(ChunkResponse::decode(&response.encode()), Some(response));
        }
        for bad in [&[][..], &[3], &[1, 0], &[0, 1, 2]] {
            assert_eq!(ChunkResponse::decode(&Bytes::from_static(bad)), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn messages_survive_and_those_too_long_or_cut_off_are_refused() {
        let mut wire = Vec::new();
        write_bounded(&mut wire, &[7; 1_000]).await.unwrap();
        assert_eq!(read_bounded(&mut &wire[..], 1_000).await.unwrap(), [7; 1_000][..]);
        let refused = |wire: Vec<u8>, max| async move {
            read_bounded(&mut &wire[..], max).await.unwrap_err().kind()
        };
        assert_eq!(refused(wire.clone(), 999).await, io::ErrorKind::InvalidData);
        for length in [0, 3, 4, 1_003] {
            let cut = wire[..length].to_vec();
            assert_eq!(refused(cut, 1_000).await, io::ErrorKind::UnexpectedEof, "{length}");
        }
    }
}
