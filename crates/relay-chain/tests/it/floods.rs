//! Peers that have more to say than anybody wants to hear, or nothing where they should.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use codec::Encode;
use deterministic::Crash;
use finality_grandpa::{Message, Precommit, Prevote};
use network::{MemoryHub, MemoryNetwork};
use ports::{ChainEvent, MAX_NOTIFICATION_BYTES, Network, NetworkEvent, PeerId, ProtocolId};
use primitives::{
    CandidateDescriptor, CandidateHash, DisputeStatementSet, Hash, Header, Pair, Signature, ValidationCode,
    ValidatorId, ValidatorIndex, VrfSignature, crypto::SeedRng,
};
use relay_chain::{
    MAX_OFFENCES,
    import::BLOCKS_PER_CLAIM_MAX,
    justification::{Justification, SignedVoteMessage, Vote, vote_payload},
    messages::{
        BLOCK_PROTOCOL, BlockMessage, BlockRequest, BlockResponse, FINALITY_PROTOCOL, FinalityMessage, Handshake,
        PROTOCOL_VERSION, TRANSACTION_PROTOCOL, TransactionMessage,
    },
    sync::SYNC_JOBS_MAX,
    transactions::{TransactionPool, transaction_hash},
    tree::{MAX_UNFINALIZED_BLOCKS, MAX_UNFINALIZED_DEPTH},
};
use runtime::{
    Assignment, AssignmentKind, Block, ConfigurationChange, Executed, Extrinsic, Governance, RemoteDispute,
    SecondaryAttestation,
};

use crate::{
    disk::storage,
    forge::Forge,
    reverts::told,
    support::{SLOT_MS, World, signed_by},
};

/// What a peer has to give, whatever it is asked for.
pub(crate) type Shelf = Arc<Mutex<BlockResponse>>;

/// A peer that answers each request with what is on its shelf, from the height on that is asked for.
pub(crate) fn peer(world: &World, name: &str) -> (Arc<MemoryNetwork>, Shelf) {
    let network = world.hub.join(MemoryHub::peer(name));
    let mut events = network.open(BLOCK_PROTOCOL, handshake(world)).unwrap();
    let mut votes = network.open(FINALITY_PROTOCOL, handshake(world)).unwrap();
    let shelf = Shelf::default();
    let (environment, given) = (world.simulation.environment(name), shelf.clone());
    let answers = async move {
        while let Some(event) = events.next().await {
            let NetworkEvent::Request { payload, respond, .. } = event else { continue };
            let request: BlockRequest = primitives::decode_limited(&payload, 64).unwrap();
            let BlockResponse { blocks, justifications } = given.lock().unwrap().clone();
            let wanted = blocks.into_iter().filter(|block| block.header.number >= request.first);
            let blocks = wanted.collect::<Vec<_>>().try_into().unwrap();
            let _asker_gone = respond.answer(BlockResponse { blocks, justifications }.encode().into());
        }
    };
    environment.spawner.spawn("answers", Box::pin(answers));
    environment.spawner.spawn("votes", Box::pin(async move { while votes.next().await.is_some() {} }));
    network.connect(&world.nodes[0].peer(), &[]);
    (network, shelf)
}

/// A peer that answers no request, nor says that it will not.
fn silent_peer(world: &World, name: &str) -> Arc<MemoryNetwork> {
    let network = world.hub.join(MemoryHub::peer(name));
    let mut events = network.open(BLOCK_PROTOCOL, handshake(world)).unwrap();
    let mut kept = Vec::new();
    let keeps = async move {
        while let Some(event) = events.next().await {
            kept.push(event);
        }
    };
    world.simulation.environment(name).spawner.spawn("keeps", Box::pin(keeps));
    network.connect(&world.nodes[0].peer(), &[]);
    network
}

fn handshake(world: &World) -> Bytes {
    let genesis = world.chain(0).genesis_hash();
    Handshake { version: PROTOCOL_VERSION, genesis, slot_ms: SLOT_MS, forks_per_million: 0 }.encode().into()
}

struct Flood {
    forge: Forge,
    victim: PeerId,
    /// Blocks of one slot by one author, and what they lead to.
    flood: Vec<Block>,
    executed: Executed,
}

