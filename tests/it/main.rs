//! Whole networks in the simulator.

mod chain;
mod collators;
mod life_of_a_candidate;
mod network_faults;
mod topology;
mod validators;
