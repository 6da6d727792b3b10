//! What `parahost dev` prints: a JSON object per line, a line per event, or a live view.

use std::io::{IsTerminal as _, Write as _};

use node::local::{LocalNetwork, ProgressEvent, Summary};
use serde_json::json;

use super::live_view::LiveView;

/// Where what happens is shown.
pub(crate) struct Output {
    form: Form,
    /// The first line that could not be written.
    error: Option<std::io::Error>,
}

enum Form {
    Json,
    Lines,
    Live(LiveView),
}

impl Output {
    /// JSON if wanted, the live view on a terminal, else lines.
    pub(crate) fn new(json: bool, goal: u64) -> Self {
        let form = match json {
            true => Form::Json,
            false if std::io::stdout().is_terminal() => Form::Live(LiveView::new(goal)),
            false => Form::Lines,
        };
        Self { form, error: None }
    }

    /// Something happened.
    pub(crate) fn show(&mut self, event: &ProgressEvent, network: &LocalNetwork) {
        match &mut self.form {
            Form::Json => self.line(&event_json(event).to_string()),
            Form::Lines => self.line(&event_line(event)),
            Form::Live(view) => view.draw(network),
        }
    }

    /// What was reached; the last thing that is shown.
    pub(crate) fn summary(&mut self, summary: &Summary) {
        match self.form {
            Form::Json => match serde_json::to_string(summary) {
                Ok(line) => self.line(&line),
                Err(error) => self.error = self.error.take().or(Some(error.into())),
            },
            Form::Lines | Form::Live(_) => summary_lines(summary).iter().for_each(|line| self.line(line)),
        }
    }

    /// Whether everything could be written.
    ///
    /// # Errors
    /// The first that could not. A reader that went away (`| head`) is no error.
    pub(crate) fn check(&mut self) -> std::io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn line(&mut self, line: &str) {
        if let Err(error) = writeln!(std::io::stdout(), "{line}")
            && error.kind() != std::io::ErrorKind::BrokenPipe
            && self.error.is_none()
        {
            self.error = Some(error);
        }
    }
}

fn event_json(event: &ProgressEvent) -> serde_json::Value {
    match event {
        ProgressEvent::Block { number, hash, is_fork } => {
            json!({"event": "block", "number": number, "hash": format!("{hash:?}"), "fork": is_fork})
        }
        ProgressEvent::Finalized { number, hash } => {
            json!({"event": "finalized", "number": number, "hash": format!("{hash:?}")})
        }
        ProgressEvent::Backed { para, candidate, number } => {
            json!({"event": "backed", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
        ProgressEvent::Included { para, candidate, number } => {
            json!({"event": "included", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
        ProgressEvent::TimedOut { para, candidate, number } => {
            json!({"event": "timed_out", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
    }
}

fn event_line(event: &ProgressEvent) -> String {
    match event {
        ProgressEvent::Block { number, hash, is_fork } => {
            format!("block {number} {hash:?}{}", if *is_fork { " (fork)" } else { "" })
        }
        ProgressEvent::Finalized { number, hash } => format!("finalized {number} {hash:?}"),
        ProgressEvent::Backed { para, candidate, number } => {
            format!("para {} backed in block {number}: {candidate:?}", para.0)
        }
        ProgressEvent::Included { para, candidate, number } => {
            format!("para {} included in block {number}: {candidate:?}", para.0)
        }
        ProgressEvent::TimedOut { para, candidate, number } => {
            format!("para {} not available in time, block {number}: {candidate:?}", para.0)
        }
    }
}

fn summary_lines(summary: &Summary) -> Vec<String> {
    let Summary { blocks, forks, finalized, .. } = summary;
    let seconds = summary.elapsed_ms as f64 / 1000.0;
    let mut lines =
        vec![String::new(), format!("{blocks} blocks, {forks} forks, finalized {finalized}, in {seconds:.1} s")];
    for para in &summary.paras {
        lines.push(format!("para {}: {} included, {} skipped", para.para, para.included, para.skipped));
    }
    for sight in &summary.scenario {
        lines.push(match sight.block {
            Some(block) => format!("seen in block {block:>4}: {}", sight.what),
            None => format!("not seen          : {}", sight.what),
        });
    }
    if let Some(slots) = summary.median_slots_to_inclusion {
        lines.push(format!("median slots from produced to included: {slots}"));
    }
    lines.push(format!("bytes on the wire: {}", summary.bytes_on_the_wire));
    lines.push("messages on the bus:".to_owned());
    for edge in summary.edges.iter().filter(|edge| edge.count > 0) {
        lines.push(format!("  {:>9}  {} -> {}: {}", edge.count, edge.from, edge.to, edge.message));
    }
    lines
}
