//! Validation code as registered: plain wasm, or compressed behind an eight-byte mark.

use std::{borrow::Cow, io::Read};

use ruzstd::decoding::StreamingDecoder;

use crate::limits::{MAX_CODE_BYTES, MAX_COMPRESSION_WINDOW_BYTES, MAX_DECOMPRESSED_CODE_BYTES};

/// What compressed code begins with; zstd follows.
const COMPRESSED_MARK: [u8; 8] = [0x52, 0xbc, 0x53, 0x76, 0x46, 0xdb, 0x8e, 0x05];

/// The wasm in `code`, or why there is none.
pub(crate) fn decompress(code: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if code.len() > MAX_CODE_BYTES {
        return Err(format!("code of {} bytes, at most {MAX_CODE_BYTES} are allowed", code.len()));
    }
    let Some(compressed) = code.strip_prefix(&COMPRESSED_MARK) else {
        return Ok(Cow::Borrowed(code));
    };
    let decoder = StreamingDecoder::new_with_max_window_size(compressed, MAX_COMPRESSION_WINDOW_BYTES)
        .map_err(|error| format!("code is marked as compressed but is not: {error}"))?;
    let mut wasm = Vec::new();
    decoder
        .take(MAX_DECOMPRESSED_CODE_BYTES as u64 + 1)
        .read_to_end(&mut wasm)
        .map_err(|error| format!("compressed code is damaged: {error}"))?;
    if wasm.len() > MAX_DECOMPRESSED_CODE_BYTES {
        return Err(format!("code decompresses to more than {MAX_DECOMPRESSED_CODE_BYTES} bytes"));
    }
    Ok(Cow::Owned(wasm))
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn compressed(wasm: &[u8]) -> Vec<u8> {
        [&COMPRESSED_MARK[..], &compress_to_vec(wasm, CompressionLevel::Fastest)].concat()
    }

    #[test]
    fn plain_and_compressed_code_give_the_same_wasm() {
        let wasm = test_parachains::adder::WASM;
        assert_eq!(&*decompress(wasm).unwrap(), wasm);
        assert_eq!(&*decompress(&compressed(wasm)).unwrap(), wasm);
    }

    #[test]
    fn bombs_and_garbage_are_refused() {
        let bomb = compressed(&vec![0; MAX_DECOMPRESSED_CODE_BYTES + 1]);
        assert!(bomb.len() < MAX_CODE_BYTES);
        assert!(decompress(&bomb).unwrap_err().contains("decompresses to more"));
        assert!(decompress(&COMPRESSED_MARK).is_err());
        assert!(decompress(&[&COMPRESSED_MARK[..], &[7; 40]].concat()).is_err());
        let mut cut = compressed(test_parachains::adder::WASM);
        cut.truncate(cut.len() / 2);
        assert!(decompress(&cut).is_err());
        assert!(decompress(&vec![0; MAX_CODE_BYTES + 1]).unwrap_err().contains("at most"));
    }
}
