//! Whoever carries effects out.

use futures_channel::oneshot;

use super::effect::{Answer, Effect, Now};

/// A machine, as the engine sees it.
///
/// [`Driver::perform`] must return at once: what takes time goes on by itself, and answers when it is done. Effects may
/// be carried out in any order and at the same time; whoever needs an order waits for the answer.
pub trait Driver: Send + Sync {
    /// Begins to carry out `effect`; what comes of it goes to `reply`.
    fn perform(&self, effect: Effect, reply: Reply);

    /// What the clocks show.
    fn now(&self) -> Now;
}

/// Where the answer to an effect goes, once. Dropped without one, whoever waits for it waits for ever.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Answer>);

impl Reply {
    /// A reply, and where what it answers arrives; an error there is a reply that was dropped. For drivers that hand
    /// effects on to others.
    pub fn pair() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. Gives whether somebody still waited for it: a lock that came for nobody is to be given back.
    pub fn answer(self, answer: Answer) -> bool {
        self.0.send(answer).is_ok()
    }

    /// Whether nobody waits any more: what was not begun need not be, and a request can be let go of.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_canceled()
    }

    /// Waits until nobody waits for the answer any more.
    pub async fn abandoned(&mut self) {
        self.0.cancellation().await;
    }
}
