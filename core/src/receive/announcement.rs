//! A signal that the program dequeued by itself.

use crate::sys::signal::SignalInfo;

/// What a signal says about the mail it announces. A hint: it may be stale, or made up.
#[derive(Clone, Copy, Debug)]
pub struct Announcement(pub(crate) SignalInfo);

impl Announcement {
    /// From what `sigtimedwait` and its kin fill.
    #[must_use]
    pub fn from_siginfo(info: &libc::siginfo_t) -> Announcement {
        Announcement(SignalInfo::from_siginfo(info))
    }

    /// From what a `signalfd` is read into.
    #[must_use]
    pub fn from_signalfd(info: &libc::signalfd_siginfo) -> Announcement {
        Announcement(SignalInfo {
            signo: i32::try_from(info.ssi_signo).unwrap_or(0),
            code: info.ssi_code,
            fd: info.ssi_fd,
        })
    }
}
