//! All that is known of the statements at one relay parent.
//!
//! Per candidate the machine of the guide: state A is a candidate that `candidates` does not name (only `Seconded` is
//! taken), state B one that it names (every statement of its group is taken), state C the relay parent being gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use codec::Encode as _;
use messages::candidate_backing;
use messages::network_bridge::PeerConduct;
use ports::{PeerId, SessionContext};
use primitives::misbehavior::SignedVote;
use primitives::{
    CandidateHash, CommittedCandidateReceipt, CompactVote, GroupIndex, Hash, MisbehaviorReport, Signed,
    SignedFullStatement, SignedMessage, SigningContext, SigningPayload as _, Statement, UncheckedSignedFullStatement,
    ValidatorIndex, ValidatorSignature,
};

use crate::limits::{
    BATCH_MAX, HELD_BYTES_MAX, HELD_MAX, HELD_PER_PEER_MAX, MESSAGE_BYTES_MAX, MESSAGES_PER_PEER_MAX,
    MESSAGES_PER_PEER_MIN, QUEUE_MAX, STATEMENT_BYTES_MAX,
};
use crate::state::{Effect, StatementMessage};

/// What a statement is, apart from its signature: who says what.
type StatementKey = (ValidatorIndex, CompactVote);

/// A statement whose signature is not yet checked.
struct Pending {
    key: StatementKey,
    statement: UncheckedSignedFullStatement,
    /// Who brought it, first come first.
    peers: Vec<PeerId>,
}

/// A checked statement, in the order of arrival.
struct Accepted {
    key: StatementKey,
    signed: SignedFullStatement,
    /// As it goes over the wire.
    payload: Bytes,
    /// It contradicts an earlier one: relayed, but not counted.
    contradicts: bool,
}

/// A candidate in state B.
struct Candidate {
    /// Whose members may speak of it.
    group: GroupIndex,
    /// Whether backing has got a `Seconded` of it, without which it could do nothing with the others.
    forwarded: bool,
}

/// What passed between a peer and us about this relay parent.
#[derive(Default)]
struct PeerKnowledge {
    /// What the peer has sent us.
    received: BTreeSet<StatementKey>,
    /// How many messages that took, repetitions included.
    messages: usize,
    /// Accepted statements, counted from the first, that the peer knows, all of them.
    offered: usize,
}

enum Held {
    Foreign(PeerId, UncheckedSignedFullStatement),
    Own(SignedFullStatement),
}

/// The statements at one relay parent.
pub(crate) struct RelayParent {
    hash: Hash,
    session: Option<Arc<SessionContext>>,
    held: VecDeque<Held>,
    held_bytes: usize,
    candidates: BTreeMap<CandidateHash, Candidate>,
    accepted: Vec<Accepted>,
    accepted_bytes: usize,
    votes: BTreeMap<ValidatorIndex, BTreeMap<CompactVote, ValidatorSignature>>,
    equivocators: BTreeSet<ValidatorIndex>,
    queue: VecDeque<Pending>,
    in_flight: Vec<Pending>,
    peers: BTreeMap<PeerId, PeerKnowledge>,
}

impl RelayParent {
    pub(crate) fn new(hash: Hash) -> Self {
        Self {
            hash,
            session: None,
            held: VecDeque::new(),
            held_bytes: 0,
            candidates: BTreeMap::new(),
            accepted: Vec::new(),
            accepted_bytes: 0,
            votes: BTreeMap::new(),
            equivocators: BTreeSet::new(),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            peers: BTreeMap::new(),
        }
    }

