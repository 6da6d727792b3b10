use proptest::prelude::*;

use super::*;

fn header(parent: Hash, number: BlockNumber, salt: u8) -> Header {
    Header {
        parent_hash: parent,
        number,
        state_root: Hash::default(),
        extrinsics_root: Hash::from([salt; 32]),
        digest: Vec::new(),
    }
}

/// A block whose author is the `salt`.
fn block(parent: Hash, number: BlockNumber, slot: Slot, salt: u8, is_primary: bool) -> NewBlock<()> {
    let header = header(parent, number, salt);
    let author = ValidatorIndex(salt.into());
    NewBlock { hash: header.hash(), header, slot, author, is_primary, data: () }
}

fn genesis() -> NewBlock<()> {
    block(Hash::default(), 0, 0, 0, false)
}

/// Adds a child and returns its hash.
fn grow(tree: &mut Tree<()>, parent: Hash, salt: u8, is_primary: bool) -> Hash {
    let entry = tree.get(&parent).unwrap();
    let child = block(parent, entry.header.number + 1, entry.slot + 1, salt, is_primary);
    let hash = child.hash;
    tree.insert(child).unwrap();
    hash
}

#[test]
fn fork_choice_is_height_then_primaries_then_lowest_hash() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let short_primary = grow(&mut tree, root.hash, 1, true);
    let secondary = grow(&mut tree, root.hash, 2, false);
    assert_eq!(tree.best().0, short_primary, "of equal height the primary wins");
    let long = grow(&mut tree, secondary, 3, false);
    assert_eq!(tree.best().0, long, "height goes before primaries");
    let twin = grow(&mut tree, secondary, 4, false);
    assert_eq!(tree.best().0, long.min(twin), "the lowest hash decides");
    let catch_up = grow(&mut tree, short_primary, 5, false);
    assert_eq!(tree.best().0, catch_up, "its chain has more primaries");
    assert_eq!(tree.leaves(), vec![catch_up, long.min(twin), long.max(twin)]);
    assert_eq!(tree.best_containing(&secondary), Some(long.min(twin)));
    assert_eq!(tree.best_containing(&root.hash), Some(catch_up));
}

#[test]
fn refusals_name_what_is_wrong_and_change_nothing() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let a = grow(&mut tree, root.hash, 1, false);
    let b = grow(&mut tree, root.hash, 2, false);
    let a2 = grow(&mut tree, a, 1, false);
    tree.finalize(a).unwrap();
    let unknown = Hash::from([9; 32]);
    let slot_of_a = tree.get(&a).unwrap().slot;
    let cases = [
        (block(a, 2, slot_of_a + 1, 1, false), TreeError::Known(a2)),
        (block(unknown, 2, 9, 7, false), TreeError::UnknownParent { block: Hash::default(), parent: unknown }),
        (block(b, 2, 9, 7, false), TreeError::UnknownParent { block: Hash::default(), parent: b }),
        (block(root.hash, 1, 9, 7, false), TreeError::Stale(Hash::default())),
        (block(root.hash, 2, 9, 7, false), TreeError::Number { block: Hash::default(), found: 2, expected: 1 }),
        (block(a, 7, 9, 7, false), TreeError::Number { block: Hash::default(), found: 7, expected: 2 }),
        (
            block(a, 2, slot_of_a, 7, false),
            TreeError::Slot { block: Hash::default(), found: slot_of_a, parent: slot_of_a },
        ),
    ];
    for (bad, mut expected) in cases {
        let hash = bad.hash;
        match &mut expected {
            TreeError::UnknownParent { block, .. }
            | TreeError::Number { block, .. }
            | TreeError::Slot { block, .. }
            | TreeError::Stale(block) => *block = hash,
            TreeError::Known(_) | TreeError::Full(_) | TreeError::Unknown(_) => {}
        }
        let before = (tree.blocks.len(), tree.best().0);
        assert_eq!(tree.insert(bad), Err(expected));
        assert_eq!((tree.blocks.len(), tree.best().0), before);
    }
    assert_eq!(tree.finalize(unknown), Err(TreeError::Unknown(unknown)));
    assert_eq!(tree.finalize(root.hash), Err(TreeError::Stale(root.hash)));
}

