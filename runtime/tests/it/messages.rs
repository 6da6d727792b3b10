//! Message queues: what candidates may send and receive, what inclusion makes of it, and who keeps the channels.

use crate::support::*;
use codec::Decode;
use primitives::{
    Hash, HostConfiguration, InboundDownwardMessage, InboundHrmpMessage, OutboundHrmpMessage, ParaId,
    configuration::AbridgedHrmpChannel, limits::MAX_QUEUE_BYTES, messages::HrmpChannelId, well_known_keys as keys,
};
use runtime::{
    BlockError, CandidateError, ChannelError, ConfigurationChange, DownwardError, Extrinsic, ExtrinsicError,
    GenesisPara, Governance, GovernanceError, MessageError,
    limits::{
        CHANNEL_MESSAGE_OVERHEAD, MAX_CHANNELS_BYTES, MAX_CHANNELS_PER_PARA, MAX_DOWNWARD_MESSAGES,
        MAX_DOWNWARD_QUEUE_SIZE,
    },
};

const NOBODY: ParaId = ParaId(9999);

fn channel(sender: ParaId, recipient: ParaId) -> HrmpChannelId {
    HrmpChannelId { sender, recipient }
}

fn open(sender: ParaId, recipient: ParaId) -> Governance {
    Governance::OpenChannel(channel(sender, recipient))
}

fn down(bytes: &[u8]) -> Governance {
    Governance::SendDownward(ONE, bytes.to_vec())
}

fn next_session(chain: &mut Chain) {
    chain.skip_to((chain.state.session_index() + 1) * chain.state.session_length());
}

/// Para one may send to the other parachain and to the parathread.
fn joined(change: impl FnOnce(&mut HostConfiguration)) -> Chain {
    let mut chain = Chain::with(9, |genesis| {
        genesis.session_length = 20;
        change(&mut genesis.configuration);
    });
    chain.govern(open(ONE, TWO));
    chain.govern(open(ONE, THREAD));
    next_session(&mut chain);
    chain
}

fn sending(chain: &Chain, messages: &[(ParaId, &[u8])]) -> Draft {
    let mut draft = chain.draft(ONE, CORE_0);
    let messages = messages.iter().map(|(recipient, data)| (*recipient, data.to_vec()));
    let messages: Vec<_> = messages.map(|(recipient, data)| OutboundHrmpMessage { recipient, data }).collect();
    draft.commitments.horizontal_messages = messages.try_into().unwrap();
    draft
}

fn back(draft: &Draft, chain: &mut Chain) {
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(draft)];
    chain.push(inherent);
}

fn include(draft: &Draft, chain: &mut Chain) {
    back(draft, chain);
    chain.push(chain.attesting(9, &[draft.core.0]));
}

fn refusal(chain: &Chain, draft: &Draft) -> MessageError {
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(draft)];
    match chain.try_block(inherent, Vec::new()).unwrap_err() {
        BlockError::Candidate { error: CandidateError::Messages(error), .. } => error,
        other => panic!("refused for another reason: {other}"),
    }
}

fn inbound(chain: &Chain) -> Vec<InboundHrmpMessage> {
    chain.state.inbound_horizontal_messages(TWO).remove(&ONE).unwrap()
}

fn refused(chain: &Chain, change: Governance) -> GovernanceError {
    chain.state.governed(change).unwrap_err()
}

fn read<T: Decode>(chain: &Chain, key: &[u8]) -> Option<T> {
    chain.state.storage().get(key).map(|value| T::decode(&mut &value[..]).unwrap())
}

#[test]
fn what_a_candidate_sends_to_other_paras_keeps_to_each_limit() {
    let chain = joined(|configuration| {
        configuration.hrmp_max_message_num_per_candidate = 2;
        configuration.hrmp_channel_max_message_size = 8;
    });
    let refusal = |messages: &[(ParaId, &[u8])]| refusal(&chain, &sending(&chain, messages));
    assert_eq!(refusal(&[(ONE, &[]), (TWO, &[]), (THREAD, &[])]), MessageError::TooManyHorizontal { found: 3, max: 2 });
    assert_eq!(refusal(&[(THREAD, &[]), (TWO, &[])]), MessageError::RecipientOrder { first: THREAD, second: TWO });
    assert_eq!(refusal(&[(TWO, &[]), (TWO, &[])]), MessageError::RecipientOrder { first: TWO, second: TWO });
    assert_eq!(refusal(&[(TWO, &[]), (NOBODY, &[])]), MessageError::NoChannel(NOBODY));
    assert_eq!(refusal(&[(TWO, &[1; 9])]), MessageError::HorizontalSize { recipient: TWO, found: 9, max: 8 });
    let mut accepted = chain.clone();
    back(&sending(&chain, &[(TWO, &[1; 8]), (THREAD, &[2])]), &mut accepted);
    assert!(accepted.state.pending_candidate(CORE_0).is_some());
}

