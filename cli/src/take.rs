//! `sendfd take`.

use crate::address_file::AddressFile;
use crate::args::Take;
use crate::become_command::Prepared;
use crate::describe::{self, Description};
use crate::failure::{self, Result};
use crate::signals::EndSignal;
use crate::{give, output};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::isatty;
use sendfd_core::{Mailbox, Parcel, Signal};
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

pub fn run(args: &Take) -> Result<()> {
    // What cannot be used is not asked for.
    let prepared = Prepared::new(&args.become_)?;
    let failed = failure::of("this process".to_owned(), args.common.signo);
    let signal = Signal::new(args.common.signo).map_err(&failed)?;
    let inbox = Mailbox::open(signal, args.allow.options()).map_err(&failed)?;
    let address = inbox.address().map_err(&failed)?;
    let ended = EndSignal::watch()?;
    let told =
        args.address_file.as_deref().map(|path| AddressFile::write(path, address)).transpose()?;
    if isatty(std::io::stderr()) {
        let number = if signal == Signal::DEFAULT {
            String::new()
        } else {
            format!(" --signo {}", signal.number())
        };
        let hint = format!(
            "waiting; in another terminal: sendfd give{number} {} file:/etc/hostname\n",
            std::process::id()
        );
        let _ = std::io::stderr().write_all(hint.as_bytes());
    }
    let came = wait(&inbox, &ended, args.timeout);
    told.into_iter().for_each(AddressFile::remove);
    drop(inbox);
    let Some(came) = came else {
        ended.end_by_it();
        return Ok(());
    };
    let parcel = came.map_err(&failed)?;
    match prepared {
        None => tell(&parcel, args.common.json),
        Some(prepared) => {
            let names = names(&parcel.data, parcel.fds.len());
            let described = describe::all(&parcel.fds);
            let whence = format!("from process {} of user {}", parcel.info.pid, parcel.info.uid);
            Err(give::lost(prepared.become_it(parcel.fds, &names), &described, &whence))
        }
    }
}

/// The first parcel, or why there is none; nothing if this is told to end.
fn wait(
    inbox: &Mailbox,
    ended: &EndSignal,
    timeout: Option<Duration>,
) -> Option<sendfd_core::Result<Parcel>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(give::left);
        let mut sources = [PollFd::new(inbox, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        // What fails shows below.
        let _ = poll(&mut sources, left.and_then(|left| left.try_into().ok()).as_ref());
        if !sources[1].revents().is_empty() {
            return None;
        }
        match inbox.recv(Some(Duration::ZERO)) {
            Err(error)
                if matches!(error.name(), "EAGAIN" | "EINTR")
                    && left.is_none_or(|left| !left.is_zero()) => {}
            came => return Some(came),
        }
    }
}

/// What the data says that the descriptors are called.
fn names(data: &[u8], count: usize) -> Vec<String> {
    let said = std::str::from_utf8(data).unwrap_or_default().trim_end();
    let names: Vec<String> = said.split(':').map(str::to_owned).collect();
    let good =
        |name: &String| !name.is_empty() && name.len() <= 255 && !name.contains(char::is_control);
    if names.len() == count && names.iter().all(good) {
        names
    } else {
        vec!["unknown".to_owned(); count]
    }
}

fn tell(parcel: &Parcel, as_json: bool) -> Result<()> {
    let described = describe::all(&parcel.fds);
    let data = String::from_utf8_lossy(&parcel.data);
    let info = &parcel.info;
    if as_json {
        return output::json(&json!({
            "pid": info.pid,
            "uid": info.uid,
            "gid": info.gid,
            "signo": info.signo,
            "fds": described.iter().map(Description::json).collect::<Vec<_>>(),
            "data": data,
            "wants_reply": parcel.reply.is_some(),
        }));
    }
    let count = match described.len() {
        1 => "1 descriptor".to_owned(),
        count => format!("{count} descriptors"),
    };
    output::line(&format!("{count} from process {} of user {}", info.pid, info.uid))?;
    for description in &described {
        output::line(&format!("  {}", description.text()))?;
    }
    if !data.is_empty() {
        output::line(&format!("  data: {}", output::clean(data.trim_end())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_come_from_the_data_if_there_is_one_for_each() {
        assert_eq!(names(b"http:admin\n", 2), ["http", "admin"]);
        assert_eq!(names(b"http", 2), ["unknown", "unknown"]);
        assert_eq!(names(b"", 1), ["unknown"]);
        assert_eq!(names(b"a\nb", 1), ["unknown"]);
        assert_eq!(names(b"\xff", 1), ["unknown"]);
    }
}
