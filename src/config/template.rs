//! The settings file with everything in it, commented out.
//!
//! Made from the table of settings, so it cannot be out of date.

use std::fmt::Write as _;
use std::path::Path;

use super::Config;
use super::setting::{Shown, Slot};

/// A `fullsend.toml` that sets nothing and shows every setting with its meaning, its default and its other names.
pub fn template() -> String {
    let mut text = "# Settings of fullsend. Each line that is commented out shows the default.\n\
        # Looked for in the working folder, then in $XDG_CONFIG_HOME/fullsend.\n\
        # The environment overrides this file, and flags override the environment.\n"
        .to_owned();
    let mut section = "";
    for row in Config::at(Path::new("")).rows() {
        let (of, name) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        // Writing into a String cannot fail.
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        let founding = row.founding_env.iter().map(|name| (*name).to_owned());
        let names: Vec<String> = std::iter::once(row.env()).chain(founding).collect();
        let flag = row.flag.map(|flag| format!(" Flag: {flag}.")).unwrap_or_default();
        let default = match row.slot {
            // Where these are depends on the machine.
            Slot::Folder(_) => Shown::Nothing,
            ref slot => slot.shown(),
        };
        let _ = write!(
            text,
            "\n# {}\n# {}\n# Environment: {}.{flag}\n#{name} = {}\n",
            row.help,
            row.slot.takes(),
            names.join(", "),
            default.toml()
        );
    }
    text
}
