//! The public JAM vectors decide the layout of the code.
//!
//! They are held against the code beneath [`Codec`], because JAM's k at 1,023 chunks is 342, one more
//! than the f + 1 that is ours; at six chunks the two agree.

use crate::{Codec, reed_solomon};

struct Vector {
    data: Vec<u8>,
    chunks: Vec<Vec<u8>>,
}

fn parse(file: &[u8]) -> Vector {
    let mut rest = file;
    let data = take_bytes(&mut rest);
    let count = take_length(&mut rest);
    let chunks = (0..count).map(|_| take_bytes(&mut rest)).collect();
    assert!(rest.is_empty(), "{} bytes after the vector", rest.len());
    Vector { data, chunks }
}

fn take_length(rest: &mut &[u8]) -> usize {
    let first = usize::from(rest[0]);
    assert!(first < 0xc0, "length of more than two bytes");
    if first < 0x80 {
        *rest = &rest[1..];
        return first;
    }
    let length = (first - 0x80) << 8 | usize::from(rest[1]);
    *rest = &rest[2..];
    length
}

fn take_bytes(rest: &mut &[u8]) -> Vec<u8> {
    let length = take_length(rest);
    let (taken, after) = rest.split_at(length);
    *rest = after;
    taken.to_vec()
}

fn check(file: &[u8], n: usize, k: usize, data_len: usize) {
    let vector = parse(file);
    assert_eq!((vector.data.len(), vector.chunks.len()), (data_len, n));
    let chunk_len = data_len.div_ceil(2 * k) * 2;
    let mut chunks = vec![0; n * chunk_len];
    chunks[..data_len].copy_from_slice(&vector.data);
    let (data, recovery) = chunks.split_at_mut(k * chunk_len);
    reed_solomon::encode(data, recovery, chunk_len);
    for (index, expected) in vector.chunks.iter().enumerate() {
        let chunk = &chunks[index * chunk_len..][..chunk_len];
        assert_eq!(chunk, expected, "chunk {index} of n = {n}, {data_len} bytes");
    }

    // The hindmost k chunks, as the vector has them, give the data back.
    let last: Vec<(usize, &[u8])> = (n - k..n).map(|index| (index, vector.chunks[index].as_slice())).collect();
    let mut recovered = vec![0; k * chunk_len];
    reed_solomon::decode_missing(&last, &mut recovered, chunk_len);
    assert_eq!(recovered, chunks[..k * chunk_len]);
}

#[test]
fn tiny() {
    let files = [
        (3, &include_bytes!("../tests/vectors/tiny-ec-3.bin")[..]),
        (32, &include_bytes!("../tests/vectors/tiny-ec-32.bin")[..]),
        (100, &include_bytes!("../tests/vectors/tiny-ec-100.bin")[..]),
        (4096, &include_bytes!("../tests/vectors/tiny-ec-4096.bin")[..]),
    ];
    for (data_len, file) in files {
        check(file, 6, 2, data_len);
        let vector = parse(file);
        let encoded = Codec::new(6).unwrap().encode(&vector.data).unwrap();
        for (index, expected) in vector.chunks.iter().enumerate() {
            assert_eq!(encoded.chunk(index as u32).unwrap(), expected[..]);
        }
    }
}

#[test]
fn full() {
    check(include_bytes!("../tests/vectors/full-ec-3.bin"), 1023, 342, 3);
    check(include_bytes!("../tests/vectors/full-ec-100.bin"), 1023, 342, 100);
}
