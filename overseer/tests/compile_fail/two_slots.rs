pub struct Ping;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } }
}

overseer::node! {
    /// Two would hear `Ping`.
    pub struct Both, built by BothBuilder { first: Left, second: Left }
}

fn main() {}
