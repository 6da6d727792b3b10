//! What host and worker say to each other over the worker's standard input and output: frames of a length (u32,
//! little-endian) and SCALE. The worker begins with [`Answer::Hello`]; then each request has one answer.

use std::io::{self, Read, Write};

use codec::{Decode, DecodeAll, Encode};

use crate::{
    engine::{Failure, fingerprint},
    limits::MAX_FRAME_BYTES,
};

/// Changed whenever a message changes.
const PROTOCOL_VERSION: u32 = 1;

/// What host and worker must have in common: this protocol, this crate, and wasmtime with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct BuildId {
    protocol: u32,
    version: String,
    engine: u64,
}

impl BuildId {
    pub(crate) fn of(engine: &wasmtime::Engine) -> Self {
        Self { protocol: PROTOCOL_VERSION, version: env!("CARGO_PKG_VERSION").to_string(), engine: fingerprint(engine) }
    }
}

/// Host to worker.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Request {
    /// Compile.
    Prepare {
        /// Code as registered.
        code: Vec<u8>,
        /// Computing time allowed, in milliseconds.
        cpu_limit_ms: u64,
    },
    /// Keep an artifact ready under a key.
    Load {
        /// The key.
        key: [u8; 32],
        /// What [`Answer::Prepared`] brought.
        artifact: Vec<u8>,
    },
    /// Run.
    Execute {
        /// Key of the artifact.
        key: [u8; 32],
        /// SCALE `ValidationParams`.
        params: Vec<u8>,
        /// Computing time allowed, in milliseconds.
        cpu_limit_ms: u64,
    },
}

/// Worker to host.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Answer {
    /// The first frame.
    Hello {
        /// The worker's build.
        build: BuildId,
        /// Whether the system filters the calls that a child may make.
        filters_system_calls: bool,
    },
    /// An artifact, or why there is none.
    Prepared(Ended),
    /// Ready, or why not.
    Loaded(Result<(), String>),
    /// SCALE `ValidationResult`, or why there is none.
    Executed(Ended),
    /// The artifact is not loaded: load it and ask again.
    NotLoaded,
}

/// How a child ended.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Ended {
    /// By itself, with output or a failure; and the computing time it took, in milliseconds.
    Done(Result<Vec<u8>, Failure>, u64),
    /// It died without a word, of what this says.
    Died(String),
}

/// Writes one frame.
pub(crate) fn write_frame(to: &mut impl Write, message: &impl Encode) -> io::Result<()> {
    let body = message.encode();
    to.write_all(&frame_header(body.len())?)?;
    to.write_all(&body)?;
    to.flush()
}

/// Reads one frame; `None` when the other side has closed between frames.
pub(crate) fn read_frame<T: Decode>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; frame_len(header)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// The bytes before a body.
pub(crate) fn frame_header(len: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(len) {
        Ok(short) if len <= MAX_FRAME_BYTES => Ok(short.to_le_bytes()),
        _ => Err(invalid(format!("a frame of {len} bytes, at most {MAX_FRAME_BYTES} are allowed"))),
    }
}

/// The length that a header announces.
pub(crate) fn frame_len(header: [u8; 4]) -> io::Result<usize> {
    let len = u32::from_le_bytes(header) as usize;
    frame_header(len).map(|_| len)
}

/// Reads a body; nothing may follow the message.
pub(crate) fn decode<T: Decode>(mut body: &[u8]) -> io::Result<T> {
    T::decode_all(&mut body).map_err(|error| invalid(format!("a frame that is no message: {error}")))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_garbage_does_not() {
        let mut pipe = Vec::new();
        write_frame(&mut pipe, &Answer::Executed(Ended::Done(Ok(vec![1, 2]), 3))).unwrap();
        let mut reader = &pipe[..];
        let back: Option<Answer> = read_frame(&mut reader).unwrap();
        assert!(matches!(back, Some(Answer::Executed(Ended::Done(Ok(output), 3))) if output == [1, 2]));
        assert!(read_frame::<Answer>(&mut reader).unwrap().is_none());

        assert!(read_frame::<Answer>(&mut &pipe[..pipe.len() - 1]).is_err(), "cut short");
        assert!(read_frame::<Answer>(&mut &[0xff; 8][..]).is_err(), "longer than any frame");
        pipe.push(0);
        pipe[0] += 1;
        assert!(read_frame::<Answer>(&mut &pipe[..]).is_err(), "something after the message");
    }
}
