//! The header in front of every parcel's bytes. `docs/protocol.md` fixes it.

/// Descriptors in one parcel at most.
pub const MAX_FDS: usize = 252;

/// Bytes in one parcel at most.
pub const MAX_DATA: usize = 65536;

/// Bytes of the header.
pub(crate) const HEADER: usize = 16;

/// Bytes of the largest message.
pub(crate) const LARGEST: usize = HEADER + MAX_DATA;

const MAGIC: [u8; 4] = *b"sndf";
const VERSION: u16 = 1;

/// An answer is awaited at the last descriptor, which `nfds` does not count.
const REPLY: u32 = 1;

/// The only message from a receiver to a sender: the sender is a guest, and is let in.
pub(crate) const WELCOME: [u8; HEADER] =
    [b's', b'n', b'd', b'f', 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];

/// What the header of a well-formed message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) nfds: u32,
    pub(crate) len: u32,
    /// One descriptor more comes last, at which an answer is awaited.
    pub(crate) reply: bool,
}

/// Why a message is not a parcel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// Not a word of this protocol, or one that contradicts itself.
    Nonsense,
    /// The right magic and another version.
    OtherVersion,
}

impl Header {
    /// Descriptors on the wire.
    pub(crate) fn rights(self) -> usize {
        self.nfds as usize + usize::from(self.reply)
    }

    /// A header for counts within the limits of a parcel.
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        #[allow(clippy::cast_possible_truncation, reason = "at most MAX_FDS")]
        bytes[6..8].copy_from_slice(&(self.nfds as u16).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        let flags = if self.reply { REPLY } else { 0 };
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes
    }

    /// Reads the header of a message of `total` bytes, of which `start` holds the first ones.
    pub(crate) fn decode(start: &[u8; HEADER], total: usize) -> Result<Header, Malformed> {
        let word = |at: usize| {
            u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]])
        };
        if total < HEADER || word(0) != u32::from_le_bytes(MAGIC) {
            return Err(Malformed::Nonsense);
        }
        if word(4) & 0xffff != VERSION.into() {
            return Err(Malformed::OtherVersion);
        }
        let flags = word(12);
        let header = Header { nfds: word(4) >> 16, len: word(8), reply: flags & REPLY != 0 };
        let whole = header.nfds as usize <= MAX_FDS
            && header.len as usize <= MAX_DATA
            && header.len as usize == total - HEADER
            && flags & !REPLY == 0;
        if whole { Ok(header) } else { Err(Malformed::Nonsense) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_is_no_parcel() {
        assert_eq!(Header::decode(&WELCOME, HEADER), Err(Malformed::Nonsense));
        assert_eq!(
            (&WELCOME[..4], u16::from_le_bytes([WELCOME[4], WELCOME[5]])),
            (&MAGIC[..], VERSION)
        );
    }

    fn header_and(change: impl FnOnce(&mut [u8; HEADER])) -> Result<Header, Malformed> {
        let mut bytes = Header { nfds: 3, len: 70, reply: false }.encode();
        change(&mut bytes);
        Header::decode(&bytes, HEADER + 70)
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let bytes = Header { nfds: 252, len: 65536, reply: false }.encode();
        assert_eq!(bytes, *b"sndf\x01\x00\xfc\x00\x00\x00\x01\x00\x00\x00\x00\x00");
        let bytes = Header { nfds: 0, len: 0, reply: true }.encode();
        assert_eq!(bytes, *b"sndf\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00");
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (nfds, len, reply) in
            [(0, 0, false), (1, 1, true), (5, 4096, false), (252, 65536, true)]
        {
            let header = Header { nfds, len, reply };
            assert_eq!(header.rights(), nfds as usize + usize::from(reply));
            assert_eq!(Header::decode(&header.encode(), HEADER + len as usize), Ok(header));
        }
    }

    #[test]
    fn lies_are_nonsense() {
        assert!(header_and(|_| {}).is_ok());
        assert_eq!(header_and(|b| b[0] = b'S'), Err(Malformed::Nonsense));
        assert_eq!(header_and(|b| b[6] = 253), Err(Malformed::Nonsense));
        assert_eq!(header_and(|b| b[8] = 71), Err(Malformed::Nonsense));
        for bit in 1..32 {
            let unknown = |b: &mut [u8; HEADER]| b[12 + bit / 8] = 1 << (bit % 8);
            assert_eq!(header_and(unknown), Err(Malformed::Nonsense), "bit {bit}");
        }
        let bytes = Header { nfds: 1, len: 0, reply: false }.encode();
        assert_eq!(Header::decode(&bytes, HEADER - 1), Err(Malformed::Nonsense));
        let long = Header { nfds: 1, len: 65537, reply: false }.encode();
        assert_eq!(Header::decode(&long, HEADER + 65537), Err(Malformed::Nonsense));
    }

    #[test]
    fn another_version_is_told_apart() {
        assert_eq!(header_and(|b| b[4] = 2), Err(Malformed::OtherVersion));
    }
}
