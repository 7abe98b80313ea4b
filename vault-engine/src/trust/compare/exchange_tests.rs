//! Both sides of a run in one process, with a server that is honest, absent-minded or hostile between them.

use proptest::prelude::*;
use vault_proto::compare::Side;
use vault_proto::ids::{AccountId, OrganisationId};
use vault_proto::wire::ComparisonSide;

use super::*;

const ORGANISATION: OrganisationId = OrganisationId::from_bytes([9; 32]);

fn random(what: &str, round: u32) -> [u8; 32] {
    *Digest::of(format!("{what} {round}").as_bytes()).as_bytes()
}

fn nonce(what: &str, round: u32) -> ComparisonNonce {
    ComparisonNonce::from_bytes(random(what, round))
}

fn side(account: &str, key_list: &str) -> Side {
    Side {
        account: AccountId::from_bytes(random(account, 0)),
        key_list: Digest::from_bytes(random(key_list, 0)),
    }
}

fn seen(own: Side, other: Side) -> Comparison {
    Comparison::new(ORGANISATION, own, other).unwrap()
}

fn anna_and_ben() -> [Comparison; 2] {
    let (anna, ben) = (side("anna", "anna's keys"), side("ben", "ben's keys"));
    [seen(anna, ben), seen(ben, anna)]
}

/// A server that keeps the two sides as PROTOCOL.md says.
#[derive(Default)]
struct Honest {
    sides: [Option<ComparisonSide>; 2],
    earlier: usize,
}

impl Honest {
    fn state(&self, of: usize) -> Option<ComparisonState> {
        let other = self.sides[1 - of];
        self.sides[of].map(|own| ComparisonState { own, other, first: other.is_none() || self.earlier == of })
    }

