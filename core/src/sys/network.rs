//! Sockets in another network namespace.
//!
//! KERNEL: a socket stays in the network namespace in which it was made, and takes names there, whoever uses
//! it and from where. So a thread goes there, makes the socket, and ends: it never comes back, and no other
//! thread of the program is ever elsewhere.

use super::fd::PrivateFd;
use super::socket::{self, Blocking};
use super::{Errno, Result, check, file};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Whether that is the network namespace of the calling thread.
pub(crate) fn is_ours(namespace: BorrowedFd<'_>) -> Result<bool> {
    let ours = file::open(c"/proc/thread-self/ns/net")?;
    Ok(inode(namespace)? == inode(ours.as_fd())?)
}

fn inode(namespace: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    check(unsafe { libc::fstat64(namespace.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.st_dev, stat.st_ino))
}

/// Whether the calling thread has `CAP_SYS_ADMIN` in its user namespace, without which it can go nowhere.
pub(crate) fn may_leave() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_SYS_ADMIN: u32 = 21;
    let header = [VERSION_3, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: a header for the calling thread, and room for two times three sets of 32 bits.
    let asked = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    asked == 0 && sets[0] & 1 << CAP_SYS_ADMIN != 0
}

/// What the thread is to do, and what came of it.
struct Errand {
    namespace: c_int,
    blocking: Blocking,
    made: Result<OwnedFd>,
}

/// An unconnected socket in the network namespace that `namespace`, a file of it or a pidfd, stands for.
pub(crate) fn socket_in(namespace: BorrowedFd<'_>, blocking: Blocking) -> Result<PrivateFd> {
    PrivateFd::new_out_of_the_way(|| {
        let made = Err(Errno(libc::EIO));
        let mut errand = Errand { namespace: namespace.as_raw_fd(), blocking, made };
        run(&mut errand)?;
        errand.made
    })
}

/// Runs the errand in a thread, which has ended when this returns. No signal of the program's goes to it.
fn run(errand: &mut Errand) -> Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the pointer is to a set that the call fills.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: a set that is filled, and room for another one; it fails for other actions only.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let argument = (&raw mut *errand).cast::<c_void>();
    // SAFETY: default attributes, and an argument that outlives the thread, which is joined below.
    let started =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), go, argument) };
    if started == 0 {
        // SAFETY: filled by the successful call above.
        let thread = unsafe { thread.assume_init() };
        // SAFETY: started above, and not detached.
        unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
    }
    // SAFETY: filled above; the set that was in force is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    // EAGAIN: there may be no more threads. It would be taken for a full queue.
    if started == 0 { Ok(()) } else { Err(Errno(libc::ENOMEM)) }
}

/// The thread.
extern "C" fn go(argument: *mut c_void) -> *mut c_void {
    // SAFETY: whoever has started this thread waits for its end, and does not touch it meanwhile.
    if let Some(errand) = unsafe { argument.cast::<Errand>().as_mut() } {
        // SAFETY: concerns this thread alone, which uses the namespace for nothing else.
        let gone = unsafe { libc::setns(errand.namespace, libc::CLONE_NEWNET) };
        errand.made = check(gone).and_then(|_| socket::create(errand.blocking));
    }
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_where_it_is() {
        let here = file::open(c"/proc/thread-self/ns/net").expect("it is there");
        assert_eq!(is_ours(here.as_fd()), Ok(true));
        let other = file::open(c"/proc/thread-self/ns/mnt").expect("it is there");
        assert_eq!(is_ours(other.as_fd()), Ok(false));
    }

    #[test]
    fn the_capability_is_that_of_this_thread() {
        let shown = || {
            let status = file::read(c"/proc/thread-self/status").expect("it is there");
            let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
            let set = u64::from_str_radix(set.expect("a line").trim(), 16).expect("a number");
            set & 1 << 21 != 0
        };
        assert_eq!(may_leave(), shown());
        let other = std::thread::spawn(move || {
            // A call of the C library would change the user of all threads.
            // SAFETY: takes numbers only; this thread ends at once. Where it may not, it has no capabilities.
            unsafe { libc::syscall(libc::SYS_setresuid, 65533, 65533, 65533) };
            (may_leave(), shown())
        });
        assert_eq!(other.join().expect("a thread"), (false, false));
    }

    #[test]
    fn only_a_namespace_can_be_gone_to() {
        let null = file::open(c"/dev/null").expect("it is there");
        assert!(socket_in(null.as_fd(), Blocking::No).is_err());
        let here = file::open(c"/proc/thread-self/ns/net").expect("it is there");
        assert_eq!(socket_in(here.as_fd(), Blocking::No).is_ok(), may_leave());
    }
}
