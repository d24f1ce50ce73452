//! The board and the sender's log, as `soak.h` lays them down; written with plain writes, which
//! outlive a SIGKILL as well as a mapping does.

use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const PAGE: u64 = 4096;
const SLOTS: u64 = 7;
const MAX_ROWS: u32 = 32768;
const ROW: u64 = 64;
const COUNTERS: usize = 17;
pub(crate) const ABOUT: i32 = 1;
pub(crate) const SENT: i32 = 2;

/// Places among the counters.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Eagain,
    Etimedout,
    Econnrefused,
    Esrch,
    Emfile,
    Etoomanyrefs,
    Other,
    Fork,
    Exec,
    Exit,
    FullTable = 12,
    Links = 16,
}

/// Whom the board names.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) inbox: u32,
    pub(crate) id: i32,
    pub(crate) signo: i32,
}

/// One line of the log.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) len: u32,
    pub(crate) inbox: u32,
    pub(crate) state: i32,
    pub(crate) thread: u32,
    pub(crate) by_pidfd: bool,
    pub(crate) t0: u64,
    pub(crate) t1: u64,
}

pub(crate) struct Papers {
    pub(crate) number: u32,
    place: PathBuf,
    board: File,
    log: File,
    faults: File,
    rows: Mutex<u32>,
    next: AtomicU32,
    counters: [AtomicU64; COUNTERS],
}

impl Papers {
    pub(crate) fn open(place: &Path, base: u32, kind: u32) -> io::Result<Papers> {
        let faults = File::options().create(true).append(true).open(place.join("faults"))?;
        let board = File::options().read(true).open(place.join("board"))?;
        let mut number = base;
        let log = loop {
            number += 1;
            let path = place.join(format!("sender-{number}"));
            match File::options().read(true).write(true).create_new(true).mode(0o600).open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                log => break log?,
            }
        };
        log.set_len(PAGE + u64::from(MAX_ROWS) * ROW)?;
        log.write_all_at(&std::process::id().to_le_bytes(), 0)?;
        log.write_all_at(&kind.to_le_bytes(), 4)?;
        log.write_all_at(&now().to_le_bytes(), 16)?;
        let counters = [const { AtomicU64::new(0) }; COUNTERS];
        let (rows, next) = (Mutex::new(0), AtomicU32::new(0));
        Ok(Papers { number, place: place.to_owned(), board, log, faults, rows, next, counters })
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    pub(crate) fn phase(&self) -> io::Result<u32> {
        word(&self.board, 0)
    }

    /// Who stands in the slot that `any` falls on.
    pub(crate) fn address(&self, any: u64) -> io::Result<Option<Address>> {
        let index = word(&self.board, 16 + 4 * (any % SLOTS))?;
        let Some(inbox) = index.checked_sub(1) else { return Ok(None) };
        let at = PAGE + 128 * u64::from(inbox);
        let id = word(&self.board, at + 8)?.cast_signed();
        let signo = word(&self.board, at + 12)?.cast_signed();
        Ok(Some(Address { inbox, id, signo }))
    }

    /// The first of `count` numbers that nobody else has.
    pub(crate) fn numbers(&self, count: u32) -> u64 {
        let sequence = self.next.fetch_add(count, Ordering::Relaxed);
        u64::from(self.number) << 32 | u64::from(sequence)
    }

    pub(crate) fn is_full(&self) -> bool {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) >= MAX_ROWS / 2
    }

    pub(crate) fn new_row(&self) -> io::Result<u32> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        *rows += 1;
        self.log.write_all_at(&rows.to_le_bytes(), 8)?;
        self.write_counters()?;
        Ok(*rows - 1)
    }

    pub(crate) fn write(&self, at: u32, row: &Row) -> io::Result<()> {
        let mut bytes = [0; 48];
        bytes[0..8].copy_from_slice(&row.first.to_le_bytes());
        bytes[8..12].copy_from_slice(&row.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&row.len.to_le_bytes());
        bytes[16..20].copy_from_slice(&row.inbox.to_le_bytes());
        bytes[20..24].copy_from_slice(&row.state.to_le_bytes());
        bytes[24..28].copy_from_slice(&row.thread.to_le_bytes());
        bytes[28..32].copy_from_slice(&u32::from(row.by_pidfd).to_le_bytes());
        bytes[32..40].copy_from_slice(&row.t0.to_le_bytes());
        bytes[40..48].copy_from_slice(&row.t1.to_le_bytes());
        self.log.write_all_at(&bytes, PAGE + u64::from(at) * ROW)
    }

    pub(crate) fn count(&self, what: Count) {
        self.counters[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, links: u64) -> io::Result<()> {
        self.counters[Count::Links as usize].store(links, Ordering::Relaxed);
        self.write_counters()?;
        self.log.write_all_at(&1_u32.to_le_bytes(), 24)
    }

    pub(crate) fn write_counters(&self) -> io::Result<()> {
        let mut bytes = [0; 8 * COUNTERS];
        for (place, counter) in bytes.chunks_exact_mut(8).zip(&self.counters) {
            place.copy_from_slice(&counter.load(Ordering::Relaxed).to_le_bytes());
        }
        self.log.write_all_at(&bytes, 32)
    }

    /// A violation: a line for the driver, which fails.
    pub(crate) fn fault(&self, what: &str) {
        let line = format!("{} pid {}: {what}\n", self.number, std::process::id());
        (&self.faults).write_all(line.as_bytes()).expect("the place for faults");
    }
}

fn word(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    let at = clock_gettime(ClockId::Monotonic);
    at.tv_sec.cast_unsigned() * 1_000_000_000 + at.tv_nsec.cast_unsigned()
}
