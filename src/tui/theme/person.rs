//! A person's own themes: `themes/*.toml` in the folder of the settings, read again when they change.
//!
//! One with the name of a shipped theme takes its place. Must never take a theme that is broken: it says where, and the old one stays.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::mpsc;

use super::{Depth, SHIPPED, Theme, ThemeError, mono, read, shipped};

/// Themes that are read.
const MOST: usize = 200;
/// Bytes of a theme's file.
const SIZE_LIMIT: u64 = 100_000;
/// Changes within this time are one: editors write in several steps.
const TOGETHER: Duration = Duration::from_millis(100);
/// A folder that is not there is looked for so often.
const LOOKED_FOR: Duration = Duration::from_secs(5);

/// All themes that can be chosen, and what is wrong with others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The shipped ones, then the person's, as the terminal shows them.
    pub themes: Vec<Theme>,
    /// What cannot be used, with its place; harmless.
    pub broken: Vec<ThemeError>,
}

/// The files of the person's themes, by name.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    files.sort();
    files.truncate(MOST);
    files
}

/// The person's themes, in all their colours, each with its file; or what is wrong with one.
pub fn of_folder(folder: &Path) -> Vec<(PathBuf, Result<Theme, ThemeError>)> {
    let of_file = |(name, path): (String, PathBuf)| {
        let refused = |what: String| ThemeError { theme: name.clone(), file: Some(path.clone()), line: None, what };
        let read = match std::fs::metadata(&path) {
            Ok(about) if about.len() > SIZE_LIMIT => Err(refused("it is too large for a theme".to_owned())),
            _ => std::fs::read_to_string(&path)
                .map_err(|err| refused(format!("it cannot be read: {err}")))
                .and_then(|text| read(&name, &text).map_err(|err| ThemeError { file: Some(path.clone()), ..err })),
        };
        (path, read)
    };
    files(folder).into_iter().map(of_file).collect()
}

/// The shipped themes and those of this folder, brought down to what the terminal shows.
pub fn all(folder: Option<&Path>, depth: Depth) -> Found {
    if depth == Depth::None {
        return Found { themes: vec![mono()], broken: Vec::new() };
    }
    let mut found = Found::default();
    found.themes.extend(SHIPPED.iter().filter_map(|(name, _)| shipped(name)));
    for (_, read) in folder.map(of_folder).unwrap_or_default() {
        match read {
            Ok(theme) => match found.themes.iter_mut().find(|known| known.name == theme.name) {
                Some(known) => *known = theme,
                None => found.themes.push(theme),
            },
            Err(err) => found.broken.push(err),
        }
    }
    found.themes.iter_mut().for_each(|theme| *theme = theme.within(depth));
    found
}

/// Says what is there whenever something in the folder has changed, until nobody listens. Ends where it cannot be watched.
pub async fn watch<T: Send + 'static>(folder: PathBuf, depth: Depth, told: mpsc::Sender<T>, wrap: fn(Found) -> T) {
    while !folder.is_dir() {
        if told.is_closed() {
            return;
        }
        tokio::time::sleep(LOOKED_FOR).await;
    }
    let (bell, mut rings) = mpsc::channel::<()>(1);
    let ring = move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            bell.try_send(()).ok();
        }
    };
    let watching = notify::recommended_watcher(ring).and_then(|mut watcher| {
        watcher.watch(&folder, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    let _watching = match watching {
        Ok(watching) => watching,
        Err(err) => {
            tracing::debug!(%err, "the themes are not looked at again");
            return;
        }
    };
    while rings.recv().await.is_some() {
        tokio::time::sleep(TOGETHER).await;
        while rings.try_recv().is_ok() {}
        let here = folder.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || all(Some(&here), depth)).await else { return };
        if told.send(wrap(found)).await.is_err() {
            return;
        }
    }
}