impl Flood {
    /// The first two blocks of the flood are in the node's tree.
    fn new(seed: u64) -> Self {
        let forge = Forge::new(seed);
        forge.world.run_slots(10);
        let genesis = forge.genesis();
        let slot = forge.slot_now() - 6;
        let (flood, executed) = forge.kept_back(&forge.header(genesis), &forge.state(genesis), slot, 40);
        let victim = forge.world.nodes[0].peer();
        let this = Self { forge, victim, flood, executed };
        let (network, _) = peer(&this.forge.world, "announcer");
        this.forge.world.run_slots(1);
        for block in &this.flood {
            this.say(&network, &BlockMessage::Block(block.clone()));
        }
        assert_eq!(this.taken(), BLOCKS_PER_CLAIM_MAX);
        this
    }

    fn say(&self, network: &MemoryNetwork, message: &BlockMessage) {
        network.send(&self.victim, BLOCK_PROTOCOL, message.encode().into()).unwrap();
        self.forge.world.run_slots(1);
    }

    /// Blocks of the flood in the node's tree.
    fn taken(&self) -> usize {
        self.flood.iter().filter(|block| self.has(&block.hash())).count()
    }

    fn has(&self, hash: &Hash) -> bool {
        self.forge.world.chain(0).block(hash).is_some()
    }

    /// A block on top of one of the flood, so many slots after it.
    fn on_top(&self, parent: &Header, slots: u64) -> Block {
        let slot = self.forge.slot_of(parent) + slots;
        self.forge.kept_back(parent, &self.executed.state, slot, 1).0.remove(0)
    }
}

fn shelve(shelf: &Shelf, blocks: Vec<Block>, proof: Option<Justification>) {
    let justifications = proof.into_iter().collect::<Vec<_>>().try_into().unwrap();
    *shelf.lock().unwrap() = BlockResponse { blocks: blocks.try_into().unwrap(), justifications };
}

#[test]
fn whoever_brings_more_than_two_blocks_of_one_author_and_slot_fills_no_tree() {
    let flood = Flood::new(81);
    let (network, shelf) = peer(&flood.forge.world, "flooder");
    flood.forge.world.run_slots(1);
    for block in &flood.flood[10..20] {
        shelve(&shelf, vec![block.clone()], None);
        flood.say(&network, &BlockMessage::Have { hash: block.hash(), number: 1 });
    }
    assert_eq!(flood.taken(), BLOCKS_PER_CLAIM_MAX, "asked for by name");
    assert_eq!(flood.forge.world.chain(0).held().offenders, 0, "honest peers may have others than we");
    // On top of each something that nobody made, as if somebody wanted it.
    for block in &flood.flood[20..30] {
        let mut on_top = flood.on_top(&block.header, 1);
        on_top.header.state_root = Hash::repeat(1);
        shelve(&shelf, vec![block.clone(), on_top.clone()], None);
        if network.send(&flood.victim, BLOCK_PROTOCOL, BlockMessage::Block(on_top).encode().into()).is_err() {
            break;
        }
        flood.forge.world.run_slots(1);
    }
    assert!(flood.taken() <= BLOCKS_PER_CLAIM_MAX + MAX_OFFENCES as usize, "{}", flood.taken());
    assert_eq!(flood.forge.world.chain(0).status().peers, 0, "the flooder is refused");
}

#[test]
fn what_another_author_has_built_on_is_taken_whatever_else_its_author_made() {
    let flood = Flood::new(82);
    let (network, shelf) = peer(&flood.forge.world, "honest");
    flood.forge.world.run_slots(1);
    let (wanted, child) = (&flood.flood[7], flood.on_top(&flood.flood[7].header, 1));
    shelve(&shelf, vec![wanted.clone(), child.clone()], None);
    flood.say(&network, &BlockMessage::Block(child.clone()));
    assert!(flood.has(&wanted.hash()) && flood.has(&child.hash()));
    assert_eq!(flood.forge.best(), child.hash());
    // Seven slots later it is the same author's turn: what he builds on his own says nothing.
    let (own, child) = (&flood.flood[8], flood.on_top(&flood.flood[8].header, 7));
    shelve(&shelf, vec![own.clone(), child.clone()], None);
    flood.say(&network, &BlockMessage::Block(child));
    assert!(!flood.has(&own.hash()));
    assert_eq!(flood.forge.world.chain(0).held().offenders, 0);
}

