//! Rotation of the validator groups over the cores. One function for node and runtime (requirement RT-4).

use codec::{Decode, Encode};

use crate::{BlockNumber, CoreIndex, GroupIndex};

/// Which group serves which core, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GroupRotationInfo {
    /// First block of the session.
    pub session_start_block: BlockNumber,
    /// Blocks between rotations; 0 means never.
    pub group_rotation_frequency: BlockNumber,
    /// The block that is asked about.
    pub now: BlockNumber,
}

impl GroupRotationInfo {
    /// How often the groups have moved since the session began.
    pub fn rotations(&self) -> u32 {
        self.now.saturating_sub(self.session_start_block).checked_div(self.group_rotation_frequency).unwrap_or(0)
    }

    /// The group that serves `core` of `cores`: after k rotations group (core + k) mod cores.
    pub fn group_for_core(&self, core: CoreIndex, cores: usize) -> GroupIndex {
        GroupIndex(self.shift(core.0, cores, |position, rotations, cores| (position + rotations) % cores))
    }

    /// The core that `group` serves: the inverse of [`Self::group_for_core`].
    pub fn core_for_group(&self, group: GroupIndex, cores: usize) -> CoreIndex {
        CoreIndex(self.shift(group.0, cores, |position, rotations, cores| (position + cores - rotations) % cores))
    }

    fn shift(&self, position: u32, cores: usize, turn: impl Fn(u64, u64, u64) -> u64) -> u32 {
        if self.group_rotation_frequency == 0 {
            return position;
        }
        let cores = (cores as u64).min(u64::from(u32::MAX));
        if cores == 0 {
            return 0;
        }
        let rotations = u64::from(self.rotations()) % cores;
        u32::try_from(turn(u64::from(position), rotations, cores)).unwrap_or(0)
    }

    /// The first block after `now` at which groups move; `None` if they never do, or only beyond the last
    /// block number.
    pub fn next_rotation_at(&self) -> Option<BlockNumber> {
        if self.group_rotation_frequency == 0 {
            return None;
        }
        let cycle_later = self.now.checked_add(self.group_rotation_frequency)?;
        Some(cycle_later - cycle_later.saturating_sub(self.session_start_block) % self.group_rotation_frequency)
    }

    /// The last block up to `now` at which groups moved, or `now` if they never do.
    pub fn last_rotation_at(&self) -> BlockNumber {
        let since_start = self.now.saturating_sub(self.session_start_block);
        self.now - since_start.checked_rem(self.group_rotation_frequency).unwrap_or(0)
    }

    /// The same with one more rotation; unchanged if there is none.
    #[must_use]
    pub fn bump_rotation(&self) -> Self {
        Self { now: self.next_rotation_at().unwrap_or(self.now), ..*self }
    }
}
