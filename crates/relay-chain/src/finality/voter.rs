//! The surroundings of `finality-grandpa`'s voter: chain, timers, votes in and out. All of it returns at once; what
//! takes time (signing, disk, network) is told to the finality loop as an [`Event`].

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use deterministic::BoxFuture;
use finality_grandpa::{
    Chain as GrandpaChain, Commit, Equivocation, HistoricalVotes, Precommit, Prevote, PrimaryPropose,
    round::State as RoundState,
    voter::{CommunicationIn, CommunicationOut, Environment, RoundData, Voter},
};
use futures::{
    FutureExt, Sink,
    channel::mpsc::{self, UnboundedReceiver, UnboundedSender},
    future::Ready,
};
use primitives::{BlockNumber, Hash, Signature, ValidatorId};

use crate::{
    chain::{Chain, lock},
    justification::{BlockCommit, SignedVoteMessage, Vote, VoteMessage, Voters},
    storage::CompletedRound,
    votes::{Offered, Votes},
};

/// Votes are waited for in units of this share, one over it, of a slot: two units before the first vote of a round, four
/// before the second.
pub const GOSSIP_SHARE_OF_SLOT: u64 = 8;

/// What may become final, beside what the chain's own state forbids: say what is not approved, or whose data is not held.
///
/// It is asked often, for one block after the other from the finalized one up; it answers at once, from what is known.
pub trait VotingRule: Send + Sync {
    /// Whether a vote may be cast for a block, all of whose ancestors may have it.
    fn may_vote(&self, hash: &Hash, number: BlockNumber) -> bool;
}

/// Why the voter ended; it is then started anew from the finalized block.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VoterError {
    #[error(transparent)]
    Grandpa(#[from] finality_grandpa::Error),
}

/// What the voter wants done.
pub(crate) enum Event {
    /// Sign this, keep it and send it to everybody.
    Vote { round: u64, message: VoteMessage },
    /// A round has all it needs.
    Completed(CompletedRound),
    /// A block is final.
    Finalize { round: u64, commit: BlockCommit },
    /// Tell everybody that a block is final.
    Commit { round: u64, commit: BlockCommit },
}

pub(crate) type GlobalIn = CommunicationIn<Hash, BlockNumber, Signature, ValidatorId>;
type Input = Result<SignedVoteMessage, VoterError>;

/// The votes at hand, and where they go.
pub(crate) struct Rounds {
    pub(crate) votes: Votes,
    inputs: BTreeMap<u64, UnboundedSender<Input>>,
}

impl Rounds {
    fn new(set_id: u64, round: u64) -> Self {
        Self { votes: Votes::new(set_id, round), inputs: BTreeMap::new() }
    }

    /// Opens a round's input, with all that is held of it. The input holds no more than [`Votes`] does.
    fn open(&mut self, chain: &Chain, round: u64) -> UnboundedReceiver<Input> {
        let (sender, receiver) = mpsc::unbounded();
        self.inputs.insert(round, sender);
        self.votes.begin(round);
        self.deliver(chain);
        receiver
    }

    /// Gives the voter what it may see by now.
    pub(crate) fn deliver(&mut self, chain: &Chain) {
        let tree = chain.tree();
        let ready =
            self.votes.deliverable(|hash, number| tree.get(hash).is_some_and(|entry| entry.header.number == number));
        drop(tree);
        self.inputs.retain(|_, input| !input.is_closed());
        for (round, vote) in ready {
            if let Some(input) = self.inputs.get(&round) {
                // The voter may just have dropped the round.
                let _round_over = input.unbounded_send(Ok(vote));
            }
        }
    }

    pub(crate) fn hold(&mut self, chain: &Chain, vote: Vote, voters: &Voters) -> Offered {
        let offered = self.votes.hold(vote, voters);
        if offered == Offered::New {
            self.deliver(chain);
        }
        offered
    }
}

/// What a voter starts from.
pub(crate) struct Start {
    pub(crate) voters: Voters,
    pub(crate) set_id: u64,
    /// Our key, if it votes in this set.
    pub(crate) id: Option<ValidatorId>,
    pub(crate) finalized: (Hash, BlockNumber),
    /// The last completed round, 0 before the first.
    pub(crate) last_round: u64,
    pub(crate) last_base: (Hash, BlockNumber),
    pub(crate) last_votes: Vec<SignedVoteMessage>,
    /// What binds us after that round if those of its votes whose blocks are here do not complete it any more; `None` if
    /// that is not here either.
    pub(crate) bound: Option<(Hash, BlockNumber)>,
}