#[test]
fn what_is_proven_final_is_taken_whatever_else_its_author_made() {
    let flood = Flood::new(83);
    let (network, shelf) = peer(&flood.forge.world, "honest");
    flood.forge.world.run_slots(1);
    let (last, proof) = (&flood.flood[9], flood.forge.proof(&flood.flood[9].header));
    shelve(&shelf, vec![last.clone()], Some(proof.clone()));
    let message = FinalityMessage::Justification(Box::new(proof));
    network.send(&flood.victim, FINALITY_PROTOCOL, message.encode().into()).unwrap();
    flood.forge.world.run_slots(2);
    assert_eq!(flood.forge.world.chain(0).status().finalized, (last.hash(), 1));
    assert_eq!(flood.forge.world.chain(0).held().offenders, 0);
}

#[test]
fn peers_that_do_not_answer_keep_nobody_from_catching_up_with_one_that_does() {
    let forge = Forge::new(84);
    forge.world.run_slots(10);
    let (mut parent, mut state) = (forge.header(forge.genesis()), forge.state(forge.genesis()).as_ref().clone());
    let mut blocks = Vec::new();
    for slot in forge.slot_now() - 4..forge.slot_now() {
        let (mut block, executed) = forge.kept_back(&parent, &state, slot, 1);
        (parent, state) = (block[0].header.clone(), executed.state);
        blocks.append(&mut block);
    }
    let silent: Vec<_> =
        (0..SYNC_JOBS_MAX).map(|index| silent_peer(&forge.world, &format!("silent {index}"))).collect();
    let (honest, shelf) = peer(&forge.world, "honest");
    shelve(&shelf, blocks.clone(), None);
    forge.world.run_slots(1);
    let victim = forge.world.nodes[0].peer();
    let last = blocks.pop().unwrap();
    let flood = |round: u8| {
        for (network, index) in silent.iter().zip(0..) {
            // Something on top of what nobody has.
            let mut orphan = last.clone();
            orphan.header.parent_hash = Hash([round, index].repeat(16).try_into().unwrap());
            network.send(&victim, BLOCK_PROTOCOL, BlockMessage::Block(orphan).encode().into()).unwrap();
        }
        forge.world.run_slots(1);
    };
    flood(0);
    honest.send(&victim, BLOCK_PROTOCOL, BlockMessage::Block(last.clone()).encode().into()).unwrap();
    for round in 1..30 {
        flood(round);
    }
    assert_eq!(forge.best(), last.hash());
    assert_eq!(forge.world.chain(0).held().offenders, 0);
}

#[test]
fn a_proof_that_cannot_be_checked_takes_the_place_of_none_that_was_checked() {
    let forge = Forge::new(85);
    forge.world.run_slots(10);
    let genesis = forge.genesis();
    let slot = forge.slot_now() - 3;
    let block = forge.kept_back(&forge.header(genesis), &forge.state(genesis), slot, 1).0.remove(0);
    // It has nothing to give when it is asked.
    let (network, _shelf) = peer(&forge.world, "gossip");
    forge.world.run_slots(1);
    let victim = forge.world.nodes[0].peer();
    let good = forge.proof(&block.header);
    let mut other = good.clone();
    (other.set_id, other.commit.target_hash) = (7, Hash::repeat(7));
    for proof in [good, other] {
        let message = FinalityMessage::Justification(Box::new(proof));
        network.send(&victim, FINALITY_PROTOCOL, message.encode().into()).unwrap();
        forge.world.run_slots(1);
    }
    network.send(&victim, BLOCK_PROTOCOL, BlockMessage::Block(block.clone()).encode().into()).unwrap();
    forge.world.run_slots(2);
    assert_eq!(forge.world.chain(0).status().finalized, (block.hash(), 1));
}

