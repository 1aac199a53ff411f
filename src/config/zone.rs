//! Time zones by their IANA names.

use chrono_tz::Tz;
use thiserror::Error;

use crate::contracts::channel::UnknownName;
use crate::contracts::untrusted::sanitize_line;

/// A name that no zone has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{shown}` is no time zone{}; write an IANA name like `Europe/Berlin`, or `UTC`", nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
pub struct UnknownZone {
    /// What was given.
    pub shown: String,
    /// The zone that is most like it.
    pub nearest: Option<&'static str>,
}

/// The zone of this name; upper and lower case are the same.
///
/// # Errors
/// Where there is none.
pub fn named(name: &str) -> Result<Tz, UnknownZone> {
    let known = || chrono_tz::TZ_VARIANTS.iter();
    known().find(|zone| zone.name().eq_ignore_ascii_case(name.trim())).copied().ok_or_else(|| {
        let nearest = UnknownName::among("zone", name, known().map(|zone| zone.name())).nearest;
        UnknownZone { shown: sanitize_line(name, 60), nearest }
    })
}

/// The zone of this machine; UTC where it says none.
pub fn here() -> Tz {
    iana_time_zone::get_timezone().ok().and_then(|name| named(&name).ok()).unwrap_or(Tz::UTC)
}
