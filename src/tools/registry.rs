//! The registry: the tools that there are, ours and those in the home's folder.
//!
//! A tool is a folder below `tools` in the home, of its own name, with a [`manifest::FILE`] and a program. It is read anew each time that
//! it is asked for, so that what was just put there, or mended, is what runs. The folder is a git repository of its own. Must never
//! follow a name or a link out of the folder, and never let a home's tool stand in for one of ours.

pub mod shelf;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use super::manifest::{self, BadManifest, Manifest, check_name};
use crate::config::private_folder;
use crate::contracts::untrusted::sanitize_line;

/// Most bytes of a manifest.
const MANIFEST_LIMIT: u64 = 64 * 1_024;

/// A tool that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it is.
    pub place: Place,
}

/// Where a tool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this program.
    Shipped,
    /// In this folder.
    Folder(PathBuf),
}

impl Place {
    /// In a word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Folder(_) => "home",
        }
    }
}

/// A tool that is there, whether or not it can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// It, or everything that is wrong with it.
    pub tool: Result<Tool, BadManifest>,
}

/// Why there is no tool to run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoTool {
    /// No tool has this name.
    #[error("there is no tool `{name}`{}; `fullsend tools list` shows which there are", near.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default())]
    Missing {
        /// The name.
        name: String,
        /// One that is like it.
        near: Option<String>,
    },
    /// The name is none.
    #[error("{0}")]
    BadName(String),
    /// It is there, and cannot be believed.
    #[error("the tool `{name}` cannot be used: {why}; mend it and look with `fullsend tools check`")]
    Broken {
        /// The name.
        name: String,
        /// Everything that is wrong with it.
        why: BadManifest,
    },
}

/// Knows which tools there are. All of it waits for the disk.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
    shipped: &'static [(&'static str, &'static str)],
}

impl Registry {
    /// The tools below this folder, and these that are shipped: name and manifest.
    pub fn new(folder: impl Into<PathBuf>, shipped: &'static [(&'static str, &'static str)]) -> Self {
        Self { folder: folder.into(), shipped }
    }

    /// Where the home's tools are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tool of this name.
    ///
    /// # Errors
    /// Where there is none, or it cannot be used.
    pub fn find(&self, name: &str) -> Result<Tool, NoTool> {
        check_name(name).map_err(NoTool::BadName)?;
        let listed = match self.shipped(name) {
            Some(listed) => listed,
            None if fs::symlink_metadata(self.folder.join(name)).is_ok() => self.in_folder(name),
            None => {
                let names = self.names();
                let near = names.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
                let near =
                    near.filter(|(distance, near)| *distance <= 1 + near.len() / 4).map(|(_, near)| near.clone());
                return Err(NoTool::Missing { name: name.to_owned(), near });
            }
        };
        listed.tool.map_err(|why| NoTool::Broken { name: name.to_owned(), why })
    }

    /// Every tool, by name: those that can be run, and those that cannot with the reasons.
    pub fn list(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for name in self.names() {
            let shipped = self.shipped(&name);
            if shipped.is_none() || fs::symlink_metadata(self.folder.join(&name)).is_ok() {
                all.push(self.in_folder(&name));
            }
            // After one of the same name that is not used, so that whoever goes by names ends with the one that is.
            all.extend(shipped);
        }
        all
    }

