//! The tokio worker is handed connections, and answers while another client is silent. What it cannot
//! take it throws away.

use sendfd_core::{Outgoing, Signal, Task, send};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

struct Worker(Child);

impl Worker {
    /// Cargo puts the examples of a package beside its tests.
    fn start() -> Worker {
        let tests = env::current_exe().expect("this program has a path");
        let target = tests.ancestors().nth(2).expect("the folder of the profile");
        let program: PathBuf = target.join("examples/worker_tokio");
        // The descriptors that it may have are fewer than those of the largest parcel.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\""])
            .arg(&program)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, format!("worker {} is ready\n", child.id()));
        Worker(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn task(&self) -> Task {
        Task::new(self.pid().try_into().unwrap()).unwrap()
    }

    /// Hands it one end of a connection; the other one comes back.
    fn connect(&self, listener: &TcpListener) -> TcpStream {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        send(self.task(), Signal::DEFAULT, accepted).unwrap();
        client
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(mut client: TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    let (head, text) = response.split_once("\r\n\r\n").expect(&response);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    text.to_owned()
}

#[test]
fn answers_while_another_client_is_silent() {
    let worker = Worker::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let expected =
        format!("worker {} answered, accepted by {}\n", worker.pid(), std::process::id());
    let silent = worker.connect(&listener);
    let clients: Vec<TcpStream> = (0..20).map(|_| worker.connect(&listener)).collect();
    for client in clients {
        assert_eq!(ask(client), expected);
    }
    // Each is found by a wake-up of its own, after it has slept.
    for _ in 0..20 {
        assert_eq!(ask(worker.connect(&listener)), expected);
    }
    assert_eq!(ask(silent), expected);
}

#[test]
fn throws_away_what_it_has_no_room_for() {
    let worker = Worker::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut end, sent) = std::io::pipe().unwrap();
    let many = [sent.as_fd(); 100];
    Outgoing::new(&many).send(worker.task(), Signal::DEFAULT).unwrap();
    drop(sent);
    ask(worker.connect(&listener));
    // Its end comes when nobody has it any more.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(end.read(&mut [0])));
    assert_eq!(receiver.recv_timeout(LIMIT).expect("it is released").unwrap(), 0);
}
