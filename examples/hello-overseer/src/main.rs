//! Two subsystems of no blockchain at all: a clock beats, a counter is asked how often.
use overseer::{Ask, Context, Environment, Event, Failure, Nothing, Outside, Subsystem, Wait};
struct Beat;
struct Total;
overseer::inbox! { enum CounterInbox for Counter as "counter" { tell { Beat } ask { Total -> u32 } } }
overseer::inbox! { enum ClockInbox for Clock as "clock" {} }
overseer::node! { struct Hello, built by HelloBuilder { clock: Clock, counter: Counter } }

struct Ticks;
impl Subsystem for Ticks {
    type Role = Clock;
    type View = Nothing;
    type Sends = (Wait<Beat>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        for _ in 0..10 {
            context.send(Beat).await?;
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

struct Counts;
impl Subsystem for Counts {
    type Role = Counter;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut beats = 0;
        loop {
            match context.recv().await {
                Event::Message(CounterInbox::Beat(Beat)) => beats += 1,
                Event::Message(CounterInbox::Total(Total, reply)) => drop(reply.answer(beats)),
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Reader;
impl Outside for Reader {
    const NAME: &'static str = "reader";
    type Sends = (Ask<Total>,);
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let hello = HelloBuilder::new(Environment::system()?).clock(Ticks).counter(Counts).outside::<Reader>().build()?;
    let (handle, node) = (hello.handle(), tokio::spawn(hello.run()));
    let reader = handle.outlet::<Reader>()?;
    while reader.ask(Total).await? < 10 {}
    println!("{} beats", reader.ask(Total).await?);
    handle.stop();
    println!("{}", node.await?.cause);
    Ok(())
}
