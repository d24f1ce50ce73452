//! Tests that need a process of their own.

use std::process::Command;

/// Runs the test of that path in another process, where this gives `true`. Here it has succeeded then.
pub(crate) fn is_alone(test: &str) -> bool {
    const ALONE: &str = "SENDFD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let tests = std::env::current_exe().expect("this program has a path");
    let ran = Command::new(tests).args([test, "--exact"]).env(ALONE, "").output();
    let output = ran.expect("this program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    // What exits in the midst of it has not failed either.
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// So many descriptors may be open in this process.
pub(crate) fn limit_descriptors(most: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a valid limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
}