    /// The names of all, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shipped.iter().map(|(name, _)| (*name).to_owned()).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            // What begins with a point is git's, and files are the person's.
            if let Some(name) = name.to_str()
                && !name.starts_with('.')
                && entry.file_type().is_ok_and(|kind| !kind.is_file())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }

    fn shipped(&self, name: &str) -> Option<Listed> {
        let (_, text) = self.shipped.iter().find(|(shipped, _)| *shipped == name)?;
        let tool = Manifest::read(text).map(|manifest| Tool { manifest, place: Place::Shipped });
        Some(Listed { name: name.to_owned(), tool })
    }

    fn in_folder(&self, name: &str) -> Listed {
        let tool = match check_name(name) {
            Ok(name) if self.shipped.iter().any(|(shipped, _)| *shipped == name) => Err(BadManifest(vec![
                "it has the name of a tool that is shipped, which is used; give it another".to_owned(),
            ])),
            Ok(name) => read(&self.folder.join(name)).and_then(|tool| {
                if tool.manifest.name == name {
                    Ok(tool)
                } else {
                    let says = &tool.manifest.name;
                    Err(BadManifest(vec![format!("name: it says `{says}`, and its folder is called `{name}`")]))
                }
            }),
            Err(why) => Err(BadManifest(vec![why])),
        };
        Listed { name: sanitize_line(name, 80), tool }
    }

    /// Makes the folder where it is not there, and a git repository of it where git is there.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn make(&self) -> io::Result<()> {
        private_folder(&self.folder)?;
        if self.folder.join(".git").exists() {
            return Ok(());
        }
        // Neither hooks nor a template of the machine: nothing of it is run.
        let made = Command::new("git")
            .args(["-c", "core.hooksPath=/dev/null", "-c", "init.templateDir=", "init", "--quiet"])
            .arg(&self.folder)
            .env_remove("GIT_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            tracing::warn!(folder = %self.folder.display(), "no git repository was made of the tools: is git there?");
        }
        Ok(())
    }
}

/// Reads the tool in a folder, and checks that its program is there.
///
/// # Errors
/// With everything that is wrong with it.
pub fn read(folder: &Path) -> Result<Tool, BadManifest> {
    let bad = |why: String| BadManifest(vec![why]);
    let kind =
        fs::symlink_metadata(folder).map_err(|err| bad(format!("{} cannot be read: {err}", folder.display())))?;
    if kind.is_symlink() {
        return Err(bad(format!(
            "{} is a link; links are not followed, put the folder itself there",
            folder.display()
        )));
    }
    if !kind.is_dir() {
        return Err(bad(format!("{} is no folder", folder.display())));
    }
    let path = folder.join(manifest::FILE);
    let found = fs::symlink_metadata(&path).map_err(|err| bad(format!("{} cannot be read: {err}", manifest::FILE)))?;
    if !found.is_file() {
        return Err(bad(format!("{} is a link or no file; links are not followed", manifest::FILE)));
    }
    if found.len() > MANIFEST_LIMIT {
        return Err(bad(format!("{} has more than {MANIFEST_LIMIT} bytes", manifest::FILE)));
    }
    let text = fs::read_to_string(&path).map_err(|err| bad(format!("{} cannot be read: {err}", manifest::FILE)))?;
    let manifest = Manifest::read(&text)?;
    program(folder, &manifest).map_err(bad)?;
    Ok(Tool { manifest, place: Place::Folder(folder.to_owned()) })
}

/// Whether the program of a manifest is a file in its folder that can be run.
fn program(folder: &Path, manifest: &Manifest) -> Result<(), String> {
    let Some(program) = manifest.run.first() else {
        return Err("run: the program is missing, like run = [\"./main.py\"]".to_owned());
    };
    let shown = sanitize_line(program, 80);
    let mut path = folder.to_owned();
    let mut parts = 0;
    for part in Path::new(program).components() {
        match part {
            Component::CurDir => continue,
            Component::Normal(part) => path.push(part),
            _ => return Err(format!("run: `{shown}` leads out of the tool's folder")),
        }
        parts += 1;
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => return Err(format!("run: `{shown}` is a link; links are not followed")),
            Ok(_) => {}
            Err(_) => return Err(format!("run: there is no `{shown}` in the tool's folder")),
        }
    }
    let found = fs::symlink_metadata(&path).map_err(|err| format!("run: `{shown}`: {err}"))?;
    if parts == 0 || !found.is_file() {
        return Err(format!("run: `{shown}` is no file"));
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Err(format!("run: `{shown}` cannot be run; chmod +x it"));
    }
    Ok(())
}
