//! Whole chains in the simulator, over a network and disks in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod album;
mod bad_blocks;
mod dead_forks;
mod disk;
mod equivocations;
mod floods;
mod forge;
mod full_disk;
mod judgement;
mod large;
mod memory;
mod networks;
mod parachain;
mod peers;
mod reverts;
mod sessions;
mod support;
