//! Card number, expiry and tracks on their way out of the kernel.
use zeroize::Zeroizing;

/// Text that names a card: zeroised when dropped, no debug text, no comparison.
#[derive(Clone)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
