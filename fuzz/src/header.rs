//! The header's decoder, against the words of `docs/protocol.md`.

use crate::Bytes;
use wire::{HEADER, Header, Malformed};

#[allow(dead_code, unreachable_pub)]
#[path = "../../core/src/wire.rs"]
mod wire;

/// Two bytes for the number of bytes behind the header, then the header.
pub fn header(input: &[u8]) {
    let mut input = Bytes(input);
    let (start, behind) = (input.array::<HEADER>(), input.u32() as usize);
    for total in [behind, behind.wrapping_add(HEADER)] {
        let decoded = Header::decode(&start, total);
        assert_eq!(decoded, by_the_book(&start, total));
        if let Ok(header) = decoded {
            assert_eq!(header.encode(), start, "there is one way to say it");
        }
    }
}

fn by_the_book(start: &[u8; HEADER], total: usize) -> Result<Header, Malformed> {
    let number = |from: usize, to: usize| {
        start[from..to].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    if total < 16 || !start.starts_with(b"sndf") {
        return Err(Malformed::Nonsense);
    }
    if number(4, 6) != 1 {
        return Err(Malformed::OtherVersion);
    }
    let (nfds, len, flags) = (number(6, 8), number(8, 12), number(12, 16));
    if nfds > 252 || len > 65536 || len + 16 != total as u64 || flags > 1 {
        return Err(Malformed::Nonsense);
    }
    Ok(Header { nfds: nfds as u32, len: len as u32, reply: flags == 1 })
}