#[test]
fn finalization_drops_dead_forks_and_names_their_heads() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let a = grow(&mut tree, root.hash, 1, false);
    let b = grow(&mut tree, root.hash, 2, true);
    let b2 = grow(&mut tree, b, 2, true);
    let b3 = grow(&mut tree, b2, 2, true);
    let b3_twin = grow(&mut tree, b2, 3, true);
    let a2 = grow(&mut tree, a, 1, false);
    assert_eq!(tree.best().0, b3.min(b3_twin));
    let done = tree.finalize(a).unwrap();
    assert_eq!(done.newly, vec![(1, a)]);
    let mut stale = done.stale_heads.clone();
    stale.sort();
    let mut expected = vec![b3, b3_twin];
    expected.sort();
    assert_eq!(stale, expected);
    assert_eq!(done.removed.len(), 4);
    assert_eq!(tree.best().0, a2, "the best head moved to what is alive");
    assert_eq!(tree.leaves(), vec![a2]);
    let done = tree.finalize(a2).unwrap();
    assert_eq!(done.newly, vec![(2, a2)]);
    assert_eq!(tree.leaves(), vec![a2], "with nothing above it, the finalized block is the leaf");
}

#[test]
fn finalized_tail_and_unfinalized_blocks_are_bounded() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let mut head = root.hash;
    for _ in 0..MAX_UNFINALIZED_DEPTH {
        head = grow(&mut tree, head, 0, false);
    }
    let entry = tree.get(&head).unwrap();
    let beyond = block(head, entry.header.number + 1, entry.slot + 1, 0, false);
    assert_eq!(tree.insert(beyond.clone()), Err(TreeError::Full(beyond.hash)));
    let done = tree.finalize(head).unwrap();
    assert_eq!(done.newly.len(), MAX_UNFINALIZED_DEPTH as usize);
    assert_eq!(tree.blocks.len(), FINALIZED_BLOCKS_KEPT);
    assert_eq!(tree.oldest().1.header.number, MAX_UNFINALIZED_DEPTH + 1 - FINALIZED_BLOCKS_KEPT as u32);
    tree.insert(beyond).unwrap();
    assert_eq!(tree.unfinalized(), 1);
}

#[test]
fn ancestry_is_in_order_and_none_across_forks() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let a = grow(&mut tree, root.hash, 1, false);
    let a2 = grow(&mut tree, a, 1, false);
    let a3 = grow(&mut tree, a2, 1, false);
    let b = grow(&mut tree, root.hash, 2, false);
    assert_eq!(tree.ancestry(&root.hash, &a3), Some(vec![a2, a]));
    assert_eq!(tree.ancestry(&a2, &a3), Some(vec![]));
    assert_eq!(tree.ancestry(&a3, &a3), None);
    assert_eq!(tree.ancestry(&b, &a3), None);
    assert!(tree.is_descendant_or_equal(&a3, &a3));
    assert!(!tree.is_descendant_or_equal(&a3, &a2));
    assert_eq!(tree.ancestor_at(&a3, 1), Some(a));
    assert_eq!(tree.ancestor_at(&a3, 4), None);
}

