//! What happens when something panics or an error is reported: one readable text, without secrets, on the terminal and in the log.

use std::panic::PanicHookInfo;

use color_eyre::config::{HookBuilder, PanicHook, Theme};

use super::redact;

/// Installs color-eyre's error reports and a panic hook. Panics are logged, and handed to `tell` for the terminal.
///
/// # Errors
/// Where it was done before.
pub fn install_hooks(tell: fn(&str)) -> color_eyre::Result<()> {
    // No theme: a colour code in a report could not be told from one that somebody's text smuggled in.
    let (panics, errors) = HookBuilder::default()
        .theme(Theme::new())
        .display_env_section(false)
        .display_location_section(false)
        .panic_section("This is a defect of fullsend. The log in the home has the same report; please send it in.")
        .try_into_hooks()?;
    errors.install()?;
    std::panic::set_hook(Box::new(move |info| on_panic(&panics, info, tell)));
    Ok(())
}

fn on_panic(panics: &PanicHook, info: &PanicHookInfo<'_>, tell: fn(&str)) {
    let report = readable(&panics.panic_report(info).to_string());
    tracing::error!(panic = %report, "panicked");
    tell(&report);
}

/// A report without secrets and control characters.
pub fn readable(report: &str) -> String {
    redact::visible(&redact::redact(report))
}
