//! Themes: roles and how they look.
//!
//! Owns the roles, the shipped themes (`themes/*.toml`, embedded), reading a theme, and bringing its colours down to what the terminal
//! shows, once, when it is taken. Must never be gone around: no other module names a colour.

pub mod contrast;
pub mod depth;
mod file;
pub mod person;
#[cfg(test)]
mod tests;

use ratatui::style::Style;

pub use depth::Depth;
pub use file::{ThemeError, read};

macro_rules! roles {
    ($( $(#[$doc:meta])* $role:ident = $name:literal, $base:literal ;)+) => {
        /// What a piece of the screen is, whatever it looks like.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Role { $( $(#[$doc])* $role, )+ }

        impl Role {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$role),+];

            /// Its name in a theme's file.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$role => $name, )+ }
            }

            /// Whether it is read as words, so that its contrast matters.
            pub const fn is_text(self) -> bool {
                match self { $( Self::$role => $base, )+ }
            }
        }
    };
}

roles! {
    /// What is read.
    Text = "text", true;
    /// What stands back: times, hints.
    Muted = "muted", true;
    /// What stands out: keys, what is live.
    Accent = "accent", true;
    /// The titles of panes.
    Title = "title", true;
    /// All is well.
    Ok = "ok", true;
    /// Look at it.
    Warn = "warn", true;
    /// Something is wrong, or will be gone.
    Danger = "danger", true;
    /// The selected line.
    Selection = "selection", true;
    /// The selected line of a pane without focus.
    SelectionBack = "selection_back", true;
    /// What a filter found.
    Match = "match", true;
    /// The header.
    Header = "header", true;
    /// The footer.
    Footer = "footer", true;
    /// Who speaks.
    Source = "source", true;
    /// Where it is said.
    Channel = "channel", true;
    /// Names in JSON.
    Name = "name", true;
    /// Texts in JSON.
    Value = "value", true;
    /// The frame of a pane.
    Border = "border", false;
    /// The frame of the pane that has the focus.
    Focus = "focus", false;
}

/// A theme, ready to be drawn with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Its name.
    pub name: String,
    /// Under everything.
    pub background: Style,
    styles: Vec<Style>,
}

impl Theme {
    fn new(name: String, background: Style, style: impl Fn(Role) -> Style) -> Self {
        Self { name, background, styles: Role::ALL.iter().map(|role| style(*role)).collect() }
    }

    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role as usize).copied().unwrap_or_default()
    }

    /// The same on a terminal that shows so many colours.
    #[must_use]
    pub fn within(&self, depth: Depth) -> Self {
        let style = |style: Style| depth::within(style, depth);
        Self {
            name: self.name.clone(),
            background: style(self.background),
            styles: self.styles.iter().map(|it| style(*it)).collect(),
        }
    }
}

/// The shipped themes, as they are read: name and file. The first is taken where nobody chose.
pub const SHIPPED: [(&str, &str); 8] = [
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
    ("mono", include_str!("../../themes/mono.toml")),
    ("dracula", include_str!("../../themes/dracula.toml")),
    ("nord", include_str!("../../themes/nord.toml")),
    ("gruvbox", include_str!("../../themes/gruvbox.toml")),
    ("solarized-light", include_str!("../../themes/solarized-light.toml")),
];

/// A shipped theme, in all its colours.
pub fn shipped(name: &str) -> Option<Theme> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    read(name, text).ok()
}

/// The theme of plain terminals: no colours, only bold, reverse and underline.
pub fn mono() -> Theme {
    shipped("mono").unwrap_or_else(|| Theme::new("mono".to_owned(), Style::new(), |_| Style::new()))
}
