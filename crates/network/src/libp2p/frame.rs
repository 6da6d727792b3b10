//! Frames on a substream: a length (u32, little-endian), then that many bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::limits::FRAME_PIECE_BYTES;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The peer announced more than is allowed.
    #[error("frame of {announced} bytes where at most {limit} are allowed")]
    TooLarge { announced: usize, limit: usize },
    /// The substream ended or failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one frame of at most `limit` bytes. Not cancel-safe: a frame that was begun is lost.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Bytes, FrameError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let announced = u32::from_le_bytes(length) as usize;
    if announced > limit {
        return Err(FrameError::TooLarge { announced, limit });
    }
    let mut frame = BytesMut::new();
    while frame.len() < announced {
        // Doubles with what has really come.
        let begin = frame.len();
        frame.resize(announced.min(begin + begin.max(FRAME_PIECE_BYTES)), 0);
        stream.read_exact(&mut frame[begin..]).await?;
    }
    Ok(frame.freeze())
}

/// Writes one frame, without flushing. Not cancel-safe.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(frame).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn frames_come_back_and_end() {
        block_on(async {
            let mut wire = Cursor::new(Vec::new());
            let frames = [Vec::new(), vec![7; 3], vec![1; 5 * FRAME_PIECE_BYTES + 1]];
            for frame in &frames {
                write(&mut wire, frame).await.unwrap();
            }
            wire.set_position(0);
            for frame in &frames {
                assert_eq!(read(&mut wire, frame.len()).await.unwrap(), frame);
            }
            assert!(matches!(read(&mut wire, 9).await, Err(FrameError::Io(_))));
        });
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        block_on(async {
            let too_large = read(&mut Cursor::new([5, 0, 0, 0, 1, 2, 3, 4, 5]), 4).await;
            assert!(matches!(too_large, Err(FrameError::TooLarge { announced: 5, limit: 4 })));
            let truncated = read(&mut Cursor::new([5, 0, 0, 0, 1, 2]), 5).await;
            assert!(matches!(truncated, Err(FrameError::Io(_))));
        });
    }
}
