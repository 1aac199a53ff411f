//! What a text means: what somebody wants who says it, or what a report tells. Learned from examples, and explained by the one that it
//! reads like.
//!
//! Owns what texts can mean, and their examples. Must never decide what is done about it, and never learn from what is read.

mod features;
mod learner;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::LazyLock;

use super::words::Words;
use learner::{Example, Learned, ROOM};

/// An intent that is likelier than this is hardly another.
pub(in crate::llm::tasks) const SURE: f32 = 0.6;

/// What texts of one kind can mean.
pub(in crate::llm::tasks) trait Meaning: Copy + PartialEq + 'static {
    /// All that they can mean.
    const ALL: &'static [Self];

    /// Headings (`= name: what it means`), each with examples, one a line.
    const EXAMPLES: &'static [&'static str];

    /// As its examples are headed.
    fn name(self) -> &'static str;

    /// Its place among all.
    fn place(self) -> usize;

    /// What was learned about texts of this kind, when it is first asked for.
    fn learned() -> &'static Judgement;
}

macro_rules! meanings {
    ($(#[$what:meta])* $kind:ident from [$($file:literal),+]: $($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        $(#[$what])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::llm::tasks) enum $kind { $($(#[$doc])* $variant,)* }

        impl Meaning for $kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const EXAMPLES: &'static [&'static str] =
                &[$(include_str!(concat!("../../../assets/judgement/", $file))),+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn place(self) -> usize {
                self as usize
            }

            fn learned() -> &'static Judgement {
                static LEARNED: LazyLock<Judgement> = LazyLock::new(Judgement::from::<$kind>);
                &LEARNED
            }
        }
    };
}

meanings! {
    /// What somebody wants who says something.
    Intent from ["orders.txt", "ideas.txt", "words.txt"]:
    /// An experiment is to end for good.
    End "end",
    /// Something is to rest.
    Pause "pause",
    /// Something is to go on, come back, or run now.
    Resume "resume",
    /// A running experiment is to be done otherwise.
    Change "change",
    /// An item of the worklist is finished.
    Done "done",
    /// What an item waited for is there.
    Unblocked "unblocked",
    /// An item is to come sooner or later.
    Order "order",
    /// An item is to leave the worklist.
    Drop "drop",
    /// A rule for what the team does from now on.
    Focus "focus",
    /// A tool is wanted.
    Tool "tool",
    /// Something is wanted that the team cannot do.
    Errand "errand",
    /// Something to try.
    Idea "idea",
    /// A wish without whom or how.
    Vague "vague",
    /// A question of direction.
    Strategy "strategy",
    /// A debate is wanted, or the team is stuck.
    Debate "debate",
    /// A question about what was done and what came of it.
    Question "question",
    /// Whether things run, and how many.
    Status "status",
    /// Something seen or heard on the market.
    Learning "learning",
    /// A claim without numbers.
    Opinion "opinion",
    /// Of ending or changing something, without an order.
    Remark "remark",
    /// Somebody is harmed or angry, or there is legal trouble.
    Harm "harm",
    /// Something of ours does not work.
    Broken "broken",
    /// Good news.
    News "news",
    /// Thanks, praise, a nod.
    Thanks "thanks",
    /// A greeting.
    Greeting "greeting",
    /// Talk that needs no work.
    Talk "talk",
    /// Somebody sells something.
    Offer "offer",
    /// A key or a password is wanted.
    Secret "secret",
    /// What the team can do.
    Help "help",
}

meanings! {
    /// What an error of a run, a tool or a request tells.
    Fault from ["errors.txt"]:
    /// Money or credits are missing.
    Money "money",
    /// A key or a permission is missing.
    Key "key",
    /// An account, or what may be reached, needs a person.
    Account "account",
    /// A source does not allow it.
    Terms "terms",
    /// It happened once, or passes.
    Passing "passing",
    /// A tool has a fault.
    Bug "bug",
    /// The design names something the tool does not take.
    Parameter "parameter",
    /// It was stopped on purpose, or is settled.
    Stopped "stopped",
}

meanings! {
    /// What a summary of numbers tells.
    Summary from ["summaries.txt"]:
    /// Trouble that a person must see to.
    Trouble "trouble",
    /// A result that holds.
    Proven "proven",
    /// Good news.
    News "news",
    /// Things are as they should be.
    Usual "usual",
}

