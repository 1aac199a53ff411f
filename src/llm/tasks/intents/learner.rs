//! What is learned from examples: a weight for each thing that is looked at and each intent, by multinomial logistic regression.
//!
//! The examples are gone through in an order that is always the same, so that what is learned is always the same. Must never learn from
//! what is read later.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Room for so many intents; a weight's row is as long, so that sums are quick.
pub(super) const ROOM: usize = 32;
/// How often all examples are gone through.
const ROUNDS: usize = 3;
/// How far one example moves the weights.
const STEP: f32 = 0.4;
/// An example that is known as surely as this moves nothing more.
const KNOWN: f32 = 0.97;

type Row = [f32; ROOM];
type ByFeature<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;

/// Features are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, feature: u64) {
        self.0 = feature;
    }
}

/// What was learned.
pub(super) struct Learned {
    index: ByFeature<u32>,
    weights: Vec<Row>,
    intents: usize,
}

/// What is looked at in one example, and its intent.
pub(super) struct Example {
    pub(super) features: Vec<u64>,
    pub(super) intent: usize,
}

impl Learned {
    /// From these examples of so many intents. What only one of them has tells nothing.
    pub(super) fn from(examples: &[Example], intents: usize) -> Self {
        let mut counts: ByFeature<u32> = HashMap::default();
        for feature in examples.iter().flat_map(|example| &example.features) {
            *counts.entry(*feature).or_default() += 1;
        }
        let mut index: ByFeature<u32> = HashMap::default();
        for feature in examples.iter().flat_map(|example| &example.features) {
            let next = u32::try_from(index.len()).unwrap_or(u32::MAX);
            if counts.get(feature).is_some_and(|count| *count >= 2) {
                index.entry(*feature).or_insert(next);
            }
        }
        let mut learned = Self { weights: vec![[0.0; ROOM]; index.len()], index, intents: intents.min(ROOM) };
        learned.learn(examples);
        learned
    }

    fn learn(&mut self, examples: &[Example]) {
        let known: Vec<(Vec<u32>, usize)> =
            examples.iter().map(|example| (self.known(&example.features), example.intent)).collect();
        // Steps grow shorter for what was moved often.
        let mut moved = vec![1.0_f32; self.weights.len()];
        // A stride without a common divisor visits every example once, and neighbours, which are alike, far from each other.
        let stride = (known.len() * 5 / 8..known.len()).find(|stride| gcd(*stride, known.len()) == 1).unwrap_or(1);
        for round in 0..ROUNDS {
            let mut at = round * 7;
            for _ in 0..known.len() {
                at = (at + stride) % known.len();
                let (features, intent) = &known[at];
                let shares = self.shares_of(features);
                if shares[*intent] >= KNOWN || features.is_empty() {
                    continue;
                }
                let scale = STEP * scale(features.len());
                for feature in features {
                    let at = *feature as usize;
                    let step = scale / moved[at].sqrt();
                    moved[at] += 0.2;
                    for (weight, share) in self.weights[at].iter_mut().zip(shares) {
                        *weight -= step * share;
                    }
                    self.weights[at][*intent] += step;
                }
            }
        }
    }

    /// Those that the examples had.
    fn known(&self, features: &[u64]) -> Vec<u32> {
        features.iter().filter_map(|feature| self.index.get(feature).copied()).collect()
    }

    /// How likely each intent is; together 1.
    pub(super) fn shares(&self, features: &[u64]) -> Row {
        self.shares_of(&self.known(features))
    }

    fn shares_of(&self, features: &[u32]) -> Row {
        let mut sums: Row = [0.0; ROOM];
        for feature in features {
            for (sum, weight) in sums.iter_mut().zip(&self.weights[*feature as usize]) {
                *sum += weight;
            }
        }
        let scale = scale(features.len());
        let top = sums[..self.intents].iter().copied().fold(f32::MIN, f32::max);
        let mut total = 0.0;
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = if at < self.intents { ((*sum - top) * scale).exp() } else { 0.0 };
            total += *sum;
        }
        sums.map(|sum| sum / total)
    }
}

/// Long texts have more to look at, and are not surer for it.
#[expect(clippy::cast_precision_loss, reason = "a count of some hundreds")]
fn scale(features: usize) -> f32 {
    4.0 / (features.max(16) as f32).sqrt()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