#[test]
fn a_channel_leads_one_way() {
    let chain = joined(|_| {});
    let mut draft = chain.draft(TWO, CORE_1);
    draft.commitments.horizontal_messages =
        vec![OutboundHrmpMessage { recipient: ONE, data: vec![1] }].try_into().unwrap();
    assert_eq!(refusal(&chain, &draft), MessageError::NoChannel(ONE));
}

#[test]
fn a_channel_holds_so_many_messages_and_bytes() {
    let mut few = joined(|configuration| configuration.hrmp_channel_max_capacity = 1);
    include(&sending(&few, &[(TWO, &[1])]), &mut few);
    assert_eq!(
        refusal(&few, &sending(&few, &[(TWO, &[])])),
        MessageError::ChannelCapacity { recipient: TWO, queued: 1, max: 1 }
    );
    let mut small = joined(|configuration| configuration.hrmp_channel_max_total_size = 10);
    include(&sending(&small, &[(TWO, &[1; 6])]), &mut small);
    assert_eq!(
        refusal(&small, &sending(&small, &[(TWO, &[1; 5])])),
        MessageError::ChannelSize { recipient: TWO, found: 11, max: 10 }
    );
    include(&sending(&small, &[(TWO, &[1; 4])]), &mut small);
    assert_eq!(inbound(&small).len(), 2);
}

#[test]
fn messages_wait_from_inclusion_until_the_recipients_watermark_passes_them() {
    let mut chain = joined(|_| {});
    let draft = sending(&chain, &[(TWO, &[1]), (THREAD, &[9])]);
    back(&draft, &mut chain);
    assert!(inbound(&chain).is_empty(), "it is not included");
    chain.push(chain.attesting(9, &[0]));
    let first = InboundHrmpMessage { sent_at: chain.state.number(), data: vec![1] };
    assert_eq!(inbound(&chain), vec![first.clone()]);
    let receiving = chain.draft(TWO, CORE_1);
    include(&sending(&chain, &[(TWO, &[2, 2])]), &mut chain);
    let second = InboundHrmpMessage { sent_at: chain.state.number(), data: vec![2, 2] };
    assert_eq!(inbound(&chain), [first.clone(), second.clone()]);
    // Its relay parent shows the first message only.
    include(&receiving, &mut chain);
    assert_eq!(inbound(&chain), [second]);
    assert_eq!(chain.state.hrmp_watermark(TWO), Some(first.sent_at));
    let draft = chain.draft(TWO, CORE_1);
    include(&draft, &mut chain);
    assert!(inbound(&chain).is_empty());
    assert_eq!(chain.state.inbound_horizontal_messages(THREAD)[&ONE].len(), 1, "the other channel is not touched");
}

#[test]
fn a_watermark_before_the_relay_parent_is_a_block_that_sent_something() {
    let mut chain = joined(|_| {});
    include(&sending(&chain, &[(TWO, &[1])]), &mut chain);
    let first = chain.state.number();
    include(&sending(&chain, &[(TWO, &[2])]), &mut chain);
    let (second, relay_parent) = (first + 2, chain.state.number() + 1);
    chain.skip(1);
    let at = |chain: &Chain, watermark| {
        let mut draft = chain.draft(TWO, CORE_1);
        draft.commitments.hrmp_watermark = watermark;
        draft
    };
    for found in [first - 1, first + 1] {
        assert_eq!(refusal(&chain, &at(&chain, found)), MessageError::EmptyWatermark { found, relay_parent });
    }
    let found = relay_parent + 1;
    let beyond = MessageError::Watermark { found, least: 0, most: relay_parent };
    assert_eq!(refusal(&chain, &at(&chain, found)), beyond);
    include(&at(&chain, first), &mut chain);
    assert_eq!(inbound(&chain), [InboundHrmpMessage { sent_at: second, data: vec![2] }]);
    let back_again = MessageError::Watermark { found: first - 1, least: first, most: relay_parent + 2 };
    assert_eq!(refusal(&chain, &at(&chain, first - 1)), back_again);
    let stays = MessageError::EmptyWatermark { found: first, relay_parent: relay_parent + 2 };
    assert_eq!(refusal(&chain, &at(&chain, first)), stays, "what was received is received once");
    include(&at(&chain, second), &mut chain);
    assert!(inbound(&chain).is_empty());
}

