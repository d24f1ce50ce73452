//! Waiting for descriptors without libuv: one thread for all of them sits in `poll`, and has the thread
//! of JavaScript call a function. While the function is on its way or runs, its descriptor is not polled.

use crate::poll::Interest;
use napi::bindgen_prelude::{Env, Function, Status};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

type Callback = ThreadsafeFunction<(), (), (), Status, false>;

/// What the thread polls, and the thread's own wake-up.
struct Helper {
    wake: OwnedFd,
    watched: Mutex<Vec<Arc<Watched>>>,
}

struct Watched {
    /// A duplicate: it is open as long as the thread may poll it.
    fd: OwnedFd,
    interest: Mutex<Interest>,
    /// The function is on its way, or runs.
    calling: AtomicBool,
    closed: AtomicBool,
    callback: Mutex<Callback>,
}

/// The thread is started by the first that waits, and lasts as long as the process.
static HELPER: Mutex<Option<Arc<Helper>>> = Mutex::new(None);

#[derive(Debug)]
pub(crate) struct Poll {
    helper: Arc<Helper>,
    watched: Arc<Watched>,
}

impl Poll {
    pub(crate) fn new(fd: BorrowedFd<'_>, callback: &Function<'_, (), ()>) -> Result<Poll> {
        let helper = Helper::get().map_err(failed)?;
        let callback = callback.build_threadsafe_function::<()>().build()?;
        let watched = Arc::new(Watched {
            fd: fd.try_clone_to_owned().map_err(failed)?,
            interest: Mutex::new(Interest::Nothing),
            calling: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            callback: Mutex::new(callback),
        });
        lock(&helper.watched).push(Arc::clone(&watched));
        Ok(Poll { helper, watched })
    }

    pub(crate) fn wait_for(&self, interest: Interest) {
        *lock(&self.watched.interest) = interest;
        self.helper.wake_up();
    }

    #[allow(deprecated, reason = "the other way is to choose once, when it is made")]
    pub(crate) fn keep_alive(&self, env: Env, yes: bool) -> Result<()> {
        let mut callback = lock(&self.watched.callback);
        if yes { callback.refer(&env) } else { callback.unref(&env) }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.watched.closed.store(true, Ordering::Release);
        lock(&self.helper.watched).retain(|watched| !Arc::ptr_eq(watched, &self.watched));
        self.helper.wake_up();
    }
}

impl Helper {
    fn get() -> std::io::Result<Arc<Helper>> {
        let mut started = lock(&HELPER);
        if let Some(helper) = &*started {
            return Ok(Arc::clone(helper));
        }
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let helper = Arc::new(Helper { wake, watched: Mutex::default() });
        let of_thread = Arc::clone(&helper);
        thread::Builder::new().name("sendfd".into()).spawn(move || of_thread.run())?;
        *started = Some(Arc::clone(&helper));
        Ok(helper)
    }

    fn wake_up(&self) {
        // Full, it wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn run(self: Arc<Self>) {
        loop {
            let watched: Vec<_> = lock(&self.watched)
                .iter()
                .filter_map(|watched| Some((Arc::clone(watched), watched.flags()?)))
                .collect();
            let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
            fds.extend(watched.iter().map(|(watched, flags)| PollFd::new(&watched.fd, *flags)));
            if poll(&mut fds, None).is_err() {
                // EINTR, or no memory for now.
                thread::yield_now();
                continue;
            }
            let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            }
            for ((watched, _), _) in watched.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
                self.call(watched);
            }
        }
    }

    fn call(self: &Arc<Self>, watched: &Arc<Watched>) {
        watched.calling.store(true, Ordering::Release);
        let (helper, called) = (Arc::clone(self), Arc::clone(watched));
        let status = lock(&watched.callback).call_with_return_value(
            (),
            ThreadsafeFunctionCallMode::NonBlocking,
            move |_, _| {
                called.calling.store(false, Ordering::Release);
                helper.wake_up();
                Ok(())
            },
        );
        if status != Status::Ok {
            // The thread of JavaScript has ended.
            watched.closed.store(true, Ordering::Release);
        }
    }
}

impl Watched {
    /// What to poll it for, if at all.
    fn flags(&self) -> Option<PollFlags> {
        if self.closed.load(Ordering::Acquire) || self.calling.load(Ordering::Acquire) {
            return None;
        }
        match *lock(&self.interest) {
            Interest::Readable => Some(PollFlags::IN),
            Interest::Writable => Some(PollFlags::OUT),
            Interest::Nothing => None,
        }
    }
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper").field("wake", &self.wake).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("fd", &self.fd).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: impl fmt::Display) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}
