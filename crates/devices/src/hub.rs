//! Where virtual devices meet their hands: one hub a terminal, shared by the virtual drivers and the hands' socket.
#[derive(Clone, Default)]
pub struct Hub {}
impl Hub {
    pub fn new() -> Self {
        Self::default()
    }
}
