//! Opens the bus that the settings name.
//!
//! Owns the choice of the engine. Must never start anything on it.

use color_eyre::eyre::bail;

use super::Context;
use crate::bus::SharedBus;

/// The bus of the settings.
///
/// # Errors
/// Where it cannot be used.
#[expect(clippy::unused_async, reason = "engines are opened here")]
pub async fn bus(_: &Context) -> color_eyre::Result<SharedBus> {
    bail!("this build has no engine")
}
