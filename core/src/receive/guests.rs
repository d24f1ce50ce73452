//! Who may send to an inbox beside root and the receiver's own users, and how many of them at once.

use super::options::Options;
use crate::address::{if_supported, proc};
use crate::sys::socket::{self, Peer};
use crate::sys::{Errno, Result, fd, message};
use crate::wire::WELCOME;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

/// Links that one user may have.
const MOST_OF_ONE: usize = 16;

/// Links that all of them may have.
const MOST: usize = 1024;

#[derive(Debug)]
pub(super) struct Guests {
    uids: Vec<u32>,
    gids: Vec<u32>,
    anyone: bool,
    /// The number that stands for all users who have none here.
    nobody: u32,
    /// The number here of each user that has links, in ascending order, and how many.
    links: Vec<(u32, usize)>,
    count: usize,
}

impl Guests {
    /// `None`: nobody is invited. EINVAL: somebody who cannot be told from others is.
    pub(super) fn of(options: Options<'_>) -> Result<Option<Guests>> {
        let Options { uids, gids, anyone, .. } = options;
        if uids.is_empty() && gids.is_empty() && !anyone {
            return Ok(None);
        }
        let nobody = proc::overflow_uid();
        let nameless = |ids: &[u32], overflow| ids.contains(&overflow) || ids.contains(&u32::MAX);
        if nameless(uids, nobody) || nameless(gids, proc::overflow_gid()) {
            return Err(Errno(libc::EINVAL));
        }
        let (uids, gids) = (sorted(uids)?, sorted(gids)?);
        Ok(Some(Guests { uids, gids, anyone, nobody, links: Vec::new(), count: 0 }))
    }

    /// Whether the peer of `socket` is invited.
    pub(super) fn invited(&self, peer: Peer, socket: BorrowedFd<'_>) -> Result<bool> {
        let uid = peer.effective_uid;
        if self.anyone || (uid != self.nobody && self.uids.binary_search(&uid).is_ok()) {
            return Ok(true);
        }
        if self.gids.is_empty() {
            return Ok(false);
        }
        let is_invited = |gid: &u32| self.gids.binary_search(gid).is_ok();
        // KERNEL(4.13): before, or where the call is refused, the effective group has to do.
        Ok(is_invited(&peer.effective_gid)
            || if_supported(socket::peer_groups(socket))?
                .is_some_and(|groups| groups.iter().any(is_invited)))
    }

    /// Makes room to count one more. `false`: the user has as many links as it may, or all have.
    pub(super) fn has_room_for(&mut self, uid: u32) -> Result<bool> {
        self.links.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        Ok(self.has_room_of_its_own(uid) && self.count < MOST.min(share_of_the_table()))
    }

    pub(super) fn has_room_of_its_own(&self, uid: u32) -> bool {
        self.place_of(uid).map_or(true, |place| self.links[place].1 < MOST_OF_ONE)
    }

    /// There is room for it.
    pub(super) fn came(&mut self, uid: u32) {
        match self.place_of(uid) {
            Ok(place) => self.links[place].1 += 1,
            Err(place) => self.links.insert(place, (uid, 1)),
        }
        self.count += 1;
    }

    pub(super) fn left(&mut self, uid: u32) {
        let Ok(place) = self.place_of(uid) else { return };
        self.links[place].1 -= 1;
        if self.links[place].1 == 0 {
            self.links.remove(place);
        }
        self.count -= 1;
    }

    /// Where the user stands, or would.
    fn place_of(&self, uid: u32) -> std::result::Result<usize, usize> {
        self.links.binary_search_by_key(&uid, |(user, _)| *user)
    }
}

/// The rest of the table of descriptors is for others.
fn share_of_the_table() -> usize {
    usize::try_from(fd::limit() / 4).unwrap_or(MOST)
}

fn sorted(ids: &[u32]) -> Result<Vec<u32>> {
    let mut sorted = Vec::new();
    sorted.try_reserve_exact(ids.len()).map_err(|_| Errno(libc::ENOMEM))?;
    sorted.extend_from_slice(ids);
    sorted.sort_unstable();
    Ok(sorted)
}

/// Tells a guest that it is let in; an error where it has gone.
pub(super) fn welcome(socket: BorrowedFd<'_>) -> Result<()> {
    message::send(socket, &mut [IoSlice::new(&WELCOME)], &[], message::Only::Any).map(drop)
}
