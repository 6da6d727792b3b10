//! The calm view on a terminal: a few lines that stay where they are, readable at 80 columns.

use std::io::{Write as _, stdout};

use crossterm::terminal::{Clear, ClearType};
use crossterm::{cursor, queue};
use node::local::LocalNetwork;

/// Lines are cut here.
const COLUMNS: usize = 80;

/// Draws over what it drew before.
pub(crate) struct LiveView {
    goal: u64,
    drawn: u16,
}

impl LiveView {
    pub(crate) fn new(goal: u64) -> Self {
        Self { goal, drawn: 0 }
    }

    pub(crate) fn draw(&mut self, network: &LocalNetwork) {
        let lines = lines(self.goal, network);
        let mut out = stdout().lock();
        // A terminal that went away is no reason to end the network.
        let _ = (|| {
            if self.drawn > 0 {
                queue!(out, cursor::MoveUp(self.drawn), cursor::MoveToColumn(0))?;
            }
            for line in &lines {
                let cut: String = line.chars().take(COLUMNS).collect();
                queue!(out, Clear(ClearType::CurrentLine))?;
                writeln!(out, "{cut}")?;
            }
            out.flush()
        })();
        self.drawn = u16::try_from(lines.len()).unwrap_or(0);
    }
}

fn lines(goal: u64, network: &LocalNetwork) -> Vec<String> {
    let progress = network.progress();
    let (blocks, forks) = progress.blocks_and_forks();
    let mut lines = vec![format!(
        "block {:>5}   finalized {:>5}   imported {blocks}, forks {forks}   peers {}",
        progress.best_number(),
        progress.finalized(),
        network.peers(),
    )];
    let counts = progress.counts();
    for (para, state) in progress.states() {
        let count = counts.get(para).copied().unwrap_or_default();
        let done = usize::try_from(count.included.min(goal) * 20 / goal.max(1)).unwrap_or(20);
        lines.push(format!(
            "para {:>5}  [{}{}] {:>4}/{goal}  {state}",
            para.0,
            "#".repeat(done),
            " ".repeat(20 - done),
            count.included,
        ));
    }
    lines
}
