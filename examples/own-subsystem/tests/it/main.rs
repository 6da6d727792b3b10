//! The subsystem alone among mocks, and what one is told when it is broken.

mod broken;
mod loyal;
