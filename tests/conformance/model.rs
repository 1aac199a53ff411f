//! Random histories.
use crate::stores::Engine;
pub(crate) fn random_histories(_engine: &dyn Engine, _cases: u32) {}