/// A running voter.
pub(crate) struct Running {
    pub(crate) future: BoxFuture<Result<(), VoterError>>,
    pub(crate) rounds: Arc<Mutex<Rounds>>,
    pub(crate) global_in: UnboundedSender<Result<GlobalIn, VoterError>>,
    pub(crate) events: UnboundedReceiver<Event>,
}

/// Starts a voter. Votes for blocks that are not here are left out: without them the last round is what somebody saw to
/// whom they had not come. A block that has died is at no peer any more, and one vote for it, which a single validator
/// can cast, must not keep everybody from voting who starts after that.
///
/// If the others do not complete the round, the voter starts from what binds it by that round. If nobody knows what that
/// is, it only watches in the first round.
pub(crate) fn start(chain: &Arc<Chain>, mut start: Start) -> Running {
    let (running, completes) = build(chain, &start, None);
    if completes {
        return running;
    }
    start.last_votes = Vec::new();
    let silent_round = start.bound.is_none().then_some(start.last_round + 1);
    start.last_base = start.bound.unwrap_or(start.finalized);
    tracing::info!(round = start.last_round, bound = ?start.bound, "votes for blocks that are not here are needed");
    build(chain, &start, silent_round).0
}

/// A voter, and whether it knows what it needs of the last round.
fn build(chain: &Arc<Chain>, start: &Start, silent_round: Option<u64>) -> (Running, bool) {
    let (events_in, events) = mpsc::unbounded();
    let (global_in, global_receiver) = mpsc::unbounded();
    let rounds = Arc::new(Mutex::new(Rounds::new(start.set_id, start.last_round)));
    let environment = Arc::new(Surroundings {
        unit: Duration::from_millis((chain.settings.slot_ms / GOSSIP_SHARE_OF_SLOT).max(1)),
        chain: chain.clone(),
        set_id: start.set_id,
        id: start.id,
        silent_round,
        rounds: rounds.clone(),
        events: events_in.clone(),
    });
    let voter = Voter::new(
        environment,
        start.voters.clone(),
        (global_receiver, Outgoing { wrap: Box::new(commit_event), events: events_in }),
        start.last_round,
        start.last_votes.clone(),
        start.last_base,
        start.finalized,
    );
    let completes =
        start.last_round == 0 || voter.voter_state().get().background_rounds.contains_key(&start.last_round);
    (Running { future: Box::pin(voter), rounds, global_in, events }, completes)
}

fn commit_event(out: CommunicationOut<Hash, BlockNumber, Signature, ValidatorId>) -> Event {
    let CommunicationOut::Commit(round, commit) = out;
    Event::Commit { round, commit }
}

struct Surroundings {
    chain: Arc<Chain>,
    set_id: u64,
    id: Option<ValidatorId>,
    /// In this round we only watch, because what binds our vote in it is not known any more.
    silent_round: Option<u64>,
    unit: Duration,
    rounds: Arc<Mutex<Rounds>>,
    events: UnboundedSender<Event>,
}

impl Surroundings {
    fn timer(&self, duration: Duration) -> BoxFuture<Result<(), VoterError>> {
        Box::pin(self.chain.environment.clock.sleep(duration).map(Ok))
    }

    fn tell(&self, event: Event) {
        // The loop that listens drops the voter when it ends.
        let _loop_ended = self.events.unbounded_send(event);
    }

    /// The highest block above `base` on the best chain that may be voted for: not beyond the block that changes the
    /// voters, because what follows it is for the next set to finalize; below the first block that the state of the head
    /// holds to be disputed; and as far as the voting rule goes. `base` itself if there is none.
    fn target(&self, base: &Hash) -> Option<(Hash, BlockNumber)> {
        let tree = self.chain.tree();
        let base_number = tree.get(base)?.header.number;
        let mut target = (*base, base_number);
        let Some(head) = tree.best_containing(base) else { return Some(target) };
        let finalized = tree.finalized().1.header.number;
        let disputed = tree.get(&head)?.data.state.first_disputed_block_above(finalized);
        let mut path = tree.ancestry(base, &head).unwrap_or_default();
        path.reverse();
        path.extend((head != *base).then_some(head));
        let mut set_id = tree.get(base)?.data.set_id;
        for hash in path {
            let entry = tree.get(&hash)?;
            let number = entry.header.number;
            let is_allowed = || self.chain.voting_rule.get().is_none_or(|rule| rule.may_vote(&hash, number));
            if set_id != self.set_id || disputed.is_some_and(|disputed| number >= disputed) || !is_allowed() {
                break;
            }
            target = (hash, number);
            set_id = entry.data.set_id;
        }
        Some(target)
    }
}

