//! What a specification is checked against: the tools that there are, and the people that lists hold.
//!
//! Must never look anything up: what a home has is given. Those that are shipped are always known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::experiments::aliases;
use crate::experiments::list::Look;
use crate::experiments::spec::Step;

/// What a specification is checked against, besides the tools that are shipped.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The tools of the home, by name, each with the JSON Schema of what it takes where that is known.
    pub tools: BTreeMap<String, Option<Value>>,
    /// The fields of the people that a step gives, by its id, where that was looked up.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Why the people that a step gives could not be looked at, by its id.
    pub unseen: BTreeMap<String, String>,
}

impl Known {
    /// Whether there is a tool with this name.
    pub fn has_tool(&self, name: &str) -> bool {
        aliases::shipped(name).is_some() || self.tools.contains_key(name)
    }

    /// The names of tools that are not shipped.
    pub(in crate::experiments) fn own(&self) -> BTreeSet<String> {
        self.tools.keys().filter(|name| aliases::shipped(name).is_none()).cloned().collect()
    }

    /// What a tool takes, as JSON Schema; none where that is not known.
    pub fn inputs(&self, name: &str) -> Option<&Value> {
        aliases::inputs(name).or_else(|| self.tools.get(name)?.as_ref())
    }

    /// What was found of the list that a step reads.
    pub fn saw(&mut self, step: &Step, look: Result<&Look, String>) {
        match look {
            Ok(look) => drop(self.columns.insert(step.id.clone(), look.fields(&step.params))),
            Err(why) => drop(self.unseen.insert(step.id.clone(), why)),
        }
    }

    /// The fields of the people that a step gives; none where nobody knows.
    pub(super) fn columns_of<'a>(&'a self, step: &'a Step) -> Option<Vec<&'a str>> {
        if let Some(columns) = self.columns.get(&step.id) {
            return Some(columns.iter().map(String::as_str).collect());
        }
        let columns = aliases::shipped(&step.tool)?.columns;
        (!columns.is_empty()).then(|| columns.to_vec())
    }
}
