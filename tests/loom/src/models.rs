//! What has to hold whatever the threads do when.

use crate::cache::{Cache, Key, Who};
use crate::fate::{Fate, Verdict};
use crate::link::Link;
use crate::peer::{LIE, Socket, WELCOME, Whom};
use crate::sync::{Arc, Shared, model, thread};
use crate::welcome::{Standing, Welcome};
use crate::{fork, kernel, table};

/// Links that are kept.
const MOST: usize = 2;

const KEY: Key = Key::new(Who::Id(7), 50);

fn of_this_process() -> &'static Cache {
    Cache::of_this_process().expect("memory")
}

fn nothing_is_lost() {
    assert_eq!(table::registered(), kernel::open_now(), "what is open is not what is registered");
}

/// What a sender does: the link that is kept if it is alive, or a new one.
fn find(cache: &Cache, key: Key, last_use: u64) -> Shared<Link> {
    if let Some(kept) = cache.get(key) {
        if !kept.is_dead() {
            return kept;
        }
        cache.remove(key, &kept);
    }
    cache.drop_the_dead();
    cache.insert(
        key,
        Shared::new(Link::open(last_use).expect("a number is free")).expect("memory"),
        MOST,
    )
}

#[test]
fn a_fork_finds_the_table_exact() {
    model(|| {
        // Its handlers are registered by the first link.
        let old = Link::open(0).expect("a number is free");
        let changes = thread::spawn(move || {
            drop(old);
            drop(Link::open(1).expect("a number is free"));
        });
        let [before, in_parent, _] = kernel::handlers();
        before();
        // The kernel copies them in this order, and takes its time in between.
        let copied = kernel::open_now();
        thread::yield_now();
        let known = table::known();
        assert!(copied.iter().all(|fd| known.contains(fd)), "a child would keep one of {copied:?}");
        in_parent();
        changes.join().expect("a thread");
        nothing_is_lost();
        assert_eq!(kernel::open_now(), []);
        assert_eq!(fork::generation(), 0);
    });
}

#[test]
fn what_the_program_opens_is_left_alone() {
    model(|| {
        let old = Link::open(0).expect("a number is free");
        let closes = thread::spawn(move || {
            drop(old);
            kernel::open().expect("a number is free").0
        });
        let [before, in_parent, _] = kernel::handlers();
        before();
        // In the order in which the kernel copies them: what is closed in between is not behind the gate.
        let open = kernel::open_now();
        thread::yield_now();
        let closed = table::registered();
        in_parent();
        let of_the_program = closes.join().expect("a thread");
        assert!(closed.len() <= 1 && closed.iter().all(|fd| open.contains(fd)));
        assert_eq!(table::registered(), [], "a child would close {}", of_the_program.as_raw_fd());
    });
}

#[test]
fn two_threads_fork_and_one_opens_in_a_handler() {
    model(|| {
        drop(Link::open(0).expect("a number is free"));
        let [before, in_parent, _] = kernel::handlers();
        let forks = move || {
            before();
            nothing_is_lost();
            drop(Link::open(1).expect("a number is free"));
            nothing_is_lost();
            in_parent();
        };
        let other = thread::spawn(forks);
        forks();
        other.join().expect("a thread");
        assert_eq!(kernel::open_now(), []);
    });
}

#[test]
fn a_forked_child_begins_anew() {
    model(|| {
        let inherited = of_this_process();
        let link = find(inherited, KEY, 1);
        let [before, _, in_child] = kernel::handlers();
        before();
        kernel::wipe();
        in_child();
        assert_eq!((fork::generation(), kernel::open_now()), (1, vec![]));
        let threads = [1, 2].map(|last_use| {
            thread::spawn(move || {
                let cache = of_this_process();
                (std::ptr::from_ref(cache).addr(), find(cache, KEY, last_use))
            })
        });
        let [one, other] = threads.map(|thread| thread.join().expect("a thread"));
        assert_eq!(one.0, other.0, "one cache in one process");
        assert_ne!(one.0, std::ptr::from_ref(inherited).addr());
        assert!(Shared::ptr_eq(&one.1, &other.1), "one link to one recipient");
        assert_eq!(kernel::open_now().len(), 1);
        nothing_is_lost();
        // As the library does: what was inherited is left alone.
        std::mem::forget(link);
    });
}

#[test]
fn a_raw_clone_wakes_up_once() {
    model(|| {
        let inherited = [Link::open(0), Link::open(0)];
        kernel::wipe();
        let wakes = || {
            assert_eq!(fork::generation(), 1);
            assert_eq!(kernel::open_now(), [], "something inherited is open");
        };
        let other = thread::spawn(wakes);
        wakes();
        other.join().expect("a thread");
        nothing_is_lost();
        std::mem::forget(inherited);
    });
}

#[test]
fn what_a_raw_clone_opens_stays_open() {
    model(|| {
        let inherited = Link::open(0);
        kernel::wipe();
        let open = || Link::open(1).expect("a number is free");
        let other = thread::spawn(open);
        let mine = open();
        let others = other.join().expect("a thread");
        assert_eq!(kernel::open_now().len(), 2);
        nothing_is_lost();
        std::mem::forget(inherited);
        drop((mine, others));
        assert_eq!(kernel::open_now(), []);
    });
}

#[test]
fn two_senders_share_one_link() {
    model(|| {
        let send = || find(of_this_process(), KEY, 1);
        let other = thread::spawn(send);
        let (mine, others) = (send(), other.join().expect("a thread"));
        assert!(Shared::ptr_eq(&mine, &others));
        assert_eq!(kernel::open_now().len(), 1, "the second connection is closed");
        nothing_is_lost();
    });
}

