//! Tests of the provisioner with what it serves.

#[cfg(test)]
mod against_runtime;
