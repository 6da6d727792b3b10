use overseer::{Ask, Cast, Context, Failure, Nothing, Subsystem, Wait};

pub struct Ping;
pub struct Pong;
pub struct Sum;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } }
}
overseer::inbox! {
    /// What the right hears.
    pub enum RightInbox for Right as "right" { tell { Pong } ask { Sum -> u32 } }
}

struct Talker;
impl Subsystem for Talker {
    type Role = Left;
    type View = Nothing;
    type Sends = (Wait<Ping>, Cast<Ping>, Ask<Sum>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Pong).await?;
        Ok(())
    }
}

fn main() {}