    fn act(&mut self, of: usize, step: &Step) {
        match step {
            Step::Commit(commitment) => {
                self.earlier = if self.sides[1 - of].is_some() { 1 - of } else { of };
                self.sides[of] = Some(ComparisonSide { commitment: *commitment, nonce: None });
            }
            Step::Reveal(nonce) => self.sides[of].as_mut().unwrap().nonce = Some(*nonce),
            Step::Wait | Step::Show(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn whoever_comes_when_both_see_the_same_code(turns in proptest::collection::vec(0usize..2, 40)) {
        let [anna, ben] = anna_and_ben();
        let mut sides = [Exchange::new(anna, nonce("anna", 1)), Exchange::new(ben, nonce("ben", 1))];
        let mut server = Honest::default();
        let mut codes = [None, None];
        // The turns as they come, then enough of both to end.
        for of in turns.into_iter().chain([0, 1, 0, 1, 0, 1, 0, 1, 0, 1]) {
            let step = sides[of].next(server.state(of).as_ref()).unwrap();
            server.act(of, &step);
            if let Step::Show(code) = step {
                codes[of] = Some(code);
            }
        }
        let expected = anna.code(&nonce("anna", 1), &nonce("ben", 1));
        prop_assert_eq!(&codes[0], &Some(expected));
        prop_assert_eq!(&codes[0], &codes[1]);
    }

    /// Whatever a server shows, in whatever order: the nonce goes out only for a commitment that is held, once, and
    /// digits are shown only for the nonce that opens that very commitment.
    #[test]
    fn no_answers_lead_around_the_order(
        answers in proptest::collection::vec((any::<bool>(), any::<bool>(), 0usize..6, 0usize..6), 1..30),
    ) {
        let [anna, ben] = anna_and_ben();
        let own = nonce("anna", 1);
        let nonces = [nonce("ben", 1), nonce("ben", 2), nonce("mallory", 1), own];
        let commitments = [
            anna.other_commitment(&nonces[0]),
            anna.other_commitment(&nonces[1]),
            anna.other_commitment(&nonces[2]),
            anna.own_commitment(&own),
            ben.other_commitment(&nonces[0]),
        ];
        let mut exchange = Exchange::new(anna, own);
        let mut held: Option<Digest> = None;
        for (there, first, commitment, revealed) in answers {
            let other = commitments
                .get(commitment)
                .map(|commitment| ComparisonSide { commitment: *commitment, nonce: nonces.get(revealed).copied() });
            let own = ComparisonSide { commitment: anna.own_commitment(&own), nonce: None };
            let state = there.then_some(ComparisonState { own, other, first });
            match exchange.next(state.as_ref()) {
                Err(_) => break,
                Ok(Step::Commit(_)) => prop_assert!(held.is_none()),
                Ok(Step::Wait) => {}
                Ok(Step::Reveal(_)) => {
                    prop_assert!(held.is_none(), "a nonce went out twice");
                    held = Some(other.unwrap().commitment);
                }
                Ok(Step::Show(_)) => {
                    let other = other.unwrap();
                    prop_assert_eq!(Some(other.commitment), held);
                    prop_assert_eq!(anna.other_commitment(&other.nonce.unwrap()), other.commitment);
                }
            }
        }
    }
}

/// Runs one side against a man in the middle who plays the other with `nonce`: all he can do is commit, then reveal.
fn against(comparison: Comparison, own: ComparisonNonce, nonce: ComparisonNonce) -> String {
    let mut exchange = Exchange::new(comparison, own);
    let Step::Commit(commitment) = exchange.next(None).unwrap() else { panic!("no commitment") };
    let own_side = ComparisonSide { commitment, nonce: None };
    let committed = ComparisonSide { commitment: comparison.other_commitment(&nonce), nonce: None };
    let mut state = ComparisonState { own: own_side, other: Some(committed), first: true };
    assert_eq!(exchange.next(Some(&state)), Ok(Step::Reveal(own)));
    state.other = Some(ComparisonSide { nonce: Some(nonce), ..committed });
    match exchange.next(Some(&state)).unwrap() {
        Step::Show(code) => code,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_server_that_substitutes_keys_makes_the_codes_differ() {
    let (anna, ben) = (side("anna", "anna's keys"), side("ben", "ben's keys"));
    let (for_anna, for_ben) = (side("ben", "mallory's keys"), side("anna", "mallory's other keys"));
    for round in 0..300 {
        let (a, b) = (nonce("anna", round), nonce("ben", round));
        let m = nonce("mallory", round);
        // On both sides, on one, and with the real nonce of the other side passed on.
        assert_ne!(against(seen(anna, for_anna), a, m), against(seen(ben, for_ben), b, m));
        assert_ne!(against(seen(anna, for_anna), a, b), against(seen(ben, anna), b, a));
        assert_ne!(against(seen(anna, for_anna), a, b), against(seen(ben, for_ben), b, a));
        // Another account in the place of the one that was meant.
        let mallory = side("mallory", "mallory's keys");
        assert_ne!(against(seen(anna, mallory), a, m), against(seen(ben, mallory), b, m));
    }
}

#[test]
fn what_was_seen_of_an_old_run_leads_to_no_code_that_both_see() {
    let [anna, ben] = anna_and_ben();
    for round in 0..300 {
        // The server plays Anna's old values to Ben, and Ben's to Anna.
        let to_ben = against(ben, nonce("ben", round + 1), nonce("anna", round));
        let to_anna = against(anna, nonce("anna", round + 1), nonce("ben", round));
        assert_ne!(to_ben, to_anna);
        assert_ne!(to_ben, anna.code(&nonce("anna", round), &nonce("ben", round)));
    }
}

/// Anna has revealed against Ben's commitment; what is shown then decides.
fn revealed() -> (Exchange, ComparisonState) {
    let [anna, _] = anna_and_ben();
    let mut exchange = Exchange::new(anna, nonce("anna", 1));
    let own = ComparisonSide { commitment: anna.own_commitment(&nonce("anna", 1)), nonce: None };
    let other = ComparisonSide { commitment: anna.other_commitment(&nonce("ben", 1)), nonce: None };
    let state = ComparisonState { own, other: Some(other), first: true };
    assert_eq!(exchange.next(Some(&state)), Ok(Step::Reveal(nonce("anna", 1))));
    assert!(exchange.has_revealed());
    (exchange, state)
}

#[test]
fn a_commitment_replaced_after_the_nonce_is_out_is_refused() {
    let [anna, _] = anna_and_ben();
    let chosen = nonce("chosen once anna's nonce was known", 1);
    let replaced = ComparisonSide { commitment: anna.other_commitment(&chosen), nonce: Some(chosen) };
    let (mut exchange, state) = revealed();
    let shown = ComparisonState { other: Some(replaced), ..state.clone() };
    assert_eq!(exchange.next(Some(&shown)), Err(CompareProblem::Replaced));
    let (mut exchange, _) = revealed();
    let kept = ComparisonSide { nonce: Some(chosen), ..state.other.unwrap() };
    let shown = ComparisonState { other: Some(kept), ..state.clone() };
    assert_eq!(exchange.next(Some(&shown)), Err(CompareProblem::DoesNotOpen));
    // Taking everything back does not buy another try.
    for gone in [None, Some(ComparisonState { other: None, ..state })] {
        let (mut exchange, _) = revealed();
        assert_eq!(exchange.next(gone.as_ref()), Err(CompareProblem::BegunAgain));
    }
}

#[test]
fn until_the_nonce_is_out_the_other_may_begin_again() {
    let [anna, _] = anna_and_ben();
    let mut exchange = Exchange::new(anna, nonce("anna", 1));
    let own = ComparisonSide { commitment: anna.own_commitment(&nonce("anna", 1)), nonce: None };
    for round in 0..3 {
        let other = ComparisonSide { commitment: anna.other_commitment(&nonce("ben", round)), nonce: None };
        let state = ComparisonState { own, other: Some(other), first: false };
        assert_eq!(exchange.next(Some(&state)), Ok(Step::Wait), "the later side does not reveal first");
    }
    assert!(!exchange.has_revealed());
}

#[test]
fn own_values_handed_back_are_refused() {
    let [anna, ben] = anna_and_ben();
    let own_nonce = nonce("anna", 1);
    let own = ComparisonSide { commitment: anna.own_commitment(&own_nonce), nonce: None };
    let mut exchange = Exchange::new(anna, own_nonce);
    let state = ComparisonState { own, other: Some(own), first: true };
    assert_eq!(exchange.next(Some(&state)), Err(CompareProblem::Reflected));
    // The own nonce under a commitment made for the other side.
    let (mut exchange, state) = revealed();
    let other = ComparisonSide { nonce: Some(own_nonce), ..state.other.unwrap() };
    let state = ComparisonState { other: Some(other), ..state };
    assert_eq!(exchange.next(Some(&state)), Err(CompareProblem::Reflected));
    // What this account committed to towards the other side, in the other side's place.
    let towards =
        ComparisonSide { commitment: ben.other_commitment(&nonce("anna", 2)), nonce: Some(nonce("anna", 2)) };
    let mut exchange = Exchange::new(anna, own_nonce);
    let state = ComparisonState { own, other: Some(towards), first: true };
    assert_eq!(exchange.next(Some(&state)), Err(CompareProblem::DoesNotOpen));
    assert!(!exchange.has_revealed());
}

#[test]
fn another_run_of_the_own_account_ends_this_one() {
    let [anna, _] = anna_and_ben();
    let mut exchange = Exchange::new(anna, nonce("anna", 1));
    let own = ComparisonSide { commitment: anna.own_commitment(&nonce("anna", 2)), nonce: None };
    let state = ComparisonState { own, other: None, first: true };
    assert_eq!(exchange.next(Some(&state)), Err(CompareProblem::Elsewhere));
}
