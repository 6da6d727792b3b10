//! A tap turns an honest subsystem into an adversary, without a line of its code: it votes twice. The tally notices.
//!
//! The same tap injects faults (drop, delay) and traces messages (pass, and note).
use std::collections::BTreeMap;
use std::marker::PhantomData;

use deterministic::Simulation;
use overseer::port::Tapped;
use overseer::{Ask, Context, Event, Failure, Nothing, Outside, Role, Subsystem, Wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vote {
    voter: &'static str,
    yes: bool,
}
struct Close;
overseer::inbox! { enum TallyInbox for Tally as "tally" { tell { Vote } ask { Close -> Outcome } } }
overseer::inbox! { enum AliceInbox for Alice as "alice" {} }
overseer::inbox! { enum BobInbox for Bob as "bob" {} }
overseer::node! { struct Election, built by ElectionBuilder { tally: Tally, alice: Alice, bob: Bob } }

/// What the tally knows in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    yes: usize,
    no: usize,
    /// Who said both.
    contradicts: Vec<&'static str>,
}

/// Votes yes, once.
struct Votes<R>(PhantomData<fn() -> R>);
impl<R: Role> Subsystem for Votes<R> {
    type Role = R;
    type View = Nothing;
    type Sends = (Wait<Vote>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Vote { voter: R::NAME, yes: true }).await?;
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// The first vote of each counts; a second that says otherwise is held against its voter.
struct Counts;
impl Subsystem for Counts {
    type Role = Tally;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut votes = BTreeMap::new();
        let mut outcome = Outcome::default();
        loop {
            match context.recv().await {
                Event::Message(TallyInbox::Vote(vote)) => match votes.insert(vote.voter, vote.yes) {
                    None if vote.yes => outcome.yes += 1,
                    None => outcome.no += 1,
                    Some(before) if before != vote.yes => outcome.contradicts.push(vote.voter),
                    Some(_) => {}
                },
                Event::Message(TallyInbox::Close(Close, reply)) => drop(reply.answer(outcome.clone())),
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Reporter;
impl Outside for Reporter {
    const NAME: &'static str = "reporter";
    type Sends = (Ask<Close>,);
}

fn elect(bob_cheats: bool) -> Result<Outcome, Failure> {
    let simulation = Simulation::new(1);
    let mut election = ElectionBuilder::new(simulation.environment("election"))
        .tally(Counts)
        .alice(Votes(PhantomData))
        .bob(Votes(PhantomData))
        .outside::<Reporter>();
    if bob_cheats {
        // The whole adversary:
        election = election.tap::<Bob, Vote>(|vote: Vote| Tapped::Duplicate(vote, Vote { yes: !vote.yes, ..vote }));
    }
    let election = election.build()?;
    let (handle, reporter) = (election.handle(), election.handle().outlet::<Reporter>()?);
    simulation.environment("election").spawner.spawn("election", Box::pin(async { drop(election.run().await) }));
    simulation.run_until_idle()?;
    let outcome = simulation.run_until(async move { reporter.ask(Close).await })??;
    handle.stop();
    simulation.run_until_idle()?;
    Ok(outcome)
}

fn main() -> Result<(), Failure> {
    let (honest, cheated) = (elect(false)?, elect(true)?);
    println!("honest:          {honest:?}");
    println!("bob votes twice: {cheated:?}");
    let caught = honest == Outcome { yes: 2, ..Outcome::default() } && cheated.contradicts == ["bob"];
    if caught { Ok(()) } else { Err("the adversary was not noticed".into()) }
}
