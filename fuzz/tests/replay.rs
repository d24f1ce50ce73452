//! The corpus once through each target, with any compiler.

use std::fs;
use std::path::Path;
use std::thread;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(corpus)
        .expect("a corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "only {} inputs", inputs.len());
    for path in inputs {
        println!("{}", path.display());
        run(&fs::read(&path).expect("an input"));
    }
}

#[test]
fn header() {
    replay("header", sendfd_fuzz::header);
}

/// One after the other, because they count the descriptors of the process; each in a thread that has no
/// other inbox's signals.
#[test]
fn what_counts_descriptors() {
    let message = thread::spawn(|| replay("message", sendfd_fuzz::message));
    message.join().expect("message");
    let announcement = thread::spawn(|| replay("announcement", sendfd_fuzz::announcement));
    announcement.join().expect("announcement");
    let answer = thread::spawn(|| replay("answer", sendfd_fuzz::answer));
    answer.join().expect("answer");
    if !sendfd_fuzz::can_be_a_guest() {
        return println!("skipped: welcome needs root, to be two users");
    }
    let welcome = thread::spawn(|| replay("welcome", sendfd_fuzz::welcome));
    welcome.join().expect("welcome");
}