impl GrandpaChain<Hash, BlockNumber> for Surroundings {
    fn ancestry(&self, base: Hash, block: Hash) -> Result<Vec<Hash>, finality_grandpa::Error> {
        self.chain.tree().ancestry(&base, &block).ok_or(finality_grandpa::Error::NotDescendent)
    }
}

type Seen = HistoricalVotes<Hash, BlockNumber, Signature, ValidatorId>;

impl Environment<Hash, BlockNumber> for Surroundings {
    type Timer = BoxFuture<Result<(), VoterError>>;
    type BestChain = Ready<Result<Option<(Hash, BlockNumber)>, VoterError>>;
    type Id = ValidatorId;
    type Signature = Signature;
    type In = UnboundedReceiver<Input>;
    type Out = Outgoing<VoteMessage>;
    type Error = VoterError;

    fn best_chain_containing(&self, base: Hash) -> Self::BestChain {
        futures::future::ready(Ok(self.target(&base)))
    }

    fn round_data(&self, round: u64) -> RoundData<Self::Id, Self::Timer, Self::In, Self::Out> {
        let votes = self.silent_round != Some(round);
        RoundData {
            voter_id: self.id.filter(|_| votes),
            prevote_timer: self.timer(self.unit * 2),
            precommit_timer: self.timer(self.unit * 4),
            incoming: lock(&self.rounds).open(&self.chain, round),
            outgoing: Outgoing {
                wrap: Box::new(move |message| Event::Vote { round, message }),
                events: self.events.clone(),
            },
        }
    }

    /// Up to one unit, drawn: who comes first spares the others their commit.
    fn round_commit_timer(&self) -> Self::Timer {
        let most = u64::try_from(self.unit.as_millis()).unwrap_or(u64::MAX);
        let delay = deterministic::entropy::below(&*self.chain.environment.entropy, most.saturating_add(1));
        self.timer(Duration::from_millis(delay))
    }

    fn proposed(&self, _round: u64, _propose: PrimaryPropose<Hash, BlockNumber>) -> Result<(), VoterError> {
        Ok(())
    }

    fn prevoted(&self, _round: u64, _prevote: Prevote<Hash, BlockNumber>) -> Result<(), VoterError> {
        Ok(())
    }

    fn precommitted(&self, _round: u64, _precommit: Precommit<Hash, BlockNumber>) -> Result<(), VoterError> {
        Ok(())
    }

    fn completed(
        &self,
        round: u64,
        state: RoundState<Hash, BlockNumber>,
        base: (Hash, BlockNumber),
        votes: &Seen,
    ) -> Result<(), VoterError> {
        let votes = votes.seen().to_vec();
        // A complete round has an estimate.
        let estimate = state.estimate.unwrap_or(base);
        self.tell(Event::Completed(CompletedRound { set_id: self.set_id, round, base, estimate, votes }));
        Ok(())
    }

    fn concluded(
        &self,
        _round: u64,
        _state: RoundState<Hash, BlockNumber>,
        _base: (Hash, BlockNumber),
        _votes: &Seen,
    ) -> Result<(), VoterError> {
        Ok(())
    }

    fn finalize_block(
        &self,
        _hash: Hash,
        _number: BlockNumber,
        round: u64,
        commit: Commit<Hash, BlockNumber, Signature, ValidatorId>,
    ) -> Result<(), VoterError> {
        self.tell(Event::Finalize { round, commit });
        Ok(())
    }

    /// It was noted when the second vote came in, whether or not this voter sees it.
    fn prevote_equivocation(
        &self,
        _round: u64,
        _equivocation: Equivocation<ValidatorId, Prevote<Hash, BlockNumber>, Signature>,
    ) {
    }

    fn precommit_equivocation(
        &self,
        _round: u64,
        _equivocation: Equivocation<ValidatorId, Precommit<Hash, BlockNumber>, Signature>,
    ) {
    }
}

/// Turns what the voter sends into events; never waits.
pub(crate) struct Outgoing<T> {
    wrap: Box<dyn Fn(T) -> Event + Send + Sync>,
    events: UnboundedSender<Event>,
}

impl<T> Sink<T> for Outgoing<T> {
    type Error = VoterError;

    fn poll_ready(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), VoterError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), VoterError> {
        // The loop that listens drops the voter when it ends.
        let _loop_ended = self.events.unbounded_send((self.wrap)(item));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), VoterError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), VoterError>> {
        Poll::Ready(Ok(()))
    }
}
