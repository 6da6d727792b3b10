// The weather station of the crate's front page: its examples include this file, and `front_page.rs` holds the two
// together.

use std::collections::BTreeMap;

use overseer::{Context, Event, Failure, Subsystem, View, Wait};

/// What was measured. A message is a plain type.
pub struct Reading {
    pub day: u32,
    pub degrees: i32,
}

/// How warm was it? A question is one as well.
pub struct Average {
    pub day: u32,
}

overseer::inbox! {
    /// What the archive hears.
    pub enum ArchiveInbox for Archive as "archive" {
        tell { Reading }
        ask { Average -> Option<i32> }
    }
}

overseer::inbox! {
    /// Nothing is said to the sensor.
    pub enum SensorInbox for Sensor as "sensor" {}
}

overseer::node! {
    /// The slots of a weather station.
    pub struct Station, built by StationBuilder { sensor: Sensor, archive: Archive }
}

/// The heartbeat: an entry says which day begins.
pub enum Days {}

impl View for Days {
    type Update = u32;
    type State = u32;

    fn apply(today: &mut u32, begins: &u32) {
        *today = *begins;
    }

    /// For one who missed entries: the day it is now.
    fn catch_up(_seen: &u32, now: &u32) -> u32 {
        *now
    }
}

/// Measures once a day.
pub struct Thermometer {
    pub degrees: i32,
}

impl Subsystem for Thermometer {
    type Role = Sensor;
    type View = Days;
    type Sends = (Wait<Reading>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(day) => context.send(Reading { day, degrees: self.degrees }).await?,
                Event::Message(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// Days that the archive remembers.
pub const KEPT_DAYS: usize = 7;

/// Keeps the sum and the number of each day's readings.
#[derive(Default)]
pub struct Memory {
    today: u32,
    days: BTreeMap<u32, (i32, i32)>,
}

impl Subsystem for Memory {
    type Role = Archive;
    type View = Days;
    type Sends = ();
    type JobSends = ();

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(day) => self.today = day,
                Event::Message(ArchiveInbox::Reading(Reading { day, degrees })) => {
                    // Its sender had heard that the day began, so we have heard it as well.
                    assert!(day <= self.today);
                    let (sum, count) = self.days.entry(day).or_default();
                    (*sum, *count) = (*sum + degrees, *count + 1);
                    if self.days.len() > KEPT_DAYS {
                        self.days.pop_first();
                    }
                }
                Event::Message(ArchiveInbox::Average(Average { day }, reply)) => {
                    // Whoever asked may be gone: that is no failure of ours.
                    let _ = reply.answer(self.days.get(&day).map(|(sum, count)| sum / count));
                }
                Event::Conclude => return Ok(()),
            }
        }
    }
}
