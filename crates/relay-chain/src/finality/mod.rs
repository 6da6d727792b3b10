//! Finality: the loop around `finality-grandpa`'s voter.
//!
//! Votes come in, are checked and held, reach the voter once their block is known, and go on to other peers. What the
//! voter says is signed through the keystore's journal (a contradiction is silence in that round) and sent to everybody.
//! What it finalizes is stored with its proof before the tree changes. What the disk refuses of these is tried again. Who
//! lags gets proofs with the blocks ([`crate::sync`]) and the votes of the last completed round on request.
//!
//! The voters of a block's children are the validators of its state. A block after which they differ is the last that
//! the old set votes for; its finalization starts the next set, numbered on, at round 1.
//!
//! **Limits**: [`RESTART_LAG`], [`REPEAT_EVERY`], [`HELPERS_MAX`], those of [`crate::votes`], and for votes that
//! come early [`EARLY_PEERS_MAX`], [`EARLY_ROUNDS_MAX`], [`EARLY_VOTERS_MIN`].

mod early;
mod voter;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use codec::Encode;
use deterministic::{BoxFuture, ComputeKind, compute};
use finality_grandpa::{Message, SignedPrecommit, SignedPrevote, voter::Callback};
use futures::{FutureExt, StreamExt, pin_mut, select_biased};
use ports::{Claim, KeystoreError, MAX_NOTIFICATION_BYTES, NetworkEvent, PeerId, ProtocolEvents, StorageError};
use primitives::{BlockNumber, Hash, Header, ValidatorId, decode_limited};

pub use early::{EARLY_PEERS_MAX, EARLY_ROUNDS_MAX, EARLY_VOTERS_MIN};
use early::{EarlyVotes, TooManyVotes};
use voter::{Event, GlobalIn, Running, Start};
pub use voter::{GOSSIP_SHARE_OF_SLOT, VotingRule};

use crate::{
    chain::{Chain, FinalizeError, lock},
    justification::{
        BlockCommit, CatchUp, CatchUpVotes, DoubleVote, Justification, MAX_JUSTIFICATION_BYTES, SignedVoteMessage,
        Vote, VoteMessage, Voters, stage, vote_payload, voters,
    },
    messages::{
        CatchUpRequest, CatchUpResponse, FINALITY_PROTOCOL, FinalityMessage, MAX_CHAIN_REQUEST_BYTES,
        MAX_VOTES_PER_MESSAGE,
    },
    storage::{CompletedRound, OwnVote},
    sync::Syncer,
    votes::{Offered, ROUNDS_BEHIND},
};

/// How far, in blocks, finality may run ahead of the voter (by proofs from others) before the voter starts anew.
pub const RESTART_LAG: BlockNumber = 16;
/// After so many units of gossip (see [`GOSSIP_SHARE_OF_SLOT`]) without a new round the votes at hand are sent again.
pub const REPEAT_EVERY: u64 = 32;

/// Peers that wait to be asked for the votes of a round, each once.
pub const HELPERS_MAX: usize = 256;

/// The chain has no voters at all: the genesis was checked to have validators.
#[derive(Debug, thiserror::Error)]
#[error("finalized block {0:?} has no validators")]
pub struct NoVoters(Hash);

/// A vote that whoever sent it is to blame for.
#[derive(Debug, thiserror::Error)]
enum BadVote {
    #[error("vote of somebody who is no voter")]
    NoVoter,
    #[error("vote with a wrong signature")]
    Signature,
    #[error(transparent)]
    TooMany(#[from] TooManyVotes),
}

/// The loop's state.
pub(crate) struct Finality {
    chain: Arc<Chain>,
    syncer: Arc<Syncer>,
    voters: Voters,
    set_id: u64,
    id: Option<ValidatorId>,
    voter: Running,
    /// What we vote in the rounds at hand, as it is on disk.
    own: Vec<OwnVote>,
    /// What the voter takes for said though it could not be written or signed, of the current round: one vote per stage.
    unsaid: Vec<(u64, VoteMessage)>,
    /// The last completed round, for peers that lag and for starting anew.
    completed: Option<CompletedRound>,
    /// The newest proof, for peers that come.
    newest: Option<Justification>,
    /// A proof whose block is not here yet, or that could not be stored.
    pending: Option<Justification>,
    early: EarlyVotes,
    /// Height that the voter knows to be final.
    voter_finalized: BlockNumber,
    /// Who was asked to help us catch up, while we wait.
    asked: Option<BoxFuture<(PeerId, Option<Bytes>)>>,
    /// Who is to be asked after that, in the order in which they had something to say, so that those who do not answer hold
    /// up nobody for long.
    helpers: VecDeque<PeerId>,
}

impl Finality {
    /// Starts a voter from what the disk holds.
    pub(crate) fn new(
        chain: Arc<Chain>,
        syncer: Arc<Syncer>,
        completed: Option<CompletedRound>,
        own: Vec<OwnVote>,
        newest: Option<Justification>,
    ) -> Result<Self, NoVoters> {
        let (start, completed) = plan(&chain, completed)?;
        let (voters, set_id, id, voter_finalized) = (start.voters.clone(), start.set_id, start.id, start.finalized.1);
        let voter = voter::start(&chain, start);
        Ok(Self {
            chain,
            syncer,
            voters,
            set_id,
            id,
            voter,
            own,
            unsaid: Vec::new(),
            completed,
            newest,
            pending: None,
            early: EarlyVotes::default(),
            voter_finalized,
            asked: None,
            helpers: VecDeque::new(),
        })
    }

