use overseer::{Ask, Context, Failure, Nothing, Subsystem};

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
    type Sends = (Ask<Ping>,);
    type JobSends = ();
    async fn run(self, _context: Context<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}