#[test]
fn a_downward_queue_is_bounded() {
    let mut chain = Chain::with(9, |genesis| genesis.configuration.max_downward_message_size = 64 * 1024);
    let unknown = refused(&chain, Governance::SendDownward(NOBODY, vec![]));
    assert_eq!(unknown, GovernanceError::Downward(DownwardError::UnknownPara(NOBODY)));
    let (found, max) = (64 * 1024 + 1, 64 * 1024);
    let large = refused(&chain, down(&vec![0; found]));
    assert_eq!(large, GovernanceError::Downward(DownwardError::MessageSize { found, max }));
    let mut full = chain.clone();
    for _ in 0..MAX_DOWNWARD_MESSAGES {
        full.state = full.state.governed(down(&[])).unwrap();
    }
    assert_eq!(refused(&full, down(&[])), GovernanceError::Downward(DownwardError::QueueFull(ONE)));
    for _ in 0..16 {
        chain.govern(down(&[1; 64 * 1024]));
    }
    let found = MAX_DOWNWARD_QUEUE_SIZE + 1;
    let error = DownwardError::QueueSize { para: ONE, found };
    assert_eq!(refused(&chain, down(&[1])), GovernanceError::Downward(error.clone()));
    let signed = chain.governance(down(&[1]), &[0, 1, 2, 3, 4, 5, 6]);
    let in_a_block = chain.refused(Extrinsic::Governed(Box::new(signed)));
    assert_eq!(in_a_block, ExtrinsicError::Governance(GovernanceError::Downward(error)));
}

#[test]
fn a_candidate_processes_at_least_one_downward_message_and_none_that_it_cannot_see() {
    let mut chain = Chain::new(9);
    chain.skip(2);
    let blind = chain.draft(ONE, CORE_0);
    chain.enact(down(&[1]));
    chain.enact(down(&[2]));
    let processing = |chain: &Chain, found| {
        let mut draft = chain.draft(ONE, CORE_0);
        draft.commitments.processed_downward_messages = found;
        draft
    };
    for found in [0, 3, u32::MAX] {
        let expected = MessageError::DownwardCount { found, least: 1, most: 2 };
        assert_eq!(refusal(&chain, &processing(&chain, found)), expected);
    }
    // Its relay parent was before the messages.
    let mut other = chain.clone();
    include(&blind, &mut other);
    assert_eq!(other.state.downward_messages(ONE).len(), 2);
    back(&processing(&chain, 1), &mut chain);
    assert_eq!(chain.state.downward_messages(ONE).len(), 2, "it is not included");
    chain.push(chain.attesting(9, &[0]));
    assert_eq!(chain.state.downward_messages(ONE), [InboundDownwardMessage { sent_at: 4, msg: vec![2] }]);
    include(&processing(&chain, 1), &mut chain);
    assert!(chain.state.downward_messages(ONE).is_empty());
    let expected = MessageError::DownwardCount { found: 1, least: 0, most: 0 };
    assert_eq!(refusal(&chain, &processing(&chain, 1)), expected);
}

#[test]
fn channels_open_and_close_with_the_session() {
    let mut chain = Chain::with(9, |genesis| genesis.session_length = 20);
    let error = |chain: &Chain, change| match refused(chain, change) {
        GovernanceError::Channel(error) => error,
        other => panic!("refused for another reason: {other}"),
    };
    let close = || Governance::CloseChannel(channel(ONE, TWO));
    assert_eq!(error(&chain, open(ONE, ONE)), ChannelError::ToItself(ONE));
    assert_eq!(error(&chain, open(ONE, NOBODY)), ChannelError::UnknownPara(NOBODY));
    assert_eq!(error(&chain, open(NOBODY, ONE)), ChannelError::UnknownPara(NOBODY));
    assert_eq!(error(&chain, close()), ChannelError::NotOpen(channel(ONE, TWO)));
    chain.enact(open(ONE, TWO));
    assert_eq!(error(&chain, open(ONE, TWO)), ChannelError::IsOpen(channel(ONE, TWO)));
    assert_eq!(refusal(&chain, &sending(&chain, &[(TWO, &[1])])), MessageError::NoChannel(TWO), "not yet");
    let mut withdrawn = chain.clone();
    withdrawn.enact(close());
    next_session(&mut withdrawn);
    assert!(withdrawn.state.inbound_horizontal_messages(TWO).is_empty());
    next_session(&mut chain);
    include(&sending(&chain, &[(TWO, &[1])]), &mut chain);
    chain.enact(close());
    assert_eq!(error(&chain, close()), ChannelError::NotOpen(channel(ONE, TWO)));
    assert_eq!(inbound(&chain).len(), 1, "until the session ends nothing is lost");
    let mut kept = chain.clone();
    kept.enact(open(ONE, TWO));
    next_session(&mut kept);
    assert_eq!(inbound(&kept).len(), 1, "it was closed and opened in one session");
    next_session(&mut chain);
    assert!(chain.state.inbound_horizontal_messages(TWO).is_empty());
    assert_eq!(refusal(&chain, &sending(&chain, &[(TWO, &[1])])), MessageError::NoChannel(TWO));
}