    /// Votes until the chain is stopped.
    pub(crate) async fn run(mut self, mut network: Box<dyn ProtocolEvents>) {
        let chain = self.chain.clone();
        let stopped = chain.until_stopped().fuse();
        pin_mut!(stopped);
        let mut changes = chain.changes();
        let unit_ms = (chain.settings.slot_ms / GOSSIP_SHARE_OF_SLOT).max(1);
        let pause = std::time::Duration::from_millis(unit_ms.saturating_mul(REPEAT_EVERY));
        let mut repeat = chain.environment.clock.sleep(pause).fuse();
        let mut round_before = 0;
        self.take_up().await;
        loop {
            let mut answer = match &mut self.asked {
                Some(answer) => answer.left_future(),
                None => futures::future::pending().right_future(),
            }
            .fuse();
            select_biased! {
                () = stopped => return,
                event = self.voter.events.next() => {
                    if let Some(event) = event {
                        self.on_event(event).await;
                    }
                }
                ended = (&mut self.voter.future).fuse() => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "the voter ended");
                    }
                    self.restart().await;
                }
                (peer, answer) = answer => {
                    self.asked = None;
                    if let Some(answer) = answer {
                        self.on_catch_up(&peer, &answer).await;
                    }
                    self.ask_for_help();
                }
                changed = changes.changed().fuse() => {
                    if changed.is_ok() {
                        self.on_change().await;
                    }
                }
                event = network.next().fuse() => match event {
                    Some(event) => self.on_network(event).await,
                    None => return,
                },
                () = repeat => {
                    self.try_again().await;
                    let round = lock(&self.voter.rounds).votes.round();
                    if round == round_before {
                        self.tell_all_again();
                    }
                    round_before = round;
                    repeat = chain.environment.clock.sleep(pause).fuse();
                }
            }
        }
    }

    // ---- what the voter wants -----------------------------------------------------------------------------------

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Vote { round, message } => self.cast(round, message).await,
            Event::Completed(completed) => {
                if let Err(error) = self.chain.storage.put_round(&completed).await {
                    tracing::error!(%error, "cannot store the completed round");
                }
                self.completed = Some(completed);
            }
            Event::Finalize { round, commit } => {
                self.voter_finalized = self.voter_finalized.max(commit.target_number);
                if let Some(proof) = self.justify(round, commit) {
                    self.finalize(proof).await;
                }
            }
            Event::Commit { round, commit } => {
                if let Some(proof) = self.justify(round, commit) {
                    let message = FinalityMessage::Justification(Box::new(proof));
                    self.chain.broadcast(FINALITY_PROTOCOL, &message.encode().into(), None);
                }
            }
        }
    }

    /// Says again what was said before the voter started, and keeps the votes of the last completed round for others.
    async fn take_up(&mut self) {
        let (set_id, mut last_round) = (self.set_id, 0);
        if let Some(completed) = &self.completed {
            last_round = completed.round;
            let mut rounds = lock(&self.voter.rounds);
            for signed in completed.votes.iter().cloned() {
                rounds.hold(&self.chain, Vote { set_id, round: completed.round, signed }, &self.voters);
            }
        }
        let again: Vec<OwnVote> =
            self.own.iter().filter(|own| own.set_id == set_id && own.round > last_round).cloned().collect();
        for own in again {
            self.cast(own.round, own.message).await;
        }
    }

    /// Writes a vote, signs it, counts it and sends it to everybody. Where something was said before in this stage, that
    /// is said again instead.
    async fn cast(&mut self, round: u64, message: VoteMessage) {
        let (Some(id), Some(keystore)) = (self.id, self.chain.keystore.clone()) else { return };
        let stage = stage(&message);
        let said_before = |own: &&OwnVote| {
            (own.set_id, own.round, crate::justification::stage(&own.message)) == (self.set_id, round, stage)
        };
        let message = match self.own.iter().find(said_before) {
            Some(own) => own.message.clone(),
            None => {
                self.own.retain(|own| own.set_id == self.set_id && own.round.saturating_add(ROUNDS_BEHIND) >= round);
                self.own.push(OwnVote { set_id: self.set_id, round, message: message.clone() });
                if let Err(error) = self.chain.storage.put_votes(&self.own).await {
                    // What is not on disk was not said, and must not be taken for it.
                    self.own.pop();
                    tracing::error!(round, %error, "a vote could not be written, it is tried again");
                    return self.cast_later(round, message);
                }
                message
            }
        };
        let payload = vote_payload(self.set_id, round, &message);
        let claim = Claim::FinalityVote { set_id: self.set_id, round, stage, payload };
        let signature = match keystore.sign(&id, &claim).await {
            Ok(signature) => signature,
            Err(error @ KeystoreError::Journal(_)) => {
                tracing::error!(round, %error, "a vote could not be signed, it is tried again");
                return self.cast_later(round, message);
            }
            Err(error) => {
                tracing::info!(round, %error, "silent in this stage of the round");
                return;
            }
        };
        let vote = Vote { set_id: self.set_id, round, signed: SignedVoteMessage { message, signature, id } };
        lock(&self.voter.rounds).hold(&self.chain, vote.clone(), &self.voters);
        self.tell_votes(&[vote], None);
    }

    /// Keeps a vote for [`Self::try_again`]: the voter does not say it twice, and without the votes of more than a third a
    /// round lasts for ever.
    fn cast_later(&mut self, round: u64, message: VoteMessage) {
        let current = lock(&self.voter.rounds).votes.round();
        self.unsaid.retain(|(of, _)| *of >= current);
        self.unsaid.push((round, message));
    }

    /// Does what could not be done before, because a block was not here or the disk refused.
    async fn try_again(&mut self) {
        if let Some(proof) = self.pending.take_if(|proof| self.chain.tree().contains(&proof.commit.target_hash)) {
            self.finalize(proof).await;
        }
        let current = lock(&self.voter.rounds).votes.round();
        for (round, message) in std::mem::take(&mut self.unsaid) {
            if round >= current {
                self.cast(round, message).await;
            }
        }
    }

    /// Completes a commit with the headers that its check needs; `None` if they are not here any more.
    fn justify(&self, round: u64, commit: BlockCommit) -> Option<Justification> {
        let tree = self.chain.tree();
        let mut ancestries: Vec<Header> = Vec::new();
        for signed in &commit.precommits {
            let mut hash = signed.precommit.target_hash;
            while hash != commit.target_hash {
                let header = &tree.get(&hash)?.header;
                if header.number <= commit.target_number {
                    return None;
                }
                hash = header.parent_hash;
                if !ancestries.contains(header) {
                    ancestries.push(header.clone());
                }
            }
        }
        Some(Justification { set_id: self.set_id, round, commit, ancestries })
    }

    /// Makes a block final; the change of the tree brings the loop to [`Self::on_change`]. A good proof that could not be
    /// stored is kept: the voter makes it once, and others may be gone. Returns whether the proof is good, as far as is known.
    async fn finalize(&mut self, proof: Justification) -> bool {
        match self.chain.finalize(&proof).await {
            Ok(new) => {
                if new {
                    self.newest = Some(proof);
                }
                true
            }
            Err(FinalizeError::Storage(error @ StorageError::Io { .. })) => {
                tracing::error!(%error, "a proof of finality could not be stored, it is tried again");
                self.pending = Some(proof);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "not finalized");
                !error.is_offence()
            }
        }
    }

    // ---- what the chain says --------------------------------------------------------------------------------------

    /// Blocks came in or became final.
    async fn on_change(&mut self) {
        lock(&self.voter.rounds).deliver(&self.chain);
        self.try_again().await;
        let finalized = self.chain.finalized();
        let lags = finalized.header.number > self.voter_finalized.saturating_add(RESTART_LAG);
        if finalized.data.set_id != self.set_id || lags {
            self.restart().await;
            for (peer, votes) in self.early.take() {
                for votes in votes.chunks(MAX_VOTES_PER_MESSAGE) {
                    self.on_votes(&peer, votes).await;
                }
            }
        }
    }

    /// Starts a new voter from the finalized block.
    async fn restart(&mut self) {
        match plan(&self.chain, self.completed.take()) {
            Ok((start, completed)) => {
                (self.voters, self.set_id, self.id) = (start.voters.clone(), start.set_id, start.id);
                self.voter_finalized = start.finalized.1;
                self.completed = completed;
                tracing::info!(set_id = self.set_id, round = start.last_round + 1, "voter starts");
                self.voter = voter::start(&self.chain, start);
                // The new voter says it again.
                self.unsaid.clear();
                self.take_up().await;
            }
            Err(error) => tracing::error!(%error, "no voter"),
        }
    }

    // ---- what peers say -------------------------------------------------------------------------------------------

    async fn on_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected { peer, handshake } => {
                // The block protocol refuses peers of other chains.
                if handshake == self.chain.handshake() {
                    self.tell(&peer);
                    self.chain.peer_connected(FINALITY_PROTOCOL, peer);
                }
            }
            NetworkEvent::Disconnected { peer } => {
                self.early.forget(&peer);
                self.helpers.retain(|helper| *helper != peer);
                self.chain.peer_disconnected(FINALITY_PROTOCOL, &peer);
            }
            NetworkEvent::Message { peer, payload } => match decode_limited(&payload, MAX_NOTIFICATION_BYTES) {
                Ok(FinalityMessage::Votes(votes)) => self.on_votes(&peer, &votes).await,
                Ok(FinalityMessage::Justification(proof)) => self.on_justification(&peer, *proof).await,
                Err(error) => self.chain.offence(&peer, &error),
            },
            NetworkEvent::Request { peer, payload, respond } => {
                match decode_limited(&payload, MAX_CHAIN_REQUEST_BYTES) {
                    // The asker may have given up meanwhile.
                    Ok(request) => drop(respond.answer(self.help(request).encode().into())),
                    Err(error) => self.chain.offence(&peer, &error),
                }
            }
        }
    }

    /// What a peer needs to take part: the newest proof, and the votes at hand.
    fn tell(&self, peer: &PeerId) {
        for message in self.at_hand() {
            self.chain.send(peer, FINALITY_PROTOCOL, message);
        }
    }

    fn tell_all_again(&self) {
        for message in self.at_hand() {
            self.chain.broadcast(FINALITY_PROTOCOL, &message, None);
        }
    }

    fn at_hand(&self) -> Vec<Bytes> {
        let votes = lock(&self.voter.rounds).votes.recent();
        let proof = self.newest.clone().map(|proof| FinalityMessage::Justification(Box::new(proof)).encode());
        proof.into_iter().chain(FinalityMessage::pack(&votes)).map(Bytes::from).collect()
    }

    /// Sends votes to all peers but one.
    fn tell_votes(&self, votes: &[Vote], except: Option<&PeerId>) {
        for message in FinalityMessage::pack(votes) {
            self.chain.broadcast(FINALITY_PROTOCOL, &message.into(), except);
        }
    }

    /// Takes the votes of one message, and passes those on together that are new. One that a peer is to blame for ends it,
    /// so that a message is one offence at most, and costs at most one check in vain.
    async fn on_votes(&mut self, peer: &PeerId, votes: &[Vote]) {
        let mut new = Vec::new();
        for vote in votes {
            match self.on_vote(peer, vote).await {
                Ok(true) => new.push(vote.clone()),
                Ok(false) => {}
                Err(error) => {
                    self.chain.offence(peer, &error);
                    break;
                }
            }
        }
        self.tell_votes(&new, Some(peer));
        for vote in new {
            let (hash, number) = vote.signed.target();
            self.fetch_if_missing(peer, *hash, number);
        }
    }

    /// Takes a vote. Returns whether it is new, and held.
    async fn on_vote(&mut self, peer: &PeerId, vote: &Vote) -> Result<bool, BadVote> {
        if vote.set_id != self.set_id {
            if self.set_id.checked_add(1) == Some(vote.set_id) {
                self.early.keep(peer, vote.clone(), self.voters.len().get())?;
            }
            return Ok(false);
        }
        let offered = lock(&self.voter.rounds).votes.classify(vote, &self.voters);
        match offered {
            Offered::Known | Offered::Old => return Ok(false),
            Offered::NoVoter => return Err(BadVote::NoVoter),
            Offered::Ahead if self.helpers.contains(peer) || self.helpers.len() >= HELPERS_MAX => return Ok(false),
            Offered::New | Offered::Ahead => {}
        }
        let (checked, bytes) = (vote.clone(), vote.encoded_size());
        let verify = move || checked.verify();
        match compute(&*self.chain.environment.compute, ComputeKind::VerifySignatures, bytes, verify).await {
            Ok(true) => {}
            Ok(false) => return Err(BadVote::Signature),
            Err(error) => {
                tracing::warn!(%error, "vote could not be checked");
                return Ok(false);
            }
        }
        if offered == Offered::Ahead {
            self.helpers.push_back(peer.clone());
            self.ask_for_help();
            return Ok(false);
        }
        let first = lock(&self.voter.rounds).votes.contradicted_by(vote);
        if let Some(first) = first {
            self.chain.voted_twice(DoubleVote { first, second: vote.clone() });
        }
        Ok(lock(&self.voter.rounds).hold(&self.chain, vote.clone(), &self.voters) == Offered::New)
    }

    fn fetch_if_missing(&self, peer: &PeerId, hash: Hash, number: BlockNumber) {
        if number > self.chain.finalized().header.number && !self.chain.tree().contains(&hash) {
            self.syncer.start(peer.clone(), hash, number);
        }
    }

    async fn on_justification(&mut self, peer: &PeerId, proof: Justification) {
        let (hash, number) = proof.target();
        if number <= self.chain.finalized().header.number {
            return;
        }
        let is_here = self.chain.tree().contains(&hash);
        let (is_ours, is_known) = (proof.set_id == self.set_id, self.pending.as_ref() == Some(&proof));
        if is_ours && !is_here && !is_known && !self.proves(peer, &proof).await {
            return;
        }
        if !is_ours || !is_here {
            // The proof comes with the blocks, and before it those of the sets between ours and its own; this one is
            // kept for the case that they come by gossip. One that was checked gives way to no other.
            self.syncer.start_for_finality(peer.clone(), hash, number);
            if is_ours || self.pending.as_ref().is_none_or(|pending| pending.set_id != self.set_id) {
                self.pending = Some(proof);
            }
            return;
        }
        if !self.finalize(proof.clone()).await {
            return self.chain.offence(peer, &"justification that proves nothing");
        }
        // The voter learns what it needs to stop working on this round.
        let known = {
            let tree = self.chain.tree();
            proof.commit.precommits.iter().all(|signed| tree.contains(&signed.precommit.target_hash))
        };
        if known {
            self.feed(GlobalIn::Commit(proof.round, proof.commit.into(), Callback::Blank));
        }
    }

    /// Whether a proof by the voters of this set holds; if not, that is held against the peer. Of a block that is not
    /// here this is all that can be said, and enough to look for it nowhere in vain, nor to lose a good proof for a bad one.
    async fn proves(&mut self, peer: &PeerId, proof: &Justification) -> bool {
        let (voters, checked, bytes) = (self.voters.clone(), proof.clone(), proof.encoded_size());
        let verify = move || checked.verify(&voters);
        match compute(&*self.chain.environment.compute, ComputeKind::VerifySignatures, bytes, verify).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                self.chain.offence(peer, &error);
                false
            }
            Err(error) => {
                tracing::warn!(%error, "proof could not be checked");
                false
            }
        }
    }

    /// To the voter; it takes what comes at once, so nothing piles up.
    fn feed(&self, input: GlobalIn) {
        // A voter that has ended is started anew by the loop.
        let _voter_ended = self.voter.global_in.unbounded_send(Ok(input));
    }

    // ---- catching up ----------------------------------------------------------------------------------------------

    /// Rounds went on without us: asks for the votes of the last completed one, of one peer at a time.
    fn ask_for_help(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let Some(peer) = self.helpers.pop_front() else { return };
        let round = lock(&self.voter.rounds).votes.round();
        let request = CatchUpRequest { set_id: self.set_id, round }.encode();
        let network = self.chain.network.clone();
        self.asked = Some(Box::pin(async move {
            let answer = network.request(&peer, FINALITY_PROTOCOL, request.into()).await;
            (peer, answer.ok())
        }));
    }

    /// What helps a peer that asks.
    fn help(&self, request: CatchUpRequest) -> CatchUpResponse {
        let completed = self.completed.as_ref()?;
        if completed.set_id != request.set_id || completed.round <= request.round {
            return None;
        }
        let mut votes = CatchUpVotes {
            round_number: completed.round,
            prevotes: Vec::new(),
            precommits: Vec::new(),
            base_hash: completed.base.0,
            base_number: completed.base.1,
        };
        for SignedVoteMessage { message, signature, id } in completed.votes.iter().cloned() {
            match message {
                Message::Prevote(prevote) => votes.prevotes.push(SignedPrevote { prevote, signature, id }),
                Message::Precommit(precommit) => votes.precommits.push(SignedPrecommit { precommit, signature, id }),
                Message::PrimaryPropose(_) => {}
            }
        }
        Some(CatchUp { set_id: completed.set_id, votes })
    }

    async fn on_catch_up(&mut self, peer: &PeerId, bytes: &Bytes) {
        let response: CatchUpResponse = match decode_limited(bytes, MAX_JUSTIFICATION_BYTES) {
            Ok(response) => response,
            Err(error) => return self.chain.offence(peer, &error),
        };
        let round = lock(&self.voter.rounds).votes.round();
        let Some(help) = response.filter(|help| help.set_id == self.set_id && help.votes.round_number > round) else {
            return;
        };
        let (voters, checked) = (self.voters.clone(), help.clone());
        let verify = move || checked.verify(&voters);
        let verdict = compute(&*self.chain.environment.compute, ComputeKind::VerifySignatures, bytes.len(), verify);
        match verdict.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.chain.offence(peer, &error),
            Err(error) => return tracing::warn!(%error, "votes could not be checked"),
        }
        let mut votes = help.votes;
        if let Some((hash, number)) = self.leave_out_missing(&mut votes) {
            // Needed or dead: who can tell has it. Further votes will make us ask again, once it is here.
            self.fetch_if_missing(peer, hash, number);
        }
        // The voter takes them if the round is complete with these.
        self.feed(GlobalIn::CatchUp(votes, Callback::Blank));
    }

    /// Leaves out the votes for blocks that are not here at the height that they say, or not on the round's base; returns
    /// one of those blocks.
    fn leave_out_missing(&self, votes: &mut CatchUpVotes) -> Option<(Hash, BlockNumber)> {
        let tree = self.chain.tree();
        let base = votes.base_hash;
        let mut missing = None;
        let mut is_here = |hash: Hash, number: BlockNumber| {
            let is_here = tree.get(&hash).is_some_and(|entry| entry.header.number == number)
                && tree.is_descendant_or_equal(&base, &hash);
            if !is_here {
                missing = Some((hash, number));
            }
            is_here
        };
        votes.prevotes.retain(|vote| is_here(vote.prevote.target_hash, vote.prevote.target_number));
        votes.precommits.retain(|vote| is_here(vote.precommit.target_hash, vote.precommit.target_number));
        missing
    }
}

