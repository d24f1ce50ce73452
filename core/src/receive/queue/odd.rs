//! What an inbox has to do besides taking what is due. Mostly there is nothing, which one look tells.

use super::links::Key;
use crate::sys::Errno;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

#[derive(Debug, Default)]
pub(super) struct Odd {
    /// `false`: there is nothing. Whoever may change something sets it.
    any: bool,
    things: Things,
}

#[derive(Debug, Default)]
pub(super) struct Things {
    /// There may be more than the last look has shown.
    pub(super) look_again: bool,
    /// Admitted, but not yet watched: the kernel refused for the moment.
    pub(super) unwatched: VecDeque<Key>,
    /// Links whose first parcel is kept, in the order in which they are tried again.
    pub(super) kept: VecDeque<Key>,
    /// Why connections could not be accepted.
    pub(super) accept_error: Option<Errno>,
    /// It was reported last, and what is kept has its turn.
    pub(super) accept_error_was_told: bool,
}

impl Odd {
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Whether there still is something. `unwatched`: here, or among what has no link yet.
    pub(super) fn review(&mut self, unwatched: bool) {
        let Things { look_again, kept, accept_error, .. } = &self.things;
        self.any = unwatched || *look_again || !kept.is_empty() || accept_error.is_some();
    }
}

impl Deref for Odd {
    type Target = Things;
    fn deref(&self) -> &Things {
        &self.things
    }
}

impl DerefMut for Odd {
    fn deref_mut(&mut self) -> &mut Things {
        self.any = true;
        &mut self.things
    }
}