proptest! {
    /// Any order in which parents come before children gives the same head, and finalizing along the best chain
    /// keeps it.
    #[test]
    fn order_of_arrival_does_not_matter(parents in prop::collection::vec((any::<u16>(), any::<bool>()), 1..40), keys in prop::collection::vec(any::<u32>(), 40), cut in any::<u16>()) {
        let root = genesis();
        let mut tree = Tree::new(root.clone());
        let mut hashes = vec![root.hash];
        let mut blocks = Vec::new();
        for (index, (pick, is_primary)) in parents.iter().enumerate() {
            let parent = hashes[usize::from(*pick) % hashes.len()];
            let entry = tree.get(&parent).unwrap();
            let child = block(parent, entry.header.number + 1, entry.slot + 1, index as u8 + 1, *is_primary);
            hashes.push(child.hash);
            blocks.push(child.clone());
            tree.insert(child).unwrap();
        }
        let mut other = Tree::new(root);
        let mut open: Vec<(u32, NewBlock<()>)> = keys.into_iter().zip(blocks).collect();
        open.sort_by_key(|(key, _)| *key);
        while !open.is_empty() {
            let next = open.iter().position(|(_, block)| other.contains(&block.header.parent_hash)).unwrap();
            other.insert(open.remove(next).1).unwrap();
        }
        prop_assert_eq!(tree.best().0, other.best().0);
        prop_assert_eq!(tree.leaves(), other.leaves());
        let best = tree.best().0;
        let height = tree.best().1.header.number;
        let target = tree.ancestor_at(&best, 1 + u32::from(cut) % height).unwrap();
        let done = tree.finalize(target).unwrap();
        prop_assert_eq!(tree.best().0, best);
        prop_assert_eq!(tree.unfinalized() + done.removed.len() + done.newly.len(), parents.len());
        for leaf in tree.leaves() {
            prop_assert!(tree.is_descendant_or_equal(&target, &leaf));
        }
    }
}

#[test]
fn a_fork_that_is_given_up_is_no_head_and_gets_none() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let good = grow(&mut tree, root.hash, 1, true);
    let bad = grow(&mut tree, good, 2, true);
    let worse = grow(&mut tree, bad, 3, true);
    let other = grow(&mut tree, root.hash, 4, false);
    assert!(!tree.give_up(&root.hash), "what is final stays");
    assert!(!tree.give_up(&Hash::from([9; 32])));
    assert!(tree.give_up(&bad));
    assert_eq!(tree.best().0, good, "the last good ancestor, for its primary");
    assert_eq!(tree.leaves(), vec![good, other]);
    assert_eq!(tree.best_containing(&bad), None);
    let built_on_bad = grow(&mut tree, worse, 5, true);
    assert_eq!(tree.best().0, good, "nothing that is built on it counts");
    assert!(tree.get(&built_on_bad).unwrap().is_given_up);
    let next = grow(&mut tree, good, 6, false);
    assert_eq!(tree.best().0, next);
    assert!(!tree.give_up(&bad), "once is enough");
    let done = tree.finalize(next).unwrap();
    assert!(done.stale_heads.contains(&built_on_bad) && done.stale_heads.contains(&other));
    assert_eq!(tree.leaves(), vec![next]);
}

#[test]
fn forks_together_are_bounded_and_finality_makes_room() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let forks = MAX_UNFINALIZED_BLOCKS / 64;
    let mut heads = vec![root.hash; forks];
    for _ in 0..64 {
        for (salt, head) in heads.iter_mut().enumerate() {
            *head = grow(&mut tree, *head, salt as u8, false);
        }
    }
    assert_eq!(tree.unfinalized(), MAX_UNFINALIZED_BLOCKS);
    let before = (tree.best().0, tree.leaves());
    assert_eq!(before.1.len(), forks);
    // Everybody off the best chain has as much as anybody, and gets no more.
    let salts = (0..forks).filter(|salt| heads[*salt] != before.0);
    for (salt, height) in salts.zip([0, 1, 63]) {
        let parent = tree.ancestor_at(&heads[salt], height).unwrap();
        let slot = tree.get(&parent).unwrap().slot + 1;
        let beyond = salted(block(parent, height + 1, slot, salt as u8, false), 1);
        assert_eq!(tree.insert(beyond.clone()), Err(TreeError::Full(beyond.hash)));
    }
    assert_eq!((tree.best().0, tree.leaves()), before, "what was refused leaves no trace");
    let first = tree.ancestor_at(&heads[3], 1).unwrap();
    let done = tree.finalize(first).unwrap();
    assert_eq!((done.removed.len(), tree.unfinalized()), (MAX_UNFINALIZED_BLOCKS - 64, 63));
    assert!(tree.children.len() <= 64 && tree.blocks.len() == 65, "nothing is held of the dead forks");
    let head = grow(&mut tree, heads[3], 200, false);
    assert_eq!(tree.leaves(), [head]);
}