meanings! {
    /// Why a tool could not be built.
    Build from ["builds.txt"]:
    /// For a good reason.
    Refused "refused",
    /// It is no longer wanted.
    Superseded "superseded",
    /// Something is missing that only a person can give.
    Person "person",
    /// It failed more than once.
    Again "again",
    /// The cause is clear, or may pass.
    Clear "clear",
}

meanings! {
    /// Why a person refuses a proposal.
    Refusal from ["refusals.txt"]:
    /// Not now.
    Later "later",
    /// As a rule.
    Never "never",
    /// Wanted, but otherwise.
    Change "change",
    /// It should be talked over first.
    Debate "debate",
    /// A question.
    Question "question",
    /// Just no.
    No "no",
}

meanings! {
    /// What a learning says of whom or what it is about.
    Outcome from ["outcomes.txt"]:
    /// It works, or is just so.
    Works "works",
    /// It does not work, harms, or is not to be done.
    Fails "fails",
}

/// An example as it stands in the list.
struct Said {
    text: &'static str,
    means: &'static str,
}

/// What was learned about texts of one kind, with the examples.
pub(in crate::llm::tasks) struct Judgement {
    learned: Learned,
    examples: Vec<(Said, Example)>,
}

impl Judgement {
    fn from<M: Meaning>() -> Self {
        let (mut texts, mut examples) = (Vec::new(), Vec::new());
        for (meaning, said) in read_examples::<M>() {
            let features = features::of(Words::of(said.text).list(), said.text);
            examples.push(Example { features, intent: meaning.place() });
            texts.push(said);
        }
        let learned = Learned::from(&examples, M::ALL.len());
        Self { learned, examples: texts.into_iter().zip(examples).collect() }
    }
}

fn read_examples<M: Meaning>() -> Vec<(M, Said)> {
    let mut heading = None;
    let lines =
        M::EXAMPLES.iter().flat_map(|file| file.lines()).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            if let Some((name, means)) = line.strip_prefix("= ").and_then(|line| line.split_once(": ")) {
                heading = M::ALL.iter().find(|meaning| meaning.name() == name).map(|meaning| (*meaning, means));
                return None;
            }
            heading.map(|(meaning, means)| (meaning, Said { text: line, means }))
        })
        .collect()
}

/// Learns everything there is to learn, where that is not done yet.
pub(super) fn learn() {
    Intent::learned();
    Fault::learned();
    Summary::learned();
    Build::learned();
    Refusal::learned();
    Outcome::learned();
}

/// How a text reads.
#[derive(Debug, Clone)]
pub(in crate::llm::tasks) struct Reading<M> {
    shares: [f32; ROOM],
    features: Vec<u64>,
    kind: PhantomData<M>,
}

/// Reads a text.
pub(in crate::llm::tasks) fn read<M: Meaning>(words: &Words, text: &str) -> Reading<M> {
    let features = features::of(words.list(), text);
    Reading { shares: M::learned().learned.shares(&features), features, kind: PhantomData }
}

impl<M: Meaning> Reading<M> {
    /// How likely a meaning is; 1 together.
    pub(in crate::llm::tasks) fn share(&self, meaning: M) -> f32 {
        self.shares[meaning.place()]
    }

    /// How likely it is that it is one of these.
    pub(in crate::llm::tasks) fn share_of(&self, meanings: &[M]) -> f32 {
        meanings.iter().map(|meaning| self.share(*meaning)).sum()
    }

    /// The likeliest meaning.
    pub(in crate::llm::tasks) fn best(&self) -> M {
        let likelier = |a: M, b: M| if self.share(b) > self.share(a) { b } else { a };
        M::ALL.iter().copied().fold(M::ALL[0], likelier)
    }

    /// The likeliest meaning, where it is hardly another.
    pub(in crate::llm::tasks) fn surely(&self) -> Option<M> {
        Some(self.best()).filter(|best| self.share(*best) >= SURE)
    }

    /// Why it may mean this: the example that it reads like.
    pub(in crate::llm::tasks) fn why(&self, meaning: M) -> String {
        let likeness = |example: &Example| {
            let common = example.features.iter().filter(|feature| self.features.binary_search(feature).is_ok()).count();
            common * 1_000 / (example.features.len() + self.features.len()).max(1)
        };
        let examples = M::learned().examples.iter().filter(|(_, example)| example.intent == meaning.place());
        let nearest = examples.max_by_key(|(_, example)| likeness(example));
        nearest.map_or_else(
            || "It reads like nothing that is known.".to_owned(),
            |(said, _)| format!("It reads like \"{}\": {}.", said.text, said.means),
        )
    }
}
