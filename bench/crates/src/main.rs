//! The core beside the crates `sendfd` and `passfd`, which pass descriptors over a socket that both sides have.
//! Prints JSON lines, as `build/bench` does.

#![forbid(unsafe_code)]

use nix::unistd::close;
use passfd::FdPassingExt;
use sendfd::{RecvWithFd, SendWithFd};
use sendfd_core::{QuietInbox, Signal, Task, send};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PARCELS: u32 = 200;

/// Its name, and what hands a descriptor over, takes it and closes it.
type Contender<'a> = (&'a str, Box<dyn FnMut() + 'a>);

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200);
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let signal = Signal::DEFAULT;
    let inbox = QuietInbox::open(signal).expect("an inbox");
    let (here, there) = UnixStream::pair().expect("two sockets");
    let mut contenders: [Contender<'_>; 3] = [
        (
            "sendfd-core",
            Box::new(|| {
                send(Task::this_process(), signal, file.as_fd()).expect("sends");
                drop(inbox.recv_one(Some(Duration::ZERO)).expect("is there"));
            }),
        ),
        (
            "crate sendfd",
            Box::new(|| {
                let (mut bytes, mut fds) = ([0; 1], [-1; 1]);
                here.send_with_fd(b"x", &[file.as_raw_fd()]).expect("sends");
                there.recv_with_fd(&mut bytes, &mut fds).expect("is there");
                close(fds[0]).expect("is open");
            }),
        ),
        (
            "crate passfd",
            Box::new(|| {
                here.send_fd(file.as_raw_fd()).expect("sends");
                close(there.recv_fd().expect("is there")).expect("is open");
            }),
        ),
    ];
    let mut times = vec![[0.0; 3]; rounds];
    for round in 0..rounds + rounds / 10 {
        for (index, (_, once)) in contenders.iter_mut().enumerate() {
            let start = Instant::now();
            (0..PARCELS).for_each(|_| once());
            if let Some(times) = round.checked_sub(rounds / 10).map(|round| &mut times[round]) {
                times[index] = start.elapsed().as_secs_f64() * 1e9 / f64::from(PARCELS);
            }
        }
    }
    for (index, (name, _)) in contenders.iter().enumerate() {
        let ratios: Vec<String> = (0..3)
            .map(|to| {
                let [low, middle, high] = quartiles(times.iter().map(|t| t[index] / t[to]));
                format!("\"{}\": [{low:.4}, {middle:.4}, {high:.4}]", contenders[to].0)
            })
            .collect();
        let ns = quartiles(times.iter().map(|t| t[index]))[1];
        let ratios = ratios.join(", ");
        println!(
            "{{\"group\": \"crates\", \"parameter\": \"\", \"name\": \"{name}\", \"ns\": {ns:.1}, \"to\": {{{ratios}}}}}"
        );
    }
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    [last / 4, last / 2, last * 3 / 4].map(|index| values[index])
}