#[test]
fn a_dead_link_is_replaced_once() {
    model(|| {
        let cache = of_this_process();
        let old = find(cache, KEY, 1);
        let send = || find(of_this_process(), KEY, 2);
        let threads = [thread::spawn(send), thread::spawn(send)];
        old.die();
        let found = threads.map(|thread| thread.join().expect("a thread"));
        let new: Vec<_> = found.iter().filter(|link| !Shared::ptr_eq(link, &old)).collect();
        assert!(
            new.iter().all(|link| !link.is_dead() && Shared::ptr_eq(link, new[0])),
            "two in use"
        );
        let kept = cache.get(KEY).expect("one is kept");
        assert!(new.iter().all(|link| Shared::ptr_eq(link, &kept)), "the new one was given up");
        drop((found, old, kept));
        assert_eq!(kernel::open_now().len(), 1);
        nothing_is_lost();
    });
}

#[test]
fn a_full_cache_gives_up_the_idlest() {
    model(|| {
        let key = |id| Key::new(Who::Id(id), 50);
        let cache = of_this_process();
        drop(find(cache, key(1), 1));
        let sends = |id: i32, last_use| move || find(of_this_process(), key(id), last_use);
        let other = thread::spawn(sends(2, 3));
        let mine = sends(3, 2)();
        let others = other.join().expect("a thread");
        assert!(cache.get(key(1)).is_none(), "idle longest");
        assert!(Shared::ptr_eq(&cache.get(key(2)).expect("kept"), &others));
        assert!(Shared::ptr_eq(&cache.get(key(3)).expect("kept"), &mine));
        drop((mine, others));
        assert_eq!(kernel::open_now().len(), 2);
        nothing_is_lost();
    });
}

/// A receiver that goes with something unread; senders that hear of it, and somebody who waits for the
/// verdict: it is the same for all, and nobody is told that everything was taken.
#[test]
fn a_loss_is_told_to_everybody() {
    model(|| {
        let outbox = Arc::new((Socket::default(), Fate::default()));
        let (socket, fate) = &*outbox;
        fate.of(|| socket.send()).expect("it is open");
        let receiver = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                outbox.0.hang_up();
                outbox.0.release();
            })
        };
        let sender = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                let _ = outbox.1.of(|| outbox.0.send());
            })
        };
        assert_ne!(fate.look(socket.fd(), || true), Ok(Verdict::Taken));
        receiver.join().expect("a thread");
        sender.join().expect("a thread");
        for _ in 0..2 {
            assert_eq!(fate.look(socket.fd(), || false), Ok(Verdict::Lost));
        }
    });
}

/// The receiver takes what there is and goes: that is never a loss.
#[test]
fn what_was_taken_is_not_lost() {
    model(|| {
        let outbox = Arc::new((Socket::default(), Fate::default()));
        let (socket, fate) = &*outbox;
        fate.of(|| socket.send()).expect("it is open");
        let receiver = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                outbox.0.consume();
                outbox.0.hang_up();
                outbox.0.release();
            })
        };
        assert_ne!(fate.look(socket.fd(), || true), Ok(Verdict::Lost));
        receiver.join().expect("a thread");
        assert_eq!(fate.of(|| socket.send()), Err(crate::Errno(kernel::EPIPE)));
        assert_eq!(fate.look(socket.fd(), || false), Ok(Verdict::Taken));
    });
}

/// Threads that send as a guest while the receiver lets it in and goes on talking: whoever is let in can
/// hear nothing more, and the welcome alone has been taken, once; also where it could not be made ready to send.
#[test]
fn a_guest_takes_its_welcome_once() {
    model(|| {
        let guest = Arc::new((Socket::default(), Welcome::of(Whom::Guests)));
        guest.0.run_short();
        let receiver = {
            let guest = Arc::clone(&guest);
            thread::spawn(move || {
                guest.0.say(WELCOME);
                guest.0.say(LIE);
            })
        };
        let looks = {
            let guest = Arc::clone(&guest);
            move || {
                let standing = guest.1.standing(guest.0.fd(), || true);
                let (taken, deaf) = guest.0.heard();
                match standing {
                    Ok(Standing::LetIn) => assert!(deaf && taken == [WELCOME]),
                    Ok(Standing::NotYet) | Err(_) => assert!(taken.len() <= 1),
                    Ok(Standing::TurnedAway) => panic!("it is welcome"),
                }
            }
        };
        let other = thread::spawn(looks.clone());
        looks();
        receiver.join().expect("a thread");
        other.join().expect("a thread");
        let _ = guest.1.standing(guest.0.fd(), || true);
        assert_eq!(guest.1.standing(guest.0.fd(), || true), Ok(Standing::LetIn));
        assert_eq!(guest.0.heard(), (vec![WELCOME], true));
    });
}

#[test]
fn a_lie_lets_nobody_in() {
    model(|| {
        let guest = Arc::new((Socket::default(), Welcome::of(Whom::Guests)));
        let receiver = {
            let guest = Arc::clone(&guest);
            thread::spawn(move || {
                guest.0.say(LIE);
                guest.0.say(WELCOME);
            })
        };
        let looks = {
            let guest = Arc::clone(&guest);
            move || {
                let standing = guest.1.standing(guest.0.fd(), || true);
                assert!(matches!(standing, Ok(Standing::NotYet | Standing::TurnedAway)));
            }
        };
        let other = thread::spawn(looks.clone());
        looks();
        receiver.join().expect("a thread");
        other.join().expect("a thread");
        assert_eq!(guest.1.standing(guest.0.fd(), || true), Ok(Standing::TurnedAway));
        assert_eq!(guest.0.heard(), (vec![], false));
    });
}
