//! Just enough of gzip (RFC 1951 and 1952) to make bodies, good and bad.

/// The bytes in gzip, stored and not squeezed.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = Vec::new();
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a block is short");
        deflate.push(u8::from(blocks.peek().is_none()));
        deflate.extend(length.to_le_bytes());
        deflate.extend((!length).to_le_bytes());
        deflate.extend(block);
    }
    member(&deflate, bytes)
}

/// At least `length` blanks in gzip, a thousandth of their size.
pub fn blanks(length: usize) -> (Vec<u8>, usize) {
    let mut bits = Bits::default();
    bits.push(1, 1); // the last block
    bits.push(0b01, 2); // with the fixed codes
    bits.push_code(0x30 + u32::from(b' '), 8); // one literal
    let repeats = length / 258 + 1;
    for _ in 0..repeats {
        bits.push_code(0b1100_0101, 8); // 258 more bytes
        bits.push_code(0, 5); // of the one before
    }
    bits.push_code(0, 7); // the end
    let whole = vec![b' '; 1 + repeats * 258];
    (member(&bits.bytes, &whole), whole.len())
}

fn member(deflate: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    member.extend(deflate);
    member.extend(crc(bytes).to_le_bytes());
    member.extend(u32::try_from(bytes.len()).expect("a body is short").to_le_bytes());
    member
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// The lowest bit first.
    fn push(&mut self, value: u32, count: usize) {
        for index in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from(value >> index & 1 == 1);
            *self.bytes.last_mut().expect("a byte") |= bit << (self.used % 8);
            self.used += 1;
        }
    }

    /// A Huffman code: the highest bit first.
    fn push_code(&mut self, code: u32, count: usize) {
        for index in (0..count).rev() {
            self.push(code >> index & 1, 1);
        }
    }
}
