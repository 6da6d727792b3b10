use overseer::{Context, Failure, Nothing, Subsystem, Wait};

pub struct Ping;
pub struct Pong;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } }
}
overseer::inbox! {
    /// What the right hears.
    pub enum RightInbox for Right as "right" { tell { Pong } }
}

struct Talker;
impl Subsystem for Talker {
    type Role = Left;
    type View = Nothing;
    type Sends = (Wait<Pong>,);
    type JobSends = ();
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
