//! Forgetting while a run is under way: what it holds in memory is written again and again, and must not bring back who was taken out.
//!
//! Forgetting suppresses a person first, and takes them out of all documents afterwards. So whoever writes people down looks who is
//! forgotten before it, and once more after it. Must never take out anybody else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::bus::{BusError, Key, SharedBus, State};
use crate::contracts::keys;
use crate::experiments::outreach;
use crate::memory::forget::{self, Wanted};

/// Keys of one call.
const PAGE: usize = 500;

/// Takes those who were forgotten out of what steps gave; whether anybody was.
pub(super) async fn leave_out(bus: &SharedBus, outputs: &mut BTreeMap<String, Value>) -> Result<bool, BusError> {
    let mut named = BTreeSet::new();
    for value in outputs.values() {
        addresses(value, &mut named);
    }
    let named: Vec<_> = named
        .into_iter()
        .filter_map(|address| Some((Key::new(keys::suppression(&keys::person(&address)).ok()?), address)))
        .collect();
    let mut forgotten = false;
    for page in named.chunks(PAGE) {
        let asked: Vec<Key> = page.iter().map(|(key, _)| key.clone()).collect();
        let found = bus.get_many(&asked, Some(&["reason"])).await?;
        for ((_, address), found) in page.iter().zip(found) {
            if matches!(&found?, Some(State::Hash(it)) if it.get("reason") == Some(forget::REASON)) {
                let wanted = Wanted::new(address);
                for value in outputs.values_mut() {
                    wanted.out_of_value(value);
                }
                forgotten = true;
            }
        }
    }
    Ok(forgotten)
}

/// The addresses that stand in a value as texts of their own.
fn addresses(value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.contains('@') => named.extend(outreach::address(text)),
        Value::Array(items) => items.iter().for_each(|item| addresses(item, named)),
        Value::Object(fields) => fields.values().for_each(|value| addresses(value, named)),
        _ => {}
    }
}
