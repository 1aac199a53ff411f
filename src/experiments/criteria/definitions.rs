//! What the metrics of an experiment are: those that are computed, in an order in which each is computed once.
//!
//! Must never accept a definition that needs itself, and never compute one twice: formulas that use formulas could grow without end.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{CriterionError, Formula, Name, Unknown};
use crate::experiments::events;
use crate::experiments::spec::{Metric, MetricKind};

/// What the metrics of an experiment are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    kinds: BTreeMap<String, MetricKind>,
    formulas: BTreeMap<String, Formula>,
    /// Names of `formulas`, each behind those that it needs.
    order: Vec<String>,
    /// Defined, but not so that they could be computed.
    wrong: BTreeSet<String>,
}

/// Why a metric cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// Its formula is none.
    #[error("the formula of `{metric}`: {error}")]
    Formula {
        /// The metric.
        metric: String,
        /// What is wrong with it.
        error: CriterionError,
    },
    /// It needs itself.
    #[error("`{}` needs itself: {}", path.first().map_or("", String::as_str), path.join(" → "))]
    Cycle {
        /// Each needs the next; the last is the first.
        path: Vec<String>,
    },
    /// Two metrics have this name.
    #[error("`{metric}` is defined twice")]
    Twice {
        /// The name.
        metric: String,
    },
}

impl DefinitionError {
    /// The metric that is wrong.
    pub fn metric(&self) -> &str {
        match self {
            Self::Formula { metric, .. } | Self::Twice { metric } => metric,
            Self::Cycle { path } => path.first().map_or("", String::as_str),
        }
    }
}

impl Definitions {
    /// What these metrics are, and what is wrong with them. What is wrong is left out, and unknown wherever it is used.
    pub fn of(metrics: &[Metric]) -> (Self, Vec<DefinitionError>) {
        let (mut found, mut errors) = (Self::default(), Vec::new());
        for Metric { name, kind, formula, .. } in metrics {
            if found.kinds.insert(name.clone(), *kind).is_some() {
                errors.push(DefinitionError::Twice { metric: name.clone() });
                continue;
            }
            match formula.as_deref().map(Formula::parse) {
                Some(Ok(formula)) => {
                    found.formulas.insert(name.clone(), formula);
                }
                Some(Err(error)) => {
                    found.wrong.insert(name.clone());
                    errors.push(DefinitionError::Formula { metric: name.clone(), error });
                }
                None => {}
            }
        }
        let names: Vec<String> = found.formulas.keys().cloned().collect();
        for name in names {
            if let Err(path) = found.put_in_order(&name, &mut Vec::new()) {
                errors.push(DefinitionError::Cycle { path });
            }
        }
        (found, errors)
    }

    /// Puts a metric behind those that it needs.
    fn put_in_order(&mut self, name: &str, above: &mut Vec<String>) -> Result<(), Vec<String>> {
        if self.order.iter().any(|known| known == name) {
            return Ok(());
        }
        if let Some(at) = above.iter().position(|known| known == name) {
            return Err(above[at..].iter().cloned().chain([name.to_owned()]).collect());
        }
        let Some(formula) = self.formulas.get(name).cloned() else { return Ok(()) };
        above.push(name.to_owned());
        for needed in formula.names().into_iter().filter(|name| is_bare(name)) {
            if let Err(path) = self.put_in_order(&needed.name, above) {
                // Neither it nor what leads there can be computed; it is said once.
                self.formulas.remove(name);
                self.wrong.insert(name.to_owned());
                return Err(path);
            }
        }
        above.pop();
        self.order.push(name.to_owned());
        Ok(())
    }

    /// What is said of a metric: what it is.
    pub fn kind(&self, name: &str) -> Option<MetricKind> {
        self.kinds.get(name).copied()
    }

    /// How a metric is computed: as it is defined, or as shares of this name usually are.
    pub fn formula(&self, name: &str) -> Option<Formula> {
        self.formulas.get(name).cloned().or_else(|| self.usual(name))
    }

    fn usual(&self, name: &str) -> Option<Formula> {
        let usual = events::usual_formula(name).filter(|_| !self.wrong.contains(name))?;
        Formula::parse(usual).ok()
    }

    /// The value of each metric that is computed, by what was measured.
    pub fn computed(
        &self,
        measured: &impl Fn(&Name) -> Result<f64, Unknown>,
    ) -> BTreeMap<String, Result<f64, Unknown>> {
        let mut values = BTreeMap::new();
        for name in &self.order {
            let Some(formula) = self.formulas.get(name) else { continue };
            let value = formula.value(&|name: &Name| self.look_up(name, &values, measured));
            values.insert(name.clone(), value);
        }
        values
    }

    /// The value of a name: computed, measured, or computed as shares of this name usually are.
    ///
    /// # Errors
    /// Where it has none.
    pub fn look_up(
        &self,
        name: &Name,
        computed: &BTreeMap<String, Result<f64, Unknown>>,
        measured: &impl Fn(&Name) -> Result<f64, Unknown>,
    ) -> Result<f64, Unknown> {
        if is_bare(name)
            && let Some(value) = computed.get(&name.name)
        {
            return value.clone();
        }
        match measured(name) {
            Err(Unknown::Missing(missing)) if is_bare(name) => match self.usual(&name.name) {
                Some(usual) => usual.value(measured),
                None => Err(Unknown::Missing(missing)),
            },
            value => value,
        }
    }
}

/// Whether a name stands for itself, without a kind or a number of it.
pub(super) fn is_bare(name: &Name) -> bool {
    name.space.is_none() && name.aggregate.is_none()
}
