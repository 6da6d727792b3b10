//! Validation functions, good and hostile, through real worker processes and in process.

mod hostile;
mod kit;
mod network_adder;
mod workers;