#[test]
fn a_height_at_the_end_of_numbers_panics_nobody() {
    let world = World::started(90, 2, 0.0);
    let network = world.hub.join(MemoryHub::peer("end"));
    let mut events = network.open(BLOCK_PROTOCOL, handshake(&world)).unwrap();
    let header = Header {
        parent_hash: Hash::ZERO,
        number: u32::MAX,
        state_root: Hash::ZERO,
        extrinsics_root: Hash::ZERO,
        digest: Vec::new(),
    };
    let answers = async move {
        while let Some(event) = events.next().await {
            let NetworkEvent::Request { respond, .. } = event else { continue };
            let blocks = vec![Block { header: header.clone(), extrinsics: Vec::new() }; 7];
            let blocks = blocks.try_into().unwrap();
            let _ = respond.answer(BlockResponse { blocks, ..Default::default() }.encode().into());
        }
    };
    world.simulation.environment("end").spawner.spawn("answers", Box::pin(answers));
    network.connect(&world.nodes[0].peer(), &[]);
    world.run_slots(2);
    let have = BlockMessage::Have { hash: Hash::repeat(9), number: u32::MAX };
    network.send(&world.nodes[0].peer(), BLOCK_PROTOCOL, have.encode().into()).unwrap();
    world.run_slots(4);
    assert!(world.agreed() >= 2, "{:?}", world.statuses());
}

/// What somebody hears who comes to the first node.
#[derive(Default)]
struct Heard {
    connected: usize,
    disconnected: usize,
    messages: Vec<Bytes>,
}

/// Somebody who comes to the first node, and listens to one protocol.
fn newcomer(world: &World, name: &str, protocol: ProtocolId) -> (Arc<MemoryNetwork>, Arc<Mutex<Heard>>) {
    let network = world.hub.join(MemoryHub::peer(name));
    let mut events = network.open(protocol, handshake(world)).unwrap();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let hears = heard.clone();
    let listens = async move {
        while let Some(event) = events.next().await {
            let mut heard = hears.lock().unwrap();
            match event {
                NetworkEvent::Connected { .. } => heard.connected += 1,
                NetworkEvent::Disconnected { .. } => heard.disconnected += 1,
                NetworkEvent::Message { payload, .. } => heard.messages.push(payload),
                NetworkEvent::Request { .. } => {}
            }
        }
    };
    world.simulation.environment(name).spawner.spawn("listens", Box::pin(listens));
    network.connect(&world.nodes[0].peer(), &[]);
    (network, heard)
}

/// A tenth of a thousand validators votes twice: all votes of two rounds are more than a link takes messages.
#[test]
fn whoever_comes_is_told_the_votes_of_a_thousand_validators() {
    let pairs: Vec<Pair> = (0..1_000).map(|index| Pair::from_name(&format!("one of many {index}"))).collect();
    let mut world = World::new(92, 1, 0.0);
    world.genesis.validators = pairs.iter().map(|pair| ValidatorId(pair.public())).collect();
    world.start(0).unwrap();
    let victim = world.nodes[0].peer();
    let network = world.hub.join(MemoryHub::peer("votes"));
    let _events = network.open(FINALITY_PROTOCOL, handshake(&world)).unwrap();
    network.connect(&victim, &[]);
    world.run_slots(1);
    let say = |round: u64, (target_hash, target_number): (Hash, u32), voters: usize| {
        let prevote = Message::Prevote(Prevote { target_hash, target_number });
        let precommit = Message::Precommit(Precommit { target_hash, target_number });
        for message in [prevote, precommit] {
            let payload = vote_payload(0, round, &message);
            let votes = pairs[..voters].iter().map(|pair| {
                let signature = pair.sign(&payload, &mut SeedRng::new([target_number as u8; 32]));
                let signed = SignedVoteMessage { message: message.clone(), signature, id: ValidatorId(pair.public()) };
                Vote { set_id: 0, round, signed }
            });
            for message in FinalityMessage::pack(&votes.collect::<Vec<_>>()) {
                network.send(&victim, FINALITY_PROTOCOL, message.into()).unwrap();
            }
        }
        world.run_slots(1);
    };
    // The first round ends with everybody's votes; the second one is about blocks that have not come.
    say(1, (Hash::repeat(7), 5), 100);
    say(1, (world.genesis_hash(), 0), 1_000);
    say(2, (Hash::repeat(8), 6), 100);
    say(2, (Hash::repeat(9), 6), 1_000);
    let (_network, heard) = newcomer(&world, "newcomer", FINALITY_PROTOCOL);
    world.run_slots(1);
    let heard = heard.lock().unwrap();
    assert_eq!((heard.connected, heard.disconnected), (1, 0));
    let mut told = BTreeSet::new();
    for message in &heard.messages {
        let FinalityMessage::Votes(votes) = primitives::decode_limited(message, MAX_NOTIFICATION_BYTES).unwrap() else {
            continue;
        };
        told.extend(votes.iter().map(Encode::encode));
    }
    assert!(told.len() >= 4_400, "{} votes in {} messages", told.len(), heard.messages.len());
}

