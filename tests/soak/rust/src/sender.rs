//! Making numbered files and sending them.

use crate::dice::Dice;
use crate::paper::{ABOUT, Address, Count, Papers, Row, SENT, now};
use crate::{SMALL_TABLE, limit_descriptors};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sendfd_core::{MAX_DATA, MAX_FDS, Outgoing, Signal, Task, send, send_pidfd};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const ATTEMPTS: u32 = 3;
/// KERNEL: the flag that asks `pidfd_open` for a thread is `O_EXCL`.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);

pub(crate) struct Sender {
    pub(crate) papers: Papers,
    pub(crate) leave: AtomicBool,
    kind: u32,
    table: u64,
    contacted: Mutex<HashSet<(u32, bool)>>,
    /// Held while the table is full on purpose.
    filled: Mutex<()>,
}

impl Sender {
    pub(crate) fn new(papers: Papers, kind: u32, table: u64) -> Sender {
        let leave = AtomicBool::new(false);
        Sender { papers, leave, kind, table, contacted: Mutex::default(), filled: Mutex::default() }
    }

    pub(crate) fn is_ending(&self) -> io::Result<bool> {
        let leave = self.leave.load(Ordering::Relaxed);
        Ok(leave || self.papers.is_full() || self.papers.phase()? > 0)
    }

    pub(crate) fn peers(&self) -> usize {
        self.contacted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn hold_table(&self) -> MutexGuard<'_, ()> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn make_and_send(&self, dice: &mut Dice, thread: u32) -> io::Result<()> {
        let Some(to) = self.papers.address(dice.next())? else {
            std::thread::sleep(Duration::from_micros(200));
            return Ok(());
        };
        let most = if dice.chance(40) {
            1
        } else if dice.chance(50) || self.kind == SMALL_TABLE {
            16
        } else {
            u32::try_from(MAX_FDS).expect("a small number")
        };
        let wanted = 1 + dice.small(most);
        let first = self.papers.numbers(wanted);
        let mut files = Vec::new();
        for number in first..first + u64::from(wanted) {
            match make_memfd(number) {
                Ok(file) => files.push(file),
                Err(error) => {
                    self.count_errno(error.raw_os_error().unwrap_or(0));
                    break;
                }
            }
        }
        if files.is_empty() {
            std::thread::yield_now();
            return Ok(());
        }
        self.send(dice, to, &files, first, thread)
    }

    pub(crate) fn fill_table_and_send(&self, dice: &mut Dice) -> io::Result<()> {
        let _table = self.hold_table();
        let first = self.papers.numbers(1);
        let Some(to) = self.papers.address(dice.next())? else { return Ok(()) };
        let Ok(file) = make_memfd(first) else { return Ok(()) };
        limit_descriptors(self.table.min(64))?;
        let mut filled = Vec::new();
        while let Ok(more) = io::stdin().as_fd().try_clone_to_owned() {
            filled.push(more);
        }
        self.papers.count(Count::FullTable);
        self.send(dice, to, &[file], first, 0)?;
        drop(filled);
        Ok(limit_descriptors(self.table)?)
    }

    fn send(
        &self,
        dice: &mut Dice,
        to: Address,
        files: &[OwnedFd],
        first: u64,
        thread: u32,
    ) -> io::Result<()> {
        let len = length(dice);
        let data: Vec<u8> =
            (0..u64::from(len)).map(|at| low_byte(first.wrapping_mul(7) + at)).collect();
        let alone = files.len() == 1 && len == 0 && dice.chance(80);
        let pidfd = if alone && dice.chance(30) { pidfd_of(to.id) } else { None };
        let by_pidfd = pidfd.is_some();
        self.contacted.lock().unwrap_or_else(PoisonError::into_inner).insert((to.inbox, by_pidfd));
        let fds: Vec<_> = files.iter().map(OwnedFd::as_fd).collect();
        let count = u32::try_from(fds.len()).expect("a small number");
        let at = self.papers.new_row()?;
        let mut row = Row {
            first,
            count,
            len,
            inbox: to.inbox,
            state: ABOUT,
            thread,
            by_pidfd,
            t0: 0,
            t1: 0,
        };
        for _ in 0..ATTEMPTS {
            let (task, signal) = match (Task::new(to.id), Signal::new(to.signo)) {
                (Ok(task), Ok(signal)) => (task, signal),
                other => {
                    self.papers.fault(&format!("{other:?}"));
                    break;
                }
            };
            (row.state, row.t0) = (ABOUT, now());
            self.papers.write(at, &row)?;
            let result = match &pidfd {
                Some(pidfd) => send_pidfd(pidfd, signal, fds[0]),
                None if alone => send(task, signal, fds[0]),
                None => Outgoing::new(&fds).data(&data).timeout(patience(dice)).send(task, signal),
            };
            row.t1 = now();
            row.state = result.as_ref().map_or_else(|error| -error.errno(), |()| SENT);
            self.papers.write(at, &row)?;
            let Err(error) = result else { break };
            self.count_errno(error.errno());
            match error.name() {
                "EAGAIN" | "ETIMEDOUT" | "EMFILE" | "ENFILE" | "ETOOMANYREFS" | "ENOMEM"
                | "ENOBUFS" => {
                    std::thread::yield_now();
                }
                "ECONNREFUSED" | "ESRCH" => break,
                _ => {
                    self.papers.fault(&error.to_string());
                    break;
                }
            }
        }
        Ok(())
    }

    fn count_errno(&self, errno: i32) {
        use rustix::io::Errno;
        self.papers.count(match Errno::from_raw_os_error(errno) {
            Errno::AGAIN => Count::Eagain,
            Errno::TIMEDOUT => Count::Etimedout,
            Errno::CONNREFUSED => Count::Econnrefused,
            Errno::SRCH => Count::Esrch,
            Errno::MFILE => Count::Emfile,
            Errno::TOOMANYREFS => Count::Etoomanyrefs,
            _ => Count::Other,
        });
    }
}

fn make_memfd(number: u64) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create("soak", MemfdFlags::CLOEXEC)?);
    file.write_all_at(&number.to_le_bytes(), 0)?;
    Ok(file.into())
}

fn pidfd_of(id: i32) -> Option<OwnedFd> {
    let id = Pid::from_raw(id)?;
    pidfd_open(id, PidfdFlags::empty()).or_else(|_| pidfd_open(id, PIDFD_THREAD)).ok()
}

fn length(dice: &mut Dice) -> u32 {
    if dice.chance(30) {
        0
    } else if dice.chance(45) {
        dice.small(257)
    } else {
        dice.small(u32::try_from(MAX_DATA).expect("a small number") + 1)
    }
}

fn patience(dice: &mut Dice) -> Option<Duration> {
    if dice.chance(40) {
        Some(Duration::ZERO)
    } else if dice.chance(60) {
        Some(Duration::from_millis(1))
    } else if dice.chance(96) {
        Some(Duration::from_millis(50))
    } else {
        None
    }
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}
