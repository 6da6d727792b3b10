use overseer::{Context, Failure, Nothing, Subsystem, Wait};

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
    type Role = Right;
    type View = Nothing;
    type Sends = (Wait<Ping>,);
    type JobSends = ();
    async fn run(self, _: Context<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

overseer::node! {
    /// Two would hear `Ping`.
    pub struct Both, built by BothBuilder { first: Left, second: Left, right: Right }
}

fn main() {
    let wired = |builder: BothBuilder| builder.right(Talker);
    let _ = wired;
}