    /// The session is known: what was held is looked at, in its order.
    pub(crate) fn set_session(
        &mut self,
        session: Arc<SessionContext>,
        acceptors: &[PeerId],
        effects: &mut Vec<Effect>,
    ) {
        self.session = Some(session);
        self.held_bytes = 0;
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Foreign(peer, statement) => self.receive(&peer, statement, 0, effects),
                Held::Own(signed) => self.share(signed, acceptors, effects),
            }
        }
    }

    /// A statement from a peer; `bytes` is its encoded size.
    pub(crate) fn receive(
        &mut self,
        peer: &PeerId,
        statement: UncheckedSignedFullStatement,
        bytes: usize,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session.clone() else { return self.hold(peer, statement, bytes) };
        if let Err(conduct) = self.enqueue(peer, statement, &session) {
            effects.extend(conduct.map(|conduct| Effect::Report(peer.clone(), conduct)));
        }
        self.verify_next(effects);
    }

    fn hold(&mut self, peer: &PeerId, statement: UncheckedSignedFullStatement, bytes: usize) {
        let of_peer = |held: &&Held| matches!(held, Held::Foreign(from, _) if from == peer);
        if self.held.len() >= HELD_MAX
            || self.held_bytes + bytes > HELD_BYTES_MAX
            || self.held.iter().filter(of_peer).count() >= HELD_PER_PEER_MAX
        {
            tracing::debug!(relay_parent = ?self.hash, %peer, "statement dropped: too many wait for the session");
            return;
        }
        self.held_bytes += bytes;
        self.held.push_back(Held::Foreign(peer.clone(), statement));
    }

    /// Queues what is worth checking; otherwise says what its sender earns, if anything.
    fn enqueue(
        &mut self,
        peer: &PeerId,
        statement: UncheckedSignedFullStatement,
        session: &SessionContext,
    ) -> Result<(), Option<PeerConduct>> {
        let validator = statement.validator_index;
        let key = (validator, statement.payload.to_vote());
        let knowledge = self.peers.entry(peer.clone()).or_default();
        knowledge.messages += 1;
        // One more message than allowed, or the same one again.
        if knowledge.messages > messages_max(session) || !knowledge.received.insert(key) {
            return Err(Some(PeerConduct::CostUnneeded));
        }
        if validator.as_usize() >= session.validators.len() {
            return Err(Some(PeerConduct::CostInvalid));
        }
        if self.equivocators.contains(&validator) {
            return Err(None);
        }
        if self.is_accepted(&key) {
            return Err(Some(PeerConduct::BenefitDuplicate));
        }
        let same = |pending: &&mut Pending| pending.key == key && pending.statement.signature == statement.signature;
        if let Some(pending) = self.in_flight.iter_mut().chain(&mut self.queue).find(same) {
            pending.peers.push(peer.clone());
            return Ok(());
        }
        self.check_dependency(&statement, session)?;
        if self.queue.len() >= QUEUE_MAX {
            tracing::debug!(relay_parent = ?self.hash, %peer, "statement dropped: too many wait to be checked");
            return Err(None);
        }
        self.queue.push_back(Pending { key, statement, peers: vec![peer.clone()] });
        Ok(())
    }

    /// Whether the statement may be made by its validator, and its candidate be spoken of.
    fn check_dependency(
        &self,
        statement: &UncheckedSignedFullStatement,
        session: &SessionContext,
    ) -> Result<(), Option<PeerConduct>> {
        let validator = statement.validator_index;
        let candidate = match &statement.payload {
            Statement::Seconded(receipt) => {
                if receipt.descriptor.relay_parent() != self.hash {
                    return Err(Some(PeerConduct::CostInvalid));
                }
                return seconding_group(receipt, validator, session).map(drop).ok_or(Some(PeerConduct::CostInvalid));
            }
            Statement::Valid(candidate) | Statement::Invalid(candidate) => candidate,
        };
        if let Some(known) = self.candidates.get(candidate) {
            return if is_member(session, known.group, validator) {
                Ok(())
            } else {
                Err(Some(PeerConduct::CostInvalid))
            };
        }
        let seconded = |pending: &Pending| pending.key.1 == CompactVote::Seconded(*candidate);
        if self.in_flight.iter().chain(&self.queue).any(seconded) { Ok(()) } else { Err(self.cost_of_unknown()) }
    }

    /// What it costs to speak of a candidate in state A. Nothing once somebody has equivocated here: others may know
    /// a candidate by a statement that we ignored.
    fn cost_of_unknown(&self) -> Option<PeerConduct> {
        self.equivocators.is_empty().then_some(PeerConduct::CostUnneeded)
    }

    /// Hands the next batch to the verifier, one batch at a time: under load batches grow by themselves.
    fn verify_next(&mut self, effects: &mut Vec<Effect>) {
        let Some(session) = &self.session else { return };
        if !self.in_flight.is_empty() || self.queue.is_empty() {
            return;
        }
        let context = SigningContext { session_index: session.session_index, parent_hash: self.hash };
        self.in_flight = self.queue.drain(..self.queue.len().min(BATCH_MAX)).collect();
        let message = |pending: &Pending| SignedMessage {
            // Checked against the number of validators before it was queued.
            public: session.validators[pending.key.0.as_usize()].0,
            message: pending.key.1.signing_payload(&context),
            signature: pending.statement.signature,
        };
        let batch = self.in_flight.iter().map(message).collect();
        effects.push(Effect::Verify { relay_parent: self.hash, batch });
    }

    /// The verifier's answer to the last batch, in its order. What has no answer is dropped: that is our own fault.
    pub(crate) fn verified(&mut self, good: &[bool], acceptors: &[PeerId], effects: &mut Vec<Effect>) {
        let Some(session) = self.session.clone() else { return };
        for (pending, good) in std::mem::take(&mut self.in_flight).into_iter().zip(good) {
            let Pending { key, statement, peers } = pending;
            let conduct = if *good {
                self.import(key, Signed::assume_checked(statement), false, &session, acceptors, effects)
            } else {
                Err(Some(PeerConduct::CostInvalid))
            };
            for (rank, peer) in peers.into_iter().enumerate() {
                let conduct = match conduct {
                    Ok(()) if rank == 0 => Some(PeerConduct::BenefitUseful),
                    Ok(()) => Some(PeerConduct::BenefitDuplicate),
                    Err(conduct) => conduct,
                };
                effects.extend(conduct.map(|conduct| Effect::Report(peer, conduct)));
            }
        }
        self.verify_next(effects);
    }

    /// A statement that we signed.
    pub(crate) fn share(&mut self, signed: SignedFullStatement, acceptors: &[PeerId], effects: &mut Vec<Effect>) {
        let Some(session) = self.session.clone() else {
            if self.held.len() < HELD_MAX {
                self.held.push_back(Held::Own(signed));
            } else {
                tracing::warn!(relay_parent = ?self.hash, "statement of ours dropped: too many wait for the session");
            }
            return;
        };
        let key = (signed.validator_index(), signed.payload().to_vote());
        if self.import(key, signed, true, &session, acceptors, effects).is_err() {
            tracing::warn!(relay_parent = ?self.hash, vote = ?key.1, "statement of ours is not acceptable");
        }
    }

    /// Takes in a checked statement: keeps, counts, relays it, and proves a contradiction.
    fn import(
        &mut self,
        key: StatementKey,
        signed: SignedFullStatement,
        own: bool,
        session: &SessionContext,
        acceptors: &[PeerId],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Option<PeerConduct>> {
        let (validator, vote) = key;
        if self.equivocators.contains(&validator) {
            return Err(None);
        }
        if self.is_accepted(&key) {
            return Err(Some(PeerConduct::BenefitDuplicate));
        }
        let candidate = vote.candidate_hash();
        let group = match signed.payload() {
            Statement::Seconded(receipt) => {
                seconding_group(receipt, validator, session).ok_or(Some(PeerConduct::CostInvalid))?
            }
            Statement::Valid(_) | Statement::Invalid(_) => {
                let known = self.candidates.get(&candidate).ok_or_else(|| self.cost_of_unknown())?;
                known.group
            }
        };
        if !is_member(session, group, validator) {
            return Err(Some(PeerConduct::CostInvalid));
        }
        let payload: Bytes =
            StatementMessage { relay_parent: self.hash, statement: signed.as_unchecked().clone() }.encode().into();
        if payload.len() > MESSAGE_BYTES_MAX {
            // Only one of ours can be; no peer would take it.
            tracing::warn!(relay_parent = ?self.hash, bytes = payload.len(), "statement is too large to be sent");
            return Err(None);
        }
        if self.accepted_bytes + payload.len() > STATEMENT_BYTES_MAX {
            tracing::debug!(relay_parent = ?self.hash, "statement dropped: too many bytes of them");
            return Err(None);
        }
        self.accepted_bytes += payload.len();
        self.candidates.entry(candidate).or_insert(Candidate { group, forwarded: false });
        let report = self.contradiction(&key, &signed, session);
        self.votes.entry(validator).or_default().insert(vote, *signed.signature());
        self.accepted.push(Accepted { key, signed, payload, contradicts: report.is_some() });
        match report {
            None => self.forward(candidate, own, effects),
            Some(report) => {
                self.equivocators.insert(validator);
                effects.push(Effect::Misbehavior { relay_parent: self.hash, report });
            }
        }
        self.relay_last(acceptors, effects);
        Ok(())
    }

    /// The proof that this statement contradicts an earlier one of its validator, if it does.
    fn contradiction(
        &self,
        (validator, vote): &StatementKey,
        signed: &SignedFullStatement,
        session: &SessionContext,
    ) -> Option<MisbehaviorReport> {
        let (earlier, signature) =
            self.votes.get(validator)?.iter().find(|(earlier, _)| earlier.conflicts_with(vote))?;
        let context = SigningContext { session_index: session.session_index, parent_hash: self.hash };
        Some(MisbehaviorReport {
            validator_index: *validator,
            first: SignedVote { vote: *earlier, context, signature: *signature },
            second: SignedVote { vote: *vote, context, signature: *signed.signature() },
        })
    }

    /// Gives the last accepted statement to backing, which knows its own already, or keeps it until a `Seconded` that
    /// counts has gone before it.
    fn forward(&mut self, candidate: CandidateHash, own: bool, effects: &mut Vec<Effect>) {
        let (Some(known), Some(last)) = (self.candidates.get_mut(&candidate), self.accepted.last()) else { return };
        let import = |accepted: &Accepted| {
            let signed = accepted.signed.clone();
            Effect::Import(candidate_backing::Statement { relay_parent: self.hash, signed })
        };
        let seconded = matches!(last.key.1, CompactVote::Seconded(_));
        if !own && (known.forwarded || seconded) {
            effects.push(import(last));
        }
        if !known.forwarded && seconded {
            known.forwarded = true;
            let waited = |accepted: &&Accepted| {
                accepted.key.1.candidate_hash() == candidate && !accepted.contradicts && accepted.key != last.key
            };
            effects.extend(self.accepted.iter().filter(waited).map(import));
        }
    }

    /// Sends the last accepted statement to those who lack nothing but it.
    fn relay_last(&mut self, acceptors: &[PeerId], effects: &mut Vec<Effect>) {
        let Some(index) = self.accepted.len().checked_sub(1) else { return };
        let Accepted { key, payload, .. } = &self.accepted[index];
        let mut peers = Vec::new();
        for peer in acceptors {
            let knowledge = self.peers.entry(peer.clone()).or_default();
            if knowledge.offered != index {
                // It lacks earlier ones, which must come first: the next offer brings them all.
                continue;
            }
            knowledge.offered = index + 1;
            if !knowledge.received.contains(key) {
                peers.push(peer.clone());
            }
        }
        if !peers.is_empty() {
            effects.push(Effect::Send { relay_parent: self.hash, index, peers, payload: payload.clone() });
        }
    }

    /// Sends a peer all that it lacks, in the order in which we learned it: `Seconded` before what depends on it.
    pub(crate) fn offer(&mut self, peer: &PeerId, effects: &mut Vec<Effect>) {
        if self.accepted.is_empty() {
            return;
        }
        let knowledge = self.peers.entry(peer.clone()).or_default();
        let start = std::mem::replace(&mut knowledge.offered, self.accepted.len());
        for (index, accepted) in self.accepted.iter().enumerate().skip(start) {
            if !knowledge.received.contains(&accepted.key) {
                let (peers, payload) = (vec![peer.clone()], accepted.payload.clone());
                effects.push(Effect::Send { relay_parent: self.hash, index, peers, payload });
            }
        }
    }

    /// A statement could not be sent: these peers lack it and all after it.
    pub(crate) fn not_sent(&mut self, index: usize, peers: &[PeerId]) {
        for peer in peers {
            if let Some(knowledge) = self.peers.get_mut(peer) {
                knowledge.offered = knowledge.offered.min(index);
            }
        }
    }

    /// A peer is gone, and with it what it knew.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    fn is_accepted(&self, (validator, vote): &StatementKey) -> bool {
        self.votes.get(validator).is_some_and(|votes| votes.contains_key(vote))
    }
}

/// Messages that an honest peer may need: each validator seconds once and speaks of each candidate of its group, and an
/// equivocator does one thing more.
fn messages_max(session: &SessionContext) -> usize {
    let largest = session.groups.iter().map(Vec::len).max().unwrap_or(0);
    (session.validators.len() * (largest + 2)).clamp(MESSAGES_PER_PEER_MIN, MESSAGES_PER_PEER_MAX)
}

fn is_member(session: &SessionContext, group: GroupIndex, validator: ValidatorIndex) -> bool {
    session.groups.get(group.as_usize()).is_some_and(|members| members.contains(&validator))
}

/// The group whose candidate this is, if the validator is a member of it. A descriptor without a core (version 1) is
/// its seconder's group's; whether that serves the core is backing's question.
fn seconding_group(
    receipt: &CommittedCandidateReceipt,
    validator: ValidatorIndex,
    session: &SessionContext,
) -> Option<GroupIndex> {
    let group = match receipt.descriptor.core_index() {
        Some(core) => session.group_for_core(core)?.0,
        None => session.group_of(validator)?,
    };
    is_member(session, group, validator).then_some(group)
}