#[test]
fn a_para_has_so_many_channels_in_each_direction() {
    let count = MAX_CHANNELS_PER_PARA as u32 + 1;
    let para = |index: u32| ParaId(4000 + index);
    let mut chain = Chain::with(4, |genesis| {
        for index in 0..count {
            let id = para(index);
            genesis.paras.push(runtime::GenesisPara { id, is_parachain: false, ..genesis.paras[0].clone() });
        }
    });
    for index in 0..count - 1 {
        chain.state = chain.state.governed(open(ONE, para(index))).unwrap();
        chain.state = chain.state.governed(open(para(index), TWO)).unwrap();
    }
    let last = para(count - 1);
    assert_eq!(refused(&chain, open(ONE, last)), GovernanceError::Channel(ChannelError::TooMany(ONE)));
    assert_eq!(refused(&chain, open(last, TWO)), GovernanceError::Channel(ChannelError::TooMany(TWO)));
    assert!(chain.state.governed(open(TWO, ONE)).is_ok(), "the other direction has room");
}

#[test]
fn the_queues_of_a_para_leave_with_it() {
    let mut chain = joined(|_| {});
    chain.govern(open(TWO, ONE));
    next_session(&mut chain);
    include(&sending(&chain, &[(TWO, &[1]), (THREAD, &[2])]), &mut chain);
    chain.enact(Governance::SendDownward(TWO, vec![3]));
    chain.enact(Governance::CleanupPara(TWO));
    assert_eq!(chain.state.downward_messages(TWO).len(), 1);
    next_session(&mut chain);
    assert!(chain.state.downward_messages(TWO).is_empty());
    assert!(chain.state.inbound_horizontal_messages(TWO).is_empty());
    assert!(chain.state.inbound_horizontal_messages(ONE).is_empty());
    assert_eq!(chain.state.inbound_horizontal_messages(THREAD)[&ONE].len(), 1, "what is between others stays");
    assert_eq!(read::<Hash>(&chain, &keys::dmq_mqc_head(TWO)), None);
}

#[test]
fn a_channel_to_a_para_that_leaves_in_the_same_session_never_opens() {
    let mut chain = Chain::with(9, |genesis| genesis.session_length = 20);
    chain.enact(open(ONE, TWO));
    chain.enact(Governance::CleanupPara(TWO));
    next_session(&mut chain);
    assert!(chain.state.inbound_horizontal_messages(TWO).is_empty());
}

/// A fork that is given up leaves nothing in the queues of the other one.
#[test]
fn each_fork_has_its_own_queues() {
    let mut chain = joined(|_| {});
    chain.enact(down(&[1]));
    let mut draft = sending(&chain, &[(TWO, &[5])]);
    draft.commitments.processed_downward_messages = 1;
    back(&draft, &mut chain);
    let mut other = chain.clone();
    let before = (other.state.downward_messages(ONE), inbound(&other), other.state.hrmp_watermark(ONE));
    chain.push(chain.attesting(9, &[0]));
    chain.enact(down(&[2]));
    other.skip(1);
    assert_eq!((other.state.downward_messages(ONE), inbound(&other), other.state.hrmp_watermark(ONE)), before);
    let sent_at = other.state.number();
    assert_eq!(inbound(&chain), [InboundHrmpMessage { sent_at, data: vec![5] }]);
    assert_eq!(chain.state.downward_messages(ONE), [InboundDownwardMessage { sent_at: sent_at + 1, msg: vec![2] }]);
    other.push(other.attesting(9, &[0]));
    assert_eq!(inbound(&other), [InboundHrmpMessage { sent_at: sent_at + 1, data: vec![5] }]);
    assert!(other.state.downward_messages(ONE).is_empty());
}