/// One validator accuses itself a dozen times, each time with a code of its own that is nearly too large for gossip: more
/// than a link takes at once.
#[test]
fn whoever_comes_is_told_all_transactions_however_large_they_are() {
    let forge = Forge::new(93);
    let common = forge.empty(forge.genesis(), 1).hash;
    let hashes: BTreeSet<Hash> = (0..12_u8)
        .map(|head| {
            let code: ValidationCode = vec![head; 900 * 1024].into();
            let mut candidate = forge.candidate(common, head);
            let mut fields = candidate.descriptor.fields();
            fields.validation_code_hash = code.hash();
            candidate.descriptor = CandidateDescriptor::new_v2(fields, crate::forge::CORE, 0).unwrap();
            let mut votes = forge.votes(candidate.hash(), &[], &[1]);
            votes.statements.push(forge.seconded(&candidate, 1));
            let dispute = RemoteDispute { candidate, validation_code: Some(code), votes };
            let submitted = forge.world.chain(0).submit(Extrinsic::RemoteDispute(Box::new(dispute)));
            forge.world.simulation.run_until(submitted).unwrap().unwrap()
        })
        .collect();
    let (_network, heard) = newcomer(&forge.world, "newcomer", TRANSACTION_PROTOCOL);
    forge.world.run_slots(2);
    let heard = heard.lock().unwrap();
    assert_eq!((heard.connected, heard.disconnected), (1, 0));
    let (mut whole, mut told) = (0, BTreeSet::new());
    for message in &heard.messages {
        match primitives::decode_limited(message, MAX_NOTIFICATION_BYTES).unwrap() {
            TransactionMessage::Transaction(transaction) => {
                whole += 1;
                told.extend([transaction_hash(&transaction)]);
            }
            TransactionMessage::Have(hashes) => told.extend(hashes),
        }
    }
    assert_eq!((whole, told), (4, hashes), "the rest by name");
}

/// Nothing was final for a while (the network stood still over night, or a dispute waits for votes). Two of seven
/// validators take up the turns that they have let pass: two blocks in each.
#[test]
fn validators_that_take_up_old_turns_keep_nobody_elses_blocks_out() {
    let mut forge = Forge::new(91);
    forge.world.run_slots(10);
    let genesis = forge.genesis();
    let (header, state) = (forge.header(genesis), forge.state(genesis));
    let first = forge.slot_now();
    forge.world.run_slots(1_900);
    let mut taken = 0;
    for slot in (first..forge.slot_now()).filter(|slot| slot % 7 < 2) {
        for block in forge.kept_back(&header, &state, slot, BLOCKS_PER_CLAIM_MAX as u8).0 {
            let imported = forge.world.simulation.run_until(forge.world.chain(0).import(block)).unwrap();
            taken += usize::from(imported.is_ok());
        }
    }
    assert_eq!(taken, MAX_UNFINALIZED_BLOCKS);
    let full = forge.world.chain(0).held().blocks;
    let mut feed = forge.world.client(0).subscribe();
    // The others' blocks are taken: one beside all of those, and what follows it, with votes on a dispute or whatever else
    // finality waits for.
    while (forge.slot_now() + 1) % 7 < 2 {
        forge.world.run_slots(1);
    }
    let fork = forge.empty(genesis, 4).hash;
    assert_eq!(forge.best(), fork);
    forge.empty(fork, 20);
    assert_eq!(forge.world.chain(0).held().blocks, full, "one goes for each that comes");
    let is_dropped = |event: &ChainEvent| matches!(event, ChainEvent::Reverted { abandoned } if abandoned.len() == 1);
    let events = told(&forge.world, &mut feed);
    assert_eq!(events.iter().filter(|event| is_dropped(event)).count(), 24, "readers are told");
    let on_disk = storage(&forge.world, 0);
    let on_disk = forge.world.simulation.run_until(on_disk.blocks(1, MAX_UNFINALIZED_DEPTH)).unwrap().unwrap();
    assert_eq!(on_disk.len(), MAX_UNFINALIZED_BLOCKS);
    let best = forge.best();
    forge.world.crash(0, Crash::Forget);
    forge.world.start(0).unwrap();
    assert_eq!((forge.world.chain(0).held().blocks, forge.best()), (full, best));
}

