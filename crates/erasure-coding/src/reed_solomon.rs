//! The code itself: encoding and erasure decoding on flat buffers, on the engine of
//! `reed-solomon-simd`.
//!
//! The engine's transforms are used directly and not through that crate's encoder and decoder: those
//! copy every chunk in and out, walk over whole chunks instead of what fits the cache, and locate
//! erasures by two transforms over the whole field.
//!
//! Word columns are independent codewords. So everything happens in *strips*: a range of columns of
//! all chunks is copied to a small working space, transformed there, and copied to its place. The
//! engine wants the low bytes of 32 words and then their high bytes in each block of 64; the copies in
//! and out do that rearrangement on the way.

use std::iter::zip;

use reed_solomon_simd::engine::{DefaultEngine, Engine, GF_MODULUS, GfElement, ShardsRefMut, tables, utils};

use crate::FIELD_POINTS;

/// What the engine works on: the low bytes of 32 words, then their high bytes.
type Block = [u8; BLOCK_LEN];

const BLOCK_LEN: usize = 64;

/// Order of the field's multiplicative group: logarithms count modulo this.
const GROUP_ORDER: u32 = GF_MODULUS as u32;

/// Working space of a strip, in bytes; small enough to stay in the second-level cache of a core.
const STRIP_SPACE: usize = 512 * 1024;

/// Widest strip of one chunk, in blocks. Wider ones gain nothing once the per-row work is hidden.
const STRIP_BLOCKS_MAX: usize = 32;

/// Builds the tables of the underlying library (about 8.5 MiB, some tens of milliseconds).
///
/// They are built on first use in any case; a node calls this at its start so that no candidate pays.
pub fn warm_up() {
    let _ = tables::get_exp_log();
    let _ = DefaultEngine::new();
}

fn split_words(words: &Block, block: &mut Block) {
    let (low, high) = block.split_at_mut(BLOCK_LEN / 2);
    for ((word, low), high) in zip(zip(words.as_chunks::<2>().0, low), high) {
        [*low, *high] = *word;
    }
}

fn join_words(block: &Block, words: &mut Block) {
    let (low, high) = block.split_at(BLOCK_LEN / 2);
    for ((word, low), high) in zip(zip(words.as_chunks_mut::<2>().0, low), high) {
        *word = [*low, *high];
    }
}

/// Copies a strip of a chunk into its row of the working space; a last partial block is zero-padded.
fn load(strip: &[u8], row: &mut [Block]) {
    let (whole, tail) = strip.as_chunks();
    for (words, block) in zip(whole, &mut *row) {
        split_words(words, block);
    }
    if let Some(block) = row.get_mut(whole.len()) {
        let mut words = [0; BLOCK_LEN];
        words[..tail.len()].copy_from_slice(tail);
        split_words(&words, block);
    }
}

/// Copies a row of the working space to its strip of a chunk.
fn store(row: &[Block], strip: &mut [u8]) {
    let (whole, tail) = strip.as_chunks_mut();
    let whole_blocks = whole.len();
    for (block, words) in zip(row, whole) {
        join_words(block, words);
    }
    if let Some(block) = row.get(whole_blocks) {
        let mut words = [0; BLOCK_LEN];
        join_words(block, &mut words);
        tail.copy_from_slice(&words[..tail.len()]);
    }
}

/// Byte ranges of the strips of a chunk when the working space has `rows` rows.
fn strips(rows: usize, chunk_len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let blocks = STRIP_SPACE / BLOCK_LEN / rows;
    let strip_len = blocks.clamp(1, STRIP_BLOCKS_MAX) * BLOCK_LEN;
    (0..chunk_len).step_by(strip_len).map(move |start| start..chunk_len.min(start + strip_len))
}

/// Working space for the widest strip of `rows` rows.
fn working_space(rows: usize, chunk_len: usize) -> Vec<Block> {
    let widest = strips(rows, chunk_len).next().unwrap_or_default();
    vec![[0; BLOCK_LEN]; rows * widest.len().div_ceil(BLOCK_LEN)]
}

/// Computes the recovery chunks of the data chunks.
///
/// `data` holds k chunks and `recovery` the n − k others, all of `chunk_len` bytes: an even number,
/// not zero.
pub(crate) fn encode(data: &[u8], recovery: &mut [u8], chunk_len: usize) {
    if recovery.is_empty() {
        return;
    }
    let engine = DefaultEngine::new();
    let k = data.len() / chunk_len;
    let points = k.next_power_of_two();
    let mut space = working_space(2 * points, chunk_len);

    for strip in strips(2 * points, chunk_len) {
        let width = strip.len().div_ceil(BLOCK_LEN);
        let (coefficients, values) = space[..2 * points * width].split_at_mut(points * width);
        for (row, chunk) in zip(coefficients.chunks_exact_mut(width), data.chunks_exact(chunk_len)) {
            load(&chunk[strip.clone()], row);
        }
        // The polynomial is zero at the points between k and the power of two.
        coefficients[k * width..].fill([0; BLOCK_LEN]);
        let mut shards = ShardsRefMut::new(points, width, coefficients);
        engine.ifft(&mut shards, 0, points, k, 0);

        for (group, chunks) in recovery.chunks_mut(points * chunk_len).enumerate() {
            let wanted = chunks.len() / chunk_len;
            values.copy_from_slice(coefficients);
            let mut shards = ShardsRefMut::new(points, width, values);
            engine.fft(&mut shards, 0, points, wanted, (group + 1) * points);
            for (row, chunk) in zip(values.chunks_exact(width), chunks.chunks_exact_mut(chunk_len)) {
                store(row, &mut chunk[strip.clone()]);
            }
        }
    }
}

