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

struct Silent;
impl Subsystem for Silent {
    type Role = Left;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Pong).await?;
        Ok(())
    }
}

fn main() {
    let _ = std::marker::PhantomData::<Wait<Pong>>;
}
