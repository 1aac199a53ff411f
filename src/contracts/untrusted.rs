//! Interim.
use std::fmt;

/// Text from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Untrusted(pub String);

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Untrusted {
    /// Harmless to show.
    pub fn sanitized(&self) -> String {
        self.0.chars().filter(|c| !c.is_control()).collect()
    }
}
impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted({:?})", self.sanitized())
    }
}
