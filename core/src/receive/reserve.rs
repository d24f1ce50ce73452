//! A descriptor that an inbox holds in reserve.
//!
//! It is a member of the inbox's epoll set, and readable while there may be mail that no other member
//! shows. And it can be given up, to accept one more link when the table is full.

use crate::sys::fd::PrivateFd;
use crate::sys::shared::Shared;
use crate::sys::{Result, epoll, eventfd};
use std::os::fd::AsFd;

#[derive(Debug)]
pub(crate) struct Reserve {
    epoll: Shared<PrivateFd>,
    eventfd: Option<PrivateFd>,
    raised: bool,
}

impl Reserve {
    pub(crate) fn open(epoll: Shared<PrivateFd>) -> Result<Reserve> {
        let eventfd = Some(member_of(&epoll)?);
        Ok(Reserve { epoll, eventfd, raised: false })
    }

    /// Whoever polls the epoll set sees something there, or does not on account of this.
    pub(crate) fn show(&mut self, something: bool) {
        let Some(eventfd) = self.eventfd.as_ref().filter(|_| something != self.raised) else {
            return;
        };
        if something {
            eventfd::raise(eventfd.as_fd());
        } else {
            eventfd::clear(eventfd.as_fd());
        }
        self.raised = something;
    }

    /// To be called before the epoll set goes.
    pub(crate) fn settle(&self) {
        if let Some(eventfd) = &self.eventfd {
            eventfd.settle();
        }
    }

    /// Makes room for one descriptor, if it has not done so already.
    pub(crate) fn give_up(&mut self) -> bool {
        let Some(eventfd) = self.eventfd.take() else { return false };
        eventfd.settle();
        epoll::remove(self.epoll.as_fd(), eventfd.as_fd());
        self.raised = false;
        true
    }

    /// After it was given up, if there is room by now. Without it, the next link has to wait for room.
    pub(crate) fn renew(&mut self) {
        if self.eventfd.is_none() {
            self.eventfd = member_of(&self.epoll).ok();
        }
    }
}

fn member_of(epoll: &PrivateFd) -> Result<PrivateFd> {
    let eventfd = PrivateFd::new_out_of_the_way(eventfd::create)?;
    epoll::add(epoll.as_fd(), eventfd.as_fd())?;
    eventfd.is_member_of(epoll);
    Ok(eventfd)
}
