use overseer::{Outside, Wait};

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

struct Author;
impl Outside for Author {
    const NAME: &'static str = "author";
    type Sends = (Wait<Pong>,);
}

overseer::node! {
    /// Nobody hears `Pong`.
    pub struct Lonely, built by LonelyBuilder { left: Left }
}

fn main() {
    let wired = |builder: LonelyBuilder| builder.outside::<Author>();
    let _ = wired;
}
