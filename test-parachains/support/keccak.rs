//! Keccak-256 as Ethereum and the well-known *adder* use it: rate 136 bytes, padding `0x01`.

const RATE: usize = 136;

const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// Rotation of each lane on its way along the ρ–π cycle that starts at lane 1, and where it lands.
const RHO: [u32; 24] = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
const PI: [usize; 24] = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];

fn permute(lanes: &mut [u64; 25]) {
    for round_constant in ROUND_CONSTANTS {
        let mut parity = [0u64; 5];
        for x in 0..5 {
            parity[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20];
        }
        for x in 0..5 {
            let mix = parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1);
            for y in 0..5 {
                lanes[x + 5 * y] ^= mix;
            }
        }
        let mut carried = lanes[1];
        for step in 0..24 {
            let next = lanes[PI[step]];
            lanes[PI[step]] = carried.rotate_left(RHO[step]);
            carried = next;
        }
        for y in 0..5 {
            let row: [u64; 5] = [lanes[5 * y], lanes[5 * y + 1], lanes[5 * y + 2], lanes[5 * y + 3], lanes[5 * y + 4]];
            for x in 0..5 {
                lanes[5 * y + x] = row[x] ^ (!row[(x + 1) % 5] & row[(x + 2) % 5]);
            }
        }
        lanes[0] ^= round_constant;
    }
}

fn absorb(lanes: &mut [u64; 25], block: &[u8]) {
    for (lane, bytes) in lanes.iter_mut().zip(block.chunks_exact(8)) {
        let mut word = [0u8; 8];
        word.copy_from_slice(bytes);
        *lane ^= u64::from_le_bytes(word);
    }
    permute(lanes);
}

/// Keccak-256 of `data`.
pub fn keccak_256(data: &[u8]) -> [u8; 32] {
    let mut lanes = [0u64; 25];
    let blocks = data.chunks_exact(RATE);
    let rest = blocks.remainder();
    for block in blocks {
        absorb(&mut lanes, block);
    }
    let mut last = [0u8; RATE];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x01;
    last[RATE - 1] |= 0x80;
    absorb(&mut lanes, &last);

    let mut out = [0u8; 32];
    for (bytes, lane) in out.chunks_exact_mut(8).zip(lanes) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    out
}
