//! What the fuzz targets do with an input. Anything but a panic is fine: each compares what the library
//! does with what it promises.
//!
//! Only the public interface is used, and the sockets that any process could connect; the header's
//! decoder alone is taken out of the library, because it is worth a million tries a second.

mod announcement;
mod answer;
mod header;
mod message;
mod peer;
mod welcome;

pub use announcement::announcement;
pub use answer::answer;
pub use header::header;
pub use message::message;
pub use sendfd_core::{MAX_DATA, MAX_FDS};
pub use welcome::{can_be_a_guest, welcome};

/// An input, read from the front; beyond its end there are zeros.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        front
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let front = self.slice(N);
        array[..front.len()].copy_from_slice(front);
        array
    }

    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
}
