//! The way from the FUSE thread to the card thread.
//!
//! Bounded where a caller can be told to come later, unbounded for what must not be lost (giving up an upload): of
//! those there is at most one for each open file.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A first-in-first-out queue with one consumer.
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    bound: usize,
}

struct Inner<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What [`Queue::pop`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// The next item.
    Item(T),
    /// Nothing came in time.
    Timeout,
    /// The queue was closed; nothing will come.
    Closed,
}

impl<T> Queue<T> {
    /// An empty queue of at most `bound` items.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        let inner = Inner { items: VecDeque::new(), closed: false };
        Queue { inner: Mutex::new(inner), filled: Condvar::new(), bound }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// The item, where the queue is full or closed.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.push_within(item, self.bound)
    }

    /// Appends an item whatever the bound.
    ///
    /// # Errors
    /// The item, where the queue is closed.
    pub fn push_always(&self, item: T) -> Result<(), T> {
        self.push_within(item, usize::MAX)
    }

    fn push_within(&self, item: T, bound: usize) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed || inner.items.len() >= bound {
            return Err(item);
        }
        inner.items.push_back(item);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the next item; waits for it up to `timeout`, or without limit.
    pub fn pop(&self, timeout: Option<Duration>) -> Popped<T> {
        let mut inner = self.lock();
        loop {
            if inner.closed {
                return Popped::Closed;
            }
            if let Some(item) = inner.items.pop_front() {
                return Popped::Item(item);
            }
            inner = match timeout {
                None => self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let (inner, waited) =
                        self.filled.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && inner.items.is_empty() && !inner.closed {
                        return Popped::Timeout;
                    }
                    inner
                }
            };
        }
    }

    /// Closes the queue and drops what is in it, replies included.
    pub fn close(&self) {
        let items = {
            let mut inner = self.lock();
            inner.closed = true;
            std::mem::take(&mut inner.items)
        };
        self.filled.notify_all();
        drop(items);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_the_bound_holds() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(3));
        assert_eq!(queue.push_always(4), Ok(()));
        let taken: Vec<_> = (0..4).map(|_| queue.pop(Some(Duration::ZERO))).collect();
        assert_eq!(taken, [Popped::Item(1), Popped::Item(2), Popped::Item(4), Popped::Timeout]);
    }

    #[test]
    fn closing_drops_what_waits_and_refuses_what_comes() {
        let queue = Queue::new(2);
        let token = std::sync::Arc::new(());
        queue.push(token.clone()).unwrap();
        queue.close();
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
        assert!(queue.push_always(token).is_err());
        assert_eq!(queue.pop(None), Popped::Closed);
    }

    #[test]
    fn a_waiting_consumer_wakes() {
        let queue = std::sync::Arc::new(Queue::new(1));
        let consumer = std::thread::spawn({
            let queue = queue.clone();
            move || queue.pop(None)
        });
        queue.push(9).unwrap();
        assert_eq!(consumer.join().unwrap(), Popped::Item(9));
    }
}
