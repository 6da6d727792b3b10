use overseer::{Ask, Context, Failure, Nothing, Subsystem};

pub struct Ping;
pub struct Sum;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } ask { Sum -> u32 } }
}

struct Asker;
impl Subsystem for Asker {
    type Role = Left;
    type View = Nothing;
    type Sends = (Ask<Sum>,);
    type JobSends = ();
    async fn run(self, context: Context<Self>) -> Result<(), Failure> {
        context.jobs().ask(Sum).await?;
        Ok(())
    }
}

fn main() {}
