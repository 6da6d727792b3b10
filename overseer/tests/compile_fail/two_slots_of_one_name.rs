pub struct Ping;
overseer::inbox! {
    /// What the left hears.
    pub enum LeftInbox for Left as "left" { tell { Ping } }
}
overseer::inbox! {
    /// What the right hears.
    pub enum RightInbox for Right as "right" {}
}

overseer::node! {
    /// Which of them is `side`?
    pub struct Both, built by BothBuilder { side: Left, side: Right }
}

fn main() {}
