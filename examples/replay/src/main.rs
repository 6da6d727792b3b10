//! Something went wrong in a cashier, once. The recording of it plays into the mended cashier, without a till, a clock or a
//! customer, and shows the first thing that is different now.
use std::time::Duration;

use deterministic::Simulation;
use overseer::replay::{Tape, replay};
use overseer::{Ask, Context, Event, Failure, Nothing, Outside, Subsystem, Wait};

#[derive(Clone, Debug)]
struct Pay(u64);
#[derive(Clone, Debug)]
struct Book(u64);
#[derive(Clone, Debug)]
struct Rate;
overseer::inbox! { enum CashierInbox for Cashier as "cashier" { tell { Pay } } }
overseer::inbox! { enum BankInbox for Bank as "bank" { tell { Book } ask { Rate -> u64 } } }
overseer::node! { struct Shop, built by ShopBuilder { cashier: Cashier, bank: Bank } }

/// Books what is paid, at the bank's rate of the moment; waits a random while, as people do.
struct Books {
    /// Whether payments of nothing are booked too, which the bank does not like.
    careless: bool,
}
impl Subsystem for Books {
    type Role = Cashier;
    type View = Nothing;
    type Sends = (Ask<Rate>, Wait<Book>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(CashierInbox::Pay(Pay(amount))) => {
                    let pause = deterministic::below(&*context.environment().entropy, 1_000);
                    context.environment().clock.sleep(Duration::from_millis(pause)).await;
                    let rate = context.ask(Rate).await?;
                    if amount > 0 || self.careless {
                        context.send(Book(amount * rate)).await?;
                    }
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// Its rate rises with each question. A booking of nothing is the end of it.
struct Strict(u64);
impl Subsystem for Strict {
    type Role = Bank;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(BankInbox::Book(Book(0))) => return Err("nothing was booked".into()),
                Event::Message(BankInbox::Book(_)) => {}
                Event::Message(BankInbox::Rate(Rate, reply)) => {
                    self.0 += 1;
                    reply.answer(self.0).ok();
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

enum Customers {}
impl Outside for Customers {
    const NAME: &'static str = "customers";
    type Sends = (Wait<Pay>,);
}

fn main() -> Result<(), Failure> {
    let (simulation, tape) = (Simulation::new(7), Tape::new());
    let node = ShopBuilder::new(simulation.environment("node"))
        .recorded(&tape, Books { careless: true }) // the one line
        .bank(Strict(10))
        .outside::<Customers>()
        .build()?;
    let customers = node.handle().outlet::<Customers>()?;
    for amount in [3, 5, 0] {
        simulation.run_until(customers.send(Pay(amount)))??;
    }
    println!("{}", simulation.run_until(node.run())?.cause);
    tape.lines().iter().for_each(|line| println!("    {line}"));

    let events = replay(&tape, Books { careless: true })?;
    println!("the same again: {events} events without a difference");
    let difference = replay(&tape, Books { careless: false }).err().ok_or("a mended cashier books nothing else")?;
    println!("mended: {difference}");
    if difference.expected == "sends Book(0) to bank" { Ok(()) } else { Err("another difference".into()) }
}
