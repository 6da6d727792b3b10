use overseer::{Ask, Cast, Context, Failure, Nothing, Subsystem, Wait};

pub struct Ping;
pub struct Pong;
pub struct Sum;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } ask { Sum -> u32 } }
}
overseer::inbox! {
    /// What the right hears.
    pub enum RightInbox for Right as "right" { tell { Pong } }
}

struct Talker;
impl Subsystem for Talker {
    type Role = Left;
    type View = Nothing;
    type Sends = (Cast<Ping>, Wait<Ping>);
    type JobSends = (Ask<Sum>, Wait<Pong>, Cast<Ping>);
    async fn run(self, _: Context<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

overseer::node! {
    /// Nobody hears `Pong`.
    pub struct Lonely, built by LonelyBuilder { left: Left }
}

fn main() {
    let wired = |builder: LonelyBuilder| builder.left(Talker);
    let _ = wired;
}