/// A tree filled by author 1 and 2, who have nothing better to do than to build on the finalized block.
fn filled() -> (Hash, Tree<()>) {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    for slot in 1..=MAX_UNFINALIZED_BLOCKS as u64 {
        assert_eq!(tree.insert(salted(block(root.hash, 1, slot, 1 + (slot % 2) as u8, false), slot)), Ok(None));
    }
    (root.hash, tree)
}

/// The same author's block of another name.
fn salted(block: NewBlock<()>, salt: u64) -> NewBlock<()> {
    let state_root = primitives::blake2_256(&salt.to_le_bytes());
    let header = Header { state_root, ..block.header };
    NewBlock { hash: header.hash(), header, ..block }
}

#[test]
fn a_full_tree_has_room_on_top_of_the_best_block_whoever_builds_there() {
    let (_, mut tree) = filled();
    for _ in 0..MAX_UNFINALIZED_DEPTH - 1 {
        let best = tree.best().0;
        let head = grow(&mut tree, best, 1, false);
        assert_eq!((tree.best().0, tree.unfinalized()), (head, MAX_UNFINALIZED_BLOCKS));
    }
    let chain = tree.ancestry(&tree.finalized().0, &tree.best().0).unwrap();
    assert_eq!(chain.len(), MAX_UNFINALIZED_DEPTH as usize - 1, "nothing of the best chain is dropped");
    assert!(tree.leaves().iter().all(|leaf| !tree.has_child(leaf)));
}

#[test]
fn a_full_tree_drops_blocks_of_who_has_most_until_shares_are_even() {
    let (root, mut tree) = filled();
    let mut dropped = BTreeMap::new();
    let mut slots = 10_000..;
    let mut more = |author| {
        let slot = slots.next().unwrap();
        tree.insert(salted(block(root, 1, slot, author, false), slot))
    };
    while let Ok(Some((number, hash))) = more(3) {
        assert_eq!(number, 1);
        *dropped.entry(hash).or_insert(0) += 1;
    }
    let refused = [more(1), more(2), more(3)];
    assert!(refused.iter().all(|more| matches!(more, Err(TreeError::Full(_)))), "{refused:?}");
    assert!(dropped.values().all(|times| *times == 1));
    let share = |author| tree.entries().filter(|entry| entry.author == ValidatorIndex(author)).count();
    let shares = [share(1), share(2), share(3)];
    assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 2, "{shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), MAX_UNFINALIZED_BLOCKS);
    assert_eq!(tree.children[&root].len(), MAX_UNFINALIZED_BLOCKS);
}

#[test]
fn the_best_head_of_those_wanted_is_not_always_the_best() {
    let root = genesis();
    let mut tree = Tree::new(root.clone());
    let a = grow(&mut tree, root.hash, 1, false);
    let a2 = grow(&mut tree, a, 1, false);
    let b = grow(&mut tree, root.hash, 2, true);
    assert_eq!(tree.best_where(|_| true).map(|(hash, _)| hash), Some(a2));
    assert_eq!(tree.best_where(|entry| entry.primaries > 0).map(|(hash, _)| hash), Some(b));
    assert!(tree.best_where(|entry| entry.slot == 1 && entry.primaries == 0).is_none(), "it is built on: no head");
}