#[test]
fn parachain_code_can_read_the_heads_of_its_queues_and_its_channels() {
    let mut chain = joined(|_| {});
    assert_eq!(read::<Hash>(&chain, &keys::dmq_mqc_head(ONE)), None);
    let link = |head: Hash, sent_at: u32, data: Vec<u8>| Hash::of(&(head, sent_at, Hash::of(&data)));
    chain.enact(down(&[1, 2]));
    let head = link(Hash::ZERO, chain.state.number(), vec![1, 2]);
    assert_eq!(read(&chain, &keys::dmq_mqc_head(ONE)), Some(head));
    assert_eq!(read(&chain, &keys::hrmp_ingress_channel_index(TWO)), Some(vec![ONE]));
    assert_eq!(read(&chain, &keys::hrmp_egress_channel_index(ONE)), Some(vec![TWO, THREAD]));
    assert_eq!(read::<Vec<ParaId>>(&chain, &keys::hrmp_egress_channel_index(TWO)), None);
    let key = keys::hrmp_channels(channel(ONE, TWO));
    let configuration = HostConfiguration::default();
    let empty = AbridgedHrmpChannel {
        max_capacity: configuration.hrmp_channel_max_capacity,
        max_total_size: configuration.hrmp_channel_max_total_size,
        max_message_size: configuration.hrmp_channel_max_message_size,
        msg_count: 0,
        total_size: 0,
        mqc_head: None,
    };
    assert_eq!(read(&chain, &key), Some(empty.clone()));
    let mut draft = sending(&chain, &[(TWO, &[7; 3])]);
    draft.commitments.processed_downward_messages = 1;
    include(&draft, &mut chain);
    let mqc_head = Some(link(Hash::ZERO, chain.state.number(), vec![7; 3]));
    assert_eq!(read(&chain, &key), Some(AbridgedHrmpChannel { msg_count: 1, total_size: 3, mqc_head, ..empty }));
    assert_eq!(read(&chain, &keys::dmq_mqc_head(ONE)), Some(head), "the chain goes on where it was");
    let proof = chain.state.state_proof(std::slice::from_ref(&key));
    assert_eq!(proof.read(chain.state.root(), &key), Ok(chain.state.storage().get(&key).cloned()));
}

#[test]
fn limits_that_shrink_let_nothing_more_in() {
    let mut chain = joined(|_| {});
    include(&sending(&chain, &[(TWO, &[1])]), &mut chain);
    chain.enact(Governance::ConfigureField(ConfigurationChange::HrmpChannelMaxCapacity(0)));
    next_session(&mut chain);
    assert_eq!(inbound(&chain).len(), 1);
    assert_eq!(
        refusal(&chain, &sending(&chain, &[(TWO, &[])])),
        MessageError::ChannelCapacity { recipient: TWO, queued: 1, max: 0 }
    );
}

#[test]
fn all_channels_together_hold_what_a_snapshot_has_room_for() {
    let first = 4000;
    let mut chain = Chain::with(9, |genesis| {
        let parathread = genesis.paras.iter().find(|para| !para.is_parachain).unwrap().clone();
        genesis.paras.extend((first..first + 12).map(|id| GenesisPara { id: ParaId(id), ..parathread.clone() }));
        genesis.configuration.hrmp_channel_max_total_size = MAX_QUEUE_BYTES;
        genesis.configuration.hrmp_channel_max_capacity = 0;
    });
    let mut all = (first..first + 12).flat_map(|sender| {
        let others = (first..first + 12).filter(move |recipient| *recipient != sender);
        others.map(move |recipient| open(ParaId(sender), ParaId(recipient)))
    });
    let room = MAX_CHANNELS_BYTES / u64::from(MAX_QUEUE_BYTES);
    for change in all.by_ref().take(room as usize) {
        chain.state = chain.state.governed(change).unwrap();
    }
    let more = GovernanceError::ChannelsBytes((room + 1) * u64::from(MAX_QUEUE_BYTES));
    assert_eq!(refused(&chain, all.next().unwrap()), more);
    let wider = ConfigurationChange::HrmpChannelMaxCapacity(1);
    let more = GovernanceError::ChannelsBytes(room * u64::from(MAX_QUEUE_BYTES + CHANNEL_MESSAGE_OVERHEAD));
    assert_eq!(refused(&chain, Governance::ConfigureField(wider)), more, "messages take room beside their bytes");
    let narrower = ConfigurationChange::HrmpChannelMaxTotalSize(MAX_QUEUE_BYTES / 2);
    chain.state = chain.state.governed(Governance::ConfigureField(narrower)).unwrap();
    assert!(chain.state.governed(all.next().unwrap()).is_ok());
}
