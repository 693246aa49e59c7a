//! An answer that somebody waits for.
//!
//! A caller inside a FUSE request sleeps until it is answered and cannot be killed meanwhile, so no reply may be lost.
//! A [`Reply`] that is dropped (a panic, a queue closed at the end) answers by itself.

use crate::refusal::Refusal;
use std::fmt;

type Answering<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// The one answer to one request; may travel to another thread.
pub struct Reply<T>(Option<Answering<T>>);

impl<T> Reply<T> {
    /// A reply that hands its answer to `send`, once.
    pub fn new(send: impl FnOnce(Result<T, Refusal>) + Send + 'static) -> Self {
        Reply(Some(Box::new(send)))
    }

    /// Answers.
    pub fn answer(mut self, answer: Result<T, Refusal>) {
        if let Some(send) = self.0.take() {
            send(answer);
        }
    }

    /// Answers with success.
    pub fn ok(self, value: T) {
        self.answer(Ok(value));
    }

    /// Answers with a refusal.
    pub fn refuse(self, refusal: Refusal) {
        self.answer(Err(refusal));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(send) = self.0.take() {
            send(Err(Refusal::Ending));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Reply" } else { "Reply (answered)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_reply_answers_once() {
        let (tx, rx) = channel();
        Reply::new(move |answer| tx.send(answer).unwrap()).ok(7);
        assert_eq!(rx.iter().collect::<Vec<_>>(), [Ok(7)]);
    }

    #[test]
    fn a_lost_reply_answers_by_itself() {
        let (tx, rx) = channel();
        drop(Reply::<()>::new(move |answer| tx.send(answer).unwrap()));
        assert_eq!(rx.iter().collect::<Vec<_>>(), [Err(Refusal::Ending)]);
    }
}
