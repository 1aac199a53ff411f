//! What the names in criteria come to: measured, computed, or unknown.
//!
//! Must never take for zero what nobody would have said.

use std::collections::BTreeMap;

use super::Plan;
use crate::experiments::criteria::{Aggregate, Name, Space, Unknown};
use crate::experiments::events;
use crate::experiments::numbers::{Numbers, YoungFrom};

/// The values of an experiment's names.
#[derive(Debug)]
pub struct Values<'a> {
    numbers: &'a Numbers,
    plan: &'a Plan,
    computed: BTreeMap<String, Result<f64, Unknown>>,
    variant: Option<&'a str>,
    /// What is younger is left out.
    young: Option<YoungFrom>,
}

impl<'a> Values<'a> {
    /// Those of all, or of one variant.
    pub fn of(numbers: &'a Numbers, plan: &'a Plan, variant: Option<&'a str>) -> Self {
        Self { numbers, plan, computed: BTreeMap::new(), variant, young: None }.compute()
    }

    /// The same without what is too young to be judged; all, where nothing is.
    #[must_use]
    pub fn settled(&self, young: Option<YoungFrom>) -> Self {
        let Self { numbers, plan, variant, .. } = *self;
        Self { numbers, plan, computed: BTreeMap::new(), variant, young }.compute()
    }

    fn compute(mut self) -> Self {
        self.computed = self.plan.definitions.computed(&|name: &Name| self.measured(name));
        self
    }

    fn measured(&self, name: &Name) -> Result<f64, Unknown> {
        let value = self.numbers.get(name, self.plan.definitions.kind(&name.name), self.variant)?;
        let is_count = name.space != Some(Space::Fields)
            && matches!(name.aggregate, None | Some(Aggregate::Count | Aggregate::Sum));
        if is_count && value == 0.0 && self.is_unsaid(&name.name) {
            return Err(Unknown::Unsaid(name.to_string()));
        }
        match self.young {
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers of events are far below what a float holds exactly"
            )]
            Some(from) if is_count => Ok((value - self.numbers.young(&name.name, self.variant, from) as f64).max(0.0)),
            _ => Ok(value),
        }
    }

    /// Whether nothing in the plan says that this happens, and nobody else ever said it.
    fn is_unsaid(&self, name: &str) -> bool {
        let Some(said) = &self.plan.said else { return false };
        let can_be = |event: &String| said.contains(event.as_str()) || self.numbers.hears_like(event);
        name != events::ALL_SENT && !events::candidates(name).iter().any(can_be) && !self.numbers.has_counted(name)
    }

    /// The value of a name.
    ///
    /// # Errors
    /// Where it has none.
    pub fn get(&self, name: &Name) -> Result<f64, Unknown> {
        self.plan.definitions.look_up(name, &self.computed, &|name: &Name| self.measured(name))
    }

    /// Whether a name counts events.
    pub(super) fn counts_events(&self, name: &Name) -> bool {
        self.numbers.counts_events(name, self.plan.definitions.kind(&name.name))
    }

    /// Metrics that are computed, with their values where they have one.
    pub fn computed(&self) -> impl Iterator<Item = (&str, f64)> {
        self.computed.iter().filter_map(|(name, value)| Some((name.as_str(), value.clone().ok()?)))
    }
}
