use overseer::{Wait, Context, Failure, Nothing, Subsystem};

pub struct Ping;
pub struct Sum;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } ask { Sum -> u32 } }
}

struct Talker;
impl Subsystem for Talker {
    type Role = Left;
    type View = Nothing;
    type Sends = (Wait<Ping>, Wait<Ping>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Ping).await?;
        Ok(())
    }
}

fn main() {}
