//! Turns for what connections do: each time that one goes on, it has one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::lines::{Lines, Who};
use super::processors;

/// Turns for futures.
#[derive(Debug)]
pub(crate) struct FutureTurns(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: Lines<oneshot::Sender<FutureTurn>>,
}

/// A turn, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct FutureTurn(Arc<FutureTurns>);

impl FutureTurns {
    /// As many as there are processors.
    pub(crate) fn new() -> Arc<Self> {
        Self::with(processors())
    }

    fn with(turns: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: turns, waiting: Lines::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, or where it comes when it is one's own.
    fn take(self: &Arc<Self>, who: Who) -> Result<FutureTurn, oneshot::Receiver<FutureTurn>> {
        let mut state = self.state();
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return Ok(FutureTurn(Arc::clone(self)));
        }
        let (ready, turn) = oneshot::channel();
        state.waiting.push(who, ready);
        Err(turn)
    }

    /// Returns when it is the turn of `who`, and gives that to the next.
    pub(crate) async fn pass(self: &Arc<Self>, who: Who) {
        if let Err(turn) = self.take(who) {
            // Turns that are no more limit nobody.
            drop(turn.await);
        }
    }
}

impl Drop for FutureTurn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        while let Some(ready) = state.waiting.pop() {
            // Whoever went away meanwhile is passed over.
            if ready.is_closed() {
                continue;
            }
            let turn = Self(Arc::clone(&self.0));
            drop(state);
            // Without the lock: the turn of one who goes away this very moment is given back at once.
            drop(ready.send(turn));
            return;
        }
        state.free = state.free.saturating_add(1);
    }
}

/// A future that has a turn whenever it goes on.
pub(crate) struct InTurns<F, W> {
    turns: Arc<FutureTurns>,
    who: W,
    waiting: Option<oneshot::Receiver<FutureTurn>>,
    future: Pin<Box<F>>,
}

impl<F: Future, W: Fn() -> Who + Unpin> InTurns<F, W> {
    /// `future`, which goes on on account of whom `who` says then.
    pub(crate) fn new(turns: Arc<FutureTurns>, who: W, future: F) -> Self {
        Self { turns, who, waiting: None, future: Box::pin(future) }
    }
}

impl<F: Future, W: Fn() -> Who + Unpin> Future for InTurns<F, W> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let taken = match self.waiting.take() {
            Some(waiting) => Err(waiting),
            None => self.turns.take((self.who)()),
        };
        let _turn = match taken {
            Ok(turn) => Some(turn),
            Err(mut waiting) => match Pin::new(&mut waiting).poll(context) {
                // Turns that are no more limit nobody.
                Poll::Ready(turn) => turn.ok(),
                Poll::Pending => {
                    self.waiting = Some(waiting);
                    return Poll::Pending;
                }
            },
        };
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use vault_proto::ids::AccountId;

    use super::*;

    fn account(seed: u8) -> Who {
        Who::Account(AccountId::from_bytes([seed; 32]))
    }

    #[tokio::test]
    async fn a_future_has_a_turn_whenever_it_goes_on_and_none_while_it_waits() {
        let turns = FutureTurns::with(1);
        let (go_on, goes_on) = oneshot::channel::<()>();
        let seen = Arc::clone(&turns);
        let mut future = InTurns::new(Arc::clone(&turns), || account(1), async move {
            let before = seen.state().free;
            let _ = goes_on.await;
            (before, seen.state().free)
        });
        assert!(poll!(&mut future).is_pending());
        let other = turns.take(account(2)).unwrap();
        go_on.send(()).unwrap();
        assert!(poll!(&mut future).is_pending(), "the only turn is taken");
        drop(other);
        assert_eq!(future.await, (0, 0));
        assert_eq!(turns.state().free, 1);
    }

    /// Fifty futures of one account and one of another, all of which can go on: the other's goes on second.
    #[tokio::test]
    async fn whoever_has_many_futures_delays_others_by_one_turn() {
        let turns = FutureTurns::with(1);
        let taken = turns.take(account(0)).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut futures: Vec<_> = (0..=50)
            .map(|number| {
                let (order, who) = (Arc::clone(&order), account(if number < 50 { 1 } else { 2 }));
                let future = async move { order.lock().unwrap().push(number) };
                tokio::spawn(InTurns::new(Arc::clone(&turns), move || who, future))
            })
            .collect();
        tokio::task::yield_now().await;
        drop(taken);
        for future in futures.drain(..) {
            future.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(order[..3], [0, 50, 1]);
        assert!(turns.state().free == 1 && turns.state().waiting.is_untouched());
    }

    #[tokio::test]
    async fn who_goes_away_is_passed_over() {
        let turns = FutureTurns::with(1);
        let taken = turns.take(account(1)).unwrap();
        let (gone, stays) = (turns.take(account(1)).unwrap_err(), turns.take(account(2)).unwrap_err());
        drop((gone, taken));
        drop(stays.await.unwrap());
        assert_eq!(turns.state().free, 1);
    }
}