/// Computes the data chunks that are missing among `received`.
///
/// `received` holds exactly k chunks with their indices, ascending; `data` has room for the k data
/// chunks, and the received ones among them are left as they are.
///
/// With P the polynomial of the data and L the one whose zeros are all points we know nothing about,
/// P·L is known everywhere (it is zero where P is unknown), and at those zeros (P·L)' = P·L'. So: take
/// P·L to coefficients, differentiate, take it back, and divide by L'.
pub(crate) fn decode_missing(received: &[(usize, &[u8])], data: &mut [u8], chunk_len: usize) {
    let k = data.len() / chunk_len;
    let low_points = k.next_power_of_two();
    let point_of = |index: usize| {
        if index < k { index } else { low_points + index - k }
    };
    let points_end = received.last().map_or(0, |(index, _)| point_of(*index) + 1).max(low_points);
    let points = points_end.next_power_of_two();

    let mut unknown = vec![true; points];
    unknown[k..low_points].fill(false);
    for (index, _) in received {
        unknown[point_of(*index)] = false;
    }
    let missing: Vec<usize> = (0..k).filter(|point| unknown[*point]).collect();
    let Some(last_missing) = missing.last() else {
        return;
    };
    let locator = locator_logs(&unknown);

    let engine = DefaultEngine::new();
    let mut space = working_space(points, chunk_len);
    for strip in strips(points, chunk_len) {
        let width = strip.len().div_ceil(BLOCK_LEN);
        let rows = &mut space[..points * width];
        rows.fill([0; BLOCK_LEN]);
        for (index, chunk) in received {
            let point = point_of(*index);
            let row = &mut rows[point * width..][..width];
            load(&chunk[strip.clone()], row);
            engine.mul(row, locator[point]);
        }
        let mut shards = ShardsRefMut::new(points, width, rows);
        engine.ifft(&mut shards, 0, points, points_end, 0);
        differentiate(rows, width);
        let mut shards = ShardsRefMut::new(points, width, rows);
        engine.fft(&mut shards, 0, points, last_missing + 1, 0);
        for point in &missing {
            let row = &mut rows[point * width..][..width];
            engine.mul(row, GF_MODULUS - locator[*point]);
            store(row, &mut data[point * chunk_len..][strip.clone()]);
        }
    }
}

/// The formal derivative of a polynomial given by its coefficients in the engine's basis, where the
/// derivative of basis polynomial i is the sum of those with one bit of i taken away.
fn differentiate(rows: &mut [Block], width: usize) {
    for row in 1..rows.len() / width {
        let span = 1 << row.trailing_zeros();
        let (before, from) = rows.split_at_mut(row * width);
        utils::xor(&mut before[(row - span) * width..], &from[..span * width]);
    }
}

/// For each point x, the logarithm of the product of (x − u) over the unknown points u other than x:
/// of L(x) where x is known, of L'(x) where it is not.
///
/// Subtraction of points is exclusive-or of their numbers, so the sum of logarithms is a convolution
/// that a Walsh–Hadamard transform turns into a product. Over a subspace of 2^m points this takes
/// m·2^m steps, whatever the number of unknown points.
fn locator_logs(unknown: &[bool]) -> Vec<GfElement> {
    let table = &tables::get_exp_log().log;
    let mut logs: Vec<u32> = table[..unknown.len()].iter().copied().map(u32::from).collect();
    logs[0] = 0;
    let mut sums: Vec<u32> = unknown.iter().copied().map(u32::from).collect();
    walsh_hadamard(&mut logs);
    walsh_hadamard(&mut sums);
    for (sum, log) in zip(&mut sums, &logs) {
        *sum = *sum * *log % GROUP_ORDER;
    }
    walsh_hadamard(&mut sums);
    // Transforming twice has multiplied by 2^m; as 2^16 = 1 here, 2^(16−m) is the way back.
    let scale = (FIELD_POINTS / unknown.len()) as u32;
    sums.iter().map(|sum| (*sum * scale % GROUP_ORDER) as GfElement).collect()
}

/// In-place Walsh–Hadamard transform of values below [`GROUP_ORDER`], modulo it.
fn walsh_hadamard(values: &mut [u32]) {
    let mut span = 1;
    while span < values.len() {
        for pair in values.chunks_exact_mut(2 * span) {
            let (low, high) = pair.split_at_mut(span);
            for (a, b) in zip(low, high) {
                (*a, *b) = ((*a + *b) % GROUP_ORDER, (*a + GROUP_ORDER - *b) % GROUP_ORDER);
            }
        }
        span *= 2;
    }
}