/// From where a voter starts: the finalized block's set, and its last completed round.
fn plan(chain: &Chain, completed: Option<CompletedRound>) -> Result<(Start, Option<CompletedRound>), NoVoters> {
    let finalized = chain.finalized();
    let validators = finalized.data.state.validators();
    let voters = voters(validators).ok_or(NoVoters(finalized.hash))?;
    let set_id = finalized.data.set_id;
    let keys = chain.keystore.as_ref().map_or_else(Vec::new, |keystore| keystore.validator_ids());
    let id = keys.into_iter().find(|key| voters.contains(key));
    let base = (finalized.hash, finalized.header.number);
    let completed = completed.filter(|completed| completed.set_id == set_id);
    let mut start = Start {
        voters,
        set_id,
        id,
        finalized: base,
        last_round: 0,
        last_base: base,
        last_votes: Vec::new(),
        bound: None,
    };
    if let Some(completed) = &completed {
        start.last_round = completed.round;
        let tree = chain.tree();
        if tree.contains(&completed.base.0) {
            start.last_base = completed.base;
        }
        start.last_votes.clone_from(&completed.votes);
        let estimate = completed.estimate;
        start.bound = if estimate.1 <= base.1 { Some(base) } else { tree.contains(&estimate.0).then_some(estimate) };
    }
    Ok((start, completed))
}
