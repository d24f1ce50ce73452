//! A worker on tokio that is handed TCP connections by pid, and answers many of them at once.
//!
//! It never listens and knows nothing of who accepts; see `examples/c/acceptor.c` for one who does.
//!
//! Usage: `worker_tokio`

use sendfd_core::{Parcel, QuietInbox, Signal};
use std::time::Duration;
use std::{io, net, process};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time;

/// A silent client gets no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for a descriptor to become free.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let inbox = QuietInbox::open(Signal::DEFAULT)?;
    #[allow(deprecated, reason = "`register` asks for a promise that an inbox keeps by itself")]
    let inbox = AsyncFd::new(inbox)?;
    println!("worker {} is ready", process::id());
    loop {
        let parcel = next(&inbox).await?;
        tokio::spawn(time::timeout(PATIENCE, answer(parcel)));
    }
}

/// The next parcel. Whoever gives up waiting for it has taken nothing.
async fn next(inbox: &AsyncFd<QuietInbox>) -> io::Result<Parcel> {
    loop {
        let mut ready = inbox.readable().await?;
        match inbox.get_ref().recv(Some(Duration::ZERO)) {
            Ok(parcel) => return Ok(parcel),
            Err(error) => match (error.name(), error.parcel()) {
                ("EAGAIN", _) => ready.clear_ready(),
                // No connection, or one that a security module keeps from us: thrown away. That it is
                // gone already does no harm.
                ("EMFILE", Some(info)) if info.nfds > 1 => drop(inbox.get_ref().discard(info.id)),
                ("EACCES", Some(info)) => drop(inbox.get_ref().discard(info.id)),
                // It is kept; the clients that are answered now make room.
                ("EMFILE" | "ENFILE", _) => time::sleep(PAUSE).await,
                // One peer speaks another protocol version, and is shut out now.
                ("EPROTO", _) => {}
                _ => return Err(error.into()),
            },
        }
    }
}

/// Answers one request. What is no connection fails at the first read, and is closed.
async fn answer(parcel: Parcel) -> io::Result<()> {
    let Some(fd) = parcel.fds.into_iter().next() else { return Ok(()) };
    let connection = net::TcpStream::from(fd);
    // Common to all processes that have the connection.
    connection.set_nonblocking(true)?;
    let mut connection = TcpStream::from_std(connection)?;
    let (request, mut response) = connection.split();
    let mut request = BufReader::new(request.take(4096));
    let mut line = String::new();
    while request.read_line(&mut line).await? > "\r\n".len() {
        line.clear();
    }
    let text = format!("worker {} answered, accepted by {}\n", process::id(), parcel.info.pid);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    response.write_all((head + &text).as_bytes()).await
}