/// A thousand validators each check a candidate of each block. Before the block that carries the checks of the first one
/// is final, those of the second one come.
#[test]
fn the_checks_of_two_blocks_by_a_thousand_validators_wait_together() {
    let mut pool = TransactionPool::default();
    for (candidate, validator) in (0..2).flat_map(|candidate| (0..1_000_u32).map(move |index| (candidate, index))) {
        let vrf = VrfSignature { pre_output: [1; 32], proof: [1; 64] };
        let check = SecondaryAttestation {
            session: 0,
            candidate: CandidateHash(Hash::repeat(candidate)),
            validator: ValidatorIndex(validator),
            assignment: Assignment { kind: AssignmentKind::OneShot, equivocated: false, vrf },
            signature: Signature::default(),
        };
        let from = PeerId::new(&(validator % 16).to_le_bytes()).unwrap();
        assert_eq!(pool.add(Extrinsic::Attestation(Box::new(check)), Some(&from)), Some(true), "of {}", pool.len());
    }
}

/// Newcomers are told what waits, but not what comes with the best chain.
#[test]
fn what_the_best_chain_carries_waits_again_when_another_one_is_best() {
    let forge = Forge::new(94);
    let common = forge.empty(forge.genesis(), 1).hash;
    let candidate = forge.candidate(common, 1);
    let mut votes = forge.votes(candidate.hash(), &[], &[1]);
    votes.statements.push(forge.seconded(&candidate, 0));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let dispute = Extrinsic::RemoteDispute(Box::new(RemoteDispute { candidate, validation_code: None, votes }));
    forge.world.simulation.run_until(forge.world.chain(0).submit(dispute.clone())).unwrap().unwrap();
    let waiting = |name: &str| {
        let (_network, heard) = newcomer(&forge.world, name, TRANSACTION_PROTOCOL);
        forge.world.run_slots(1);
        let heard = heard.lock().unwrap();
        (heard.connected, heard.messages.len())
    };
    assert_eq!(waiting("before"), (1, 1));
    let carrying = forge.with(common, vec![dispute.clone()]);
    assert_eq!((forge.best(), waiting("carried")), (carrying.hash, (1, 0)));
    let longer = forge.empty(common, 2);
    assert_eq!((forge.best(), waiting("left")), (longer.hash, (1, 1)));
    let carrying = forge.with(longer.hash, vec![dispute]);
    assert_eq!((forge.best(), waiting("carried again")), (carrying.hash, (1, 0)));
    // Finality leaves the best chain for a shorter one.
    let shorter = forge.empty(common, 1);
    let (network, _shelf) = peer(&forge.world, "gossip");
    forge.world.run_slots(1);
    let message = FinalityMessage::Justification(Box::new(forge.proof(&forge.header(shorter.hash))));
    network.send(&forge.world.nodes[0].peer(), FINALITY_PROTOCOL, message.encode().into()).unwrap();
    forge.world.run_slots(1);
    assert_eq!((forge.best(), waiting("final")), (shorter.hash, (1, 1)));
}

/// Of two for one place the one that is in no block takes no place, as long as the other one is in the best chain.
#[test]
fn what_the_best_block_refuses_waits_again_when_another_one_is_best() {
    let forge = Forge::new(95);
    let common = forge.empty(forge.genesis(), 1).hash;
    let changes = [7, 8].map(|blocks| {
        let change = Governance::ConfigureField(ConfigurationChange::AcceptancePeriod(blocks));
        signed_by(forge.pairs.iter(), &forge.state(common), change)
    });
    for change in &changes {
        forge.world.simulation.run_until(forge.world.chain(0).submit(change.clone())).unwrap().unwrap();
    }
    let waiting = |name: &str| {
        let (_network, heard) = newcomer(&forge.world, name, TRANSACTION_PROTOCOL);
        forge.world.run_slots(1);
        let heard = heard.lock().unwrap();
        (heard.connected, heard.messages.len())
    };
    assert_eq!(waiting("before"), (1, 2));
    let [first, _] = changes;
    let carrying = forge.with(common, vec![first]);
    assert_eq!((forge.best(), waiting("refused")), (carrying.hash, (1, 0)));
    let longer = forge.empty(common, 2);
    assert_eq!((forge.best(), waiting("taken")), (longer.hash, (1, 2)));
}
