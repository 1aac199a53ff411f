//! What happens when something panics or an error is reported: one readable text, without secrets, on the terminal and in the log.

use std::panic::PanicHookInfo;

use color_eyre::config::{HookBuilder, PanicHook, Theme};

use super::redact;

/// What a person reads where the system is out of threads.
const NO_THREAD: &str = "error: the system gives no more threads\n  fix: end some programs, or raise the limit of processes (`ulimit -u`; \
                         in a container `pids.max`)\n";

/// Whether a panic says that the system could start no thread (`EAGAIN`).
fn is_about_threads(said: &str) -> bool {
    said.contains("spawn") && (said.contains("os error 11") || said.contains("WouldBlock"))
}

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
    let payload = info.payload();
    let said = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    if said.is_some_and(is_about_threads) {
        // Those who start threads can only panic then. It is no defect of anybody's here.
        tracing::error!(panic = said, "no thread could be started");
        return tell(NO_THREAD);
    }
    let report = readable(&panics.panic_report(info).to_string());
    tracing::error!(panic = %report, "panicked");
    tell(&report);
}

/// A report without secrets and control characters.
pub fn readable(report: &str) -> String {
    redact::visible(&redact::redact(report))
}

#[cfg(test)]
mod tests {
    use super::is_about_threads;

    #[test]
    fn a_system_without_threads_is_no_defect() {
        for said in [
            "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)",
            "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }",
        ] {
            assert!(is_about_threads(said), "{said}");
        }
        for said in ["index out of bounds", "the pipe would block: Resource temporarily unavailable (os error 11)"] {
            assert!(!is_about_threads(said), "{said}");
        }
    }
}
