//! loom's types in place of std's, or std's.

pub(crate) use std::sync::{Arc, PoisonError};

#[cfg(loom)]
pub(crate) use loom::{
    lazy_static,
    sync::{Mutex, MutexGuard, RwLock, atomic},
    thread::{self, yield_now},
    thread_local,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, RwLock, atomic},
    thread::{self, yield_now},
    thread_local,
};

#[cfg(not(loom))]
macro_rules! lazy_static {
    (static ref $name:ident: $type:ty = $value:expr;) => {
        static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $value);
    };
}
#[cfg(not(loom))]
pub(crate) use lazy_static;

/// The core's own, whose allocation can fail.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> crate::Result<Shared<T>> {
        Ok(Shared(Arc::new(value)))
    }

    pub(crate) fn ptr_eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(Arc::clone(&self.0))
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) fn boxed<T>(value: T) -> crate::Result<Box<T>> {
    Ok(Box::new(value))
}

/// Runs a model: in all orders, or once. LOOM_MAX_PREEMPTIONS bounds how often a thread is interrupted
/// in one order.
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 10_000;
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&runs);
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            run();
        });
        println!("{} orders", runs.load(std::sync::atomic::Ordering::Relaxed));
    }
    #[cfg(not(loom))]
    run();
}
