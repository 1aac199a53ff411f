//! Tools: whether they can be shut in here, whether each can be used, and whether their secrets are kept well.
//!
//! Starts the sandbox once, with this program in it in the place of a tool.

use super::{Area, Report};
use crate::bus::Level;
use crate::cli::{Context, open};
use crate::tools::sandbox::Processes;

/// Looks at the sandbox, the registry and the secrets.
pub(super) async fn look(cx: &Context, report: &mut Report) {
    if cfg!(test) {
        // The program of a unit test cannot shut anything in; `tests/tools` looks with ours.
        return;
    }
    let sandbox = open::sandbox(cx);
    let level = sandbox.level().await.clone();
    let place = cx.config.source("tools.unsandboxed");
    match (level.is_whole(), sandbox.options().unsandboxed) {
        (true, false) => {}
        (true, true) => report.add(
            Area::Tools,
            Level::Note,
            "tools.unsandboxed is on, and this machine can shut tools in",
            format!("Take it away ({place}): it is not needed"),
        ),
        (false, false) => report.add(
            Area::Tools,
            Level::Error,
            format!("no tool runs here, because it could not be shut in; missing: {}", level.missing.join("; ")),
            "Install bubblewrap (apt install bubblewrap) and let it make user namespaces; in a container it needs to be allowed to. The kernel \
             must have Landlock (Linux 5.13)",
        ),
        (false, true) => report.add(
            Area::Tools,
            Level::Error,
            format!("TOOLS RUN WITHOUT THE WHOLE SANDBOX, as tools.unsandboxed says; missing: {}", level.missing.join("; ")),
            format!("Trust every tool that there is, or take the setting away ({place})"),
        ),
    }
    if level.processes == Processes::Counted {
        report.add(
            Area::Tools,
            Level::Note,
            "nothing but counting holds a tool to its number of processes: this is root, for whom the limit of processes does not hold, and no \
             cgroup can be made here",
            "Run it as a user of its own, or where /sys/fs/cgroup can be written",
        );
    }
    report.sandbox = Some(level);
    let registry = open::registry(cx);
    for listed in tokio::task::spawn_blocking(move || registry.list()).await.unwrap_or_default() {
        if let Err(why) = listed.tool {
            let what = format!("the tool `{}` cannot be used: {why}", listed.name);
            report.add(Area::Tools, Level::Warning, what, "Mend it, and look with `fullsend tools check FOLDER`");
        }
    }
    if let Err(err) = open::secrets(cx).list(&[]) {
        report.add(
            Area::Tools,
            Level::Error,
            err.to_string(),
            "Mend it: tools that need secrets do not run until then",
        );
    }
}
