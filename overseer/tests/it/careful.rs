// The job of the crate's front page. It needs the crate `jobs`, which this one does not depend on: the page's examples
// that include this file run as documentation tests of `mocks`.

use std::time::Duration;

use jobs::{Ending, Input, Jobs, ScopeView};
use overseer::{Ask, Context, Event, Failure, Subsystem, Wait};

use super::{Average, Days, Reading, Sensor};

/// How long it takes to measure.
pub const MEASURING: Duration = Duration::from_secs(3600);

/// Which days are over: all but today.
struct Today(u32);

impl ScopeView<u32> for Today {
    fn is_active(&self, day: &u32) -> bool {
        *day == self.0
    }
    fn is_in_view(&self, day: &u32, depth: u32) -> bool {
        self.0.checked_sub(*day).is_some_and(|age| age <= depth)
    }
    fn finalized_height(&self) -> u32 {
        0
    }
}

/// Takes an hour, and a degree more than yesterday's average.
pub struct Careful;

impl Subsystem for Careful {
    type Role = Sensor;
    type View = Days;
    type Sends = (Wait<Reading>,);
    type JobSends = (Ask<Average>,);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::<u32, i32>::new(context.environment().clone(), 1);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(day)) => {
                    jobs.end_by_view(&Today(day)); // yesterday's measurement, if it still runs
                    jobs.open(day, Ending::UntilStop);
                    let (archive, clock) = (context.jobs(), context.environment().clock.clone());
                    let measure = async move {
                        clock.sleep(MEASURING).await;
                        let yesterday = archive.ask(Average { day: day.saturating_sub(1) }).await;
                        yesterday.ok().flatten().unwrap_or_default() + 1
                    };
                    jobs.spawn(&day, "measure", measure)?;
                }
                Input::Job(end) => {
                    if let Some((day, degrees)) = end.into_result() {
                        context.send(Reading { day, degrees }).await?;
                    }
                }
                Input::Event(Event::Message(never)) => match never {},
                Input::Event(Event::Conclude) => return Ok(()),
            }
        }
    }
}
