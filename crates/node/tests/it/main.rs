//! Local networks in the simulator.

mod restarts;
mod sessions;
