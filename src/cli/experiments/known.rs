//! Experiments and their runs, as verbs read them.

use color_eyre::Section;
use color_eyre::eyre::eyre;

use crate::bus::{BusError, Document, Key, SharedBus, State};
use crate::contracts::keys;
use crate::contracts::untrusted::sanitize_line;

/// Keys read at a time.
const PAGE: usize = 500;

/// The document of an experiment.
pub(super) async fn read(bus: &SharedBus, id: &str) -> color_eyre::Result<Option<Document>> {
    document(bus, &keys::experiment(id)?).await
}

/// The document under a key; none where there is none, or something else.
pub(super) async fn document(bus: &SharedBus, key: &str) -> color_eyre::Result<Option<Document>> {
    match bus.get(&Key::new(key)).await {
        Ok(Some(State::Hash(document))) => Ok(Some(document)),
        Ok(_) | Err(BusError::ForeignType { .. }) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// The documents under the keys with a prefix, by what follows it.
pub(in crate::cli) async fn all(bus: &SharedBus, prefix: &str) -> color_eyre::Result<Vec<(String, Document)>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (keys, next) = bus.scan(prefix, cursor, PAGE).await?;
        for (key, found) in keys.iter().zip(bus.get_many(&keys, None).await?) {
            if let (Some(id), Ok(Some(State::Hash(document)))) = (key.as_str().strip_prefix(prefix), found) {
                all.push((id.to_owned(), document));
            }
        }
        match next {
            Some(_) => cursor = next,
            None => break,
        }
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(all)
}

/// The experiment with this id, or the only one whose id begins so.
pub(super) async fn find(bus: &SharedBus, id: &str) -> color_eyre::Result<String> {
    if keys::experiment(id).is_ok() && read(bus, id).await?.is_some() {
        return Ok(id.to_owned());
    }
    let shown = sanitize_line(id, 80);
    let (keys, _) = bus.scan(&format!("experiments:{id}"), None, PAGE).await?;
    let mut found: Vec<_> = keys.iter().filter_map(|key| key.as_str().strip_prefix("experiments:")).collect();
    found.sort_unstable();
    match found.as_slice() {
        [] => Err(eyre!("there is no experiment `{shown}`").suggestion("`fullsend experiments list` shows them")),
        [only] => Ok((*only).to_owned()),
        several => {
            Err(eyre!("`{shown}` is the beginning of {}", several.join(", ")).suggestion("Write more of the id"))
        }
    }
}
