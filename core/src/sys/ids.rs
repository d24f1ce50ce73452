//! Who the caller is: process, thread, user.

/// `getpid()`.
pub(crate) fn process() -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::getpid() }
}

/// `gettid()`, by its number: glibc has had a function for it only since 2.30.
pub(crate) fn thread() -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    i32::try_from(id).expect("the kernel's thread ids are positive ints")
}

/// `geteuid()`.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// The three user ids of the calling process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Uids {
    pub(crate) real: u32,
    pub(crate) effective: u32,
    pub(crate) saved: u32,
}

impl Uids {
    /// Whether a peer with this effective user is one of ours.
    pub(crate) fn admit(self, them: u32) -> bool {
        them == self.real || them == self.saved
    }
}

/// `getresuid()`.
pub(crate) fn uids() -> Uids {
    let mut ids = Uids { real: 0, effective: 0, saved: 0 };
    // SAFETY: three valid places to write to; the call cannot fail with valid pointers.
    unsafe { libc::getresuid(&raw mut ids.real, &raw mut ids.effective, &raw mut ids.saved) };
    ids
}

/// `kill(id, 0)`: may this process signal that task?
pub(crate) fn may_signal(id: i32) -> super::Result<()> {
    // SAFETY: signal 0 delivers nothing.
    super::check(unsafe { libc::kill(id, 0) }).map(drop)
}

/// `tgkill(process, thread, 0)`: is that thread one of that process? Neither is where a number is 0.
pub(crate) fn is_thread_of(process: i32, thread: i32) -> bool {
    // SAFETY: signal 0 delivers nothing.
    let asked = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
    // KERNEL: whether there is such a thread comes before whether it may be signalled.
    asked == 0 || super::Errno::last() == super::Errno(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_and_the_saved_user_are_ours() {
        let ours = Uids { real: 1, effective: 2, saved: 3 };
        assert_eq!([0, 1, 2, 3, 4].map(|uid| ours.admit(uid)), [false, true, false, true, false]);
    }
}
